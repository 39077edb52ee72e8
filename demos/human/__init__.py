"""Recordings of people: hand tracks from files and videos, and the policy that imitates them with the robot."""
