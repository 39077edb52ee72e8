"""Adaptation of a saved agent to the environment in which it is used."""
