"""Conversations: a person gives instructions, and a saved agent acts."""
