"""Reinforcement learning: from reward alone, from demonstrations, and fine-tuning."""
