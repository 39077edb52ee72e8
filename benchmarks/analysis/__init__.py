"""Statistics, ranking and comparison of results."""
