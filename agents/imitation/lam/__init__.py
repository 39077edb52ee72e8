"""Large Action Model: one policy for several tasks, robots and instructions."""
