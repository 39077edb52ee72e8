"""Leaderboard: a site of all results, submissions of third-party agents, and their verification."""
