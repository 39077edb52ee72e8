"""Datasets: files, episodes, windows, statistics, and curation."""
