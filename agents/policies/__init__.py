"""Networks of policies, and policies that need no training."""
