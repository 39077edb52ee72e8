"""Datasets: loading, episodes, windows, statistics and curation."""
