"""Explanations of what an agent does in an episode: how sure it is, what moved its action, what it resembles."""
