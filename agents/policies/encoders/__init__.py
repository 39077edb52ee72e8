"""Encoders of observations, one for each kind of input, and their composition."""
