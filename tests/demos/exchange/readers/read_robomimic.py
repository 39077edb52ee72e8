"""Reads a file with robomimic: ``read_robomimic.py file.hdf5 out.npz key...``; the second gets what it saw."""

from __future__ import annotations

import sys

import numpy as np
import robomimic.utils.obs_utils as observations
from robomimic.utils.dataset import SequenceDataset

path, out, *keys = sys.argv[1:]
images = [key for key in keys if key in ("front", "wrist")]
vectors = [key for key in keys if key not in images]
observations.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": vectors, "rgb": images}})
seen = {}
for name in ("train", "valid"):
    dataset = SequenceDataset(
        path,
        obs_keys=keys,
        dataset_keys=["actions", "rewards", "dones"],
        frame_stack=2,
        seq_length=3,
        hdf5_cache_mode="low_dim",
        filter_by_attribute=name,
    )
    seen[f"{name}_length"] = np.array(len(dataset))
    seen[f"{name}_demos"] = np.array(dataset.demos)
    items = [dataset[index] for index in range(len(dataset))]
    seen[f"{name}_actions"] = np.stack([item["actions"] for item in items])
    for key in keys:
        seen[f"{name}_{key}"] = np.stack([item["obs"][key] for item in items])
        seen[f"{name}_next_{key}"] = np.stack([item["next_obs"][key] for item in items])
normalized = SequenceDataset(path, vectors, ["actions"], hdf5_cache_mode=None, hdf5_normalize_obs=True)
seen["normalized"] = normalized[0]["obs"][vectors[0]]
np.savez(out, **seen)
