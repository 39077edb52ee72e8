"""Scene of an episode: objects, robot, randomization, state, rendering."""
