"""Motions of a person that the robot imitates."""
