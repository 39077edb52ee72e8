"""Data for learning: demonstrations that are read once, features, and augmentation."""
