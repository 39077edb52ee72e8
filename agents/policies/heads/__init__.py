"""Heads of policies, one for each kind of output."""
