"""Pretrained agents: find and load published ones, publish your own, and exchange them with the Hugging Face Hub."""
