"""Teleoperation: a person drives the robot in a browser, alone or in turn with a policy, and records episodes."""
