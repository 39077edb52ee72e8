"""Evaluation of agents on fixed seeds."""
