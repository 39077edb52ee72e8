"""Recipes: which demonstrations of which environments one agent learns from."""
