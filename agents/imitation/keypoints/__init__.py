"""Agent that finds the objects of a task in images, and acts on their positions."""
