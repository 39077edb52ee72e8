"""Evaluation of goals: a single goal, rewards, and checks of a task."""
