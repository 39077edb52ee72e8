"""Reinforcement learning: from reward alone, with demonstrations, and fine-tuning."""
