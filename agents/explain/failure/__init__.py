"""Prediction of failures while an agent acts, from its uncertainty and its distance from the demonstrations."""
