"""What all trainings share: settings, data, runs, checkpoints, seeding."""
