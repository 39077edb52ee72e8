"""Imitation without adversary: behavior cloning and DAgger."""
