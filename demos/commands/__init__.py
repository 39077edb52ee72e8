"""Commands of ``python -m demos``."""
