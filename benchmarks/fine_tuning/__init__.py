"""Fine-tuning of the agent ``lam`` to new tasks, compared with training from scratch."""
