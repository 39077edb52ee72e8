"""Estimation of the positions of objects from images, by networks that learn from recorded states."""
