"""Deployment of policies: exports to files that run without PyTorch, and policies over a network."""
