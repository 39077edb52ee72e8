"""Deployment of policies: exports that run without PyTorch, policies over a network, and pretrained agents."""
