"""Bodies of special shapes that a task adds to a simulation."""
