"""Collect demonstrations of the expert into a Minari dataset, check that they replay, and read them."""

import demos

# An interrupted collection resumes. The same call on a finished dataset returns it.
dataset = demos.collect("LamReach-v0", episodes=20, seed=0)
print(f"{dataset.spec.dataset_id}: {dataset.total_episodes} episodes, {dataset.total_steps} steps")

report = demos.replay(dataset)
print(f"{report.identical} episodes replay bit for bit")

episode = next(dataset.iterate_episodes())
print("observations", episode.observations.shape, "actions", episode.actions.shape)
print("success at the last step:", bool(episode.infos["is_success"][-1]))
