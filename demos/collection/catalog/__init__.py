"""Datasets by name: published ones, and recipes of what one agent learns from."""
