"""Measurements of recordings of people: accuracy of events and positions, and success of the robot's imitation."""
