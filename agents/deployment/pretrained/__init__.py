"""Pretrained agents: list and load published agents, publish your own, and share them on the Hugging Face Hub."""
