"""The scene of an episode: objects, robot and randomization, its state, and its rendering."""
