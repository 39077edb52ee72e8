"""Reads a folder with LeRobot: ``read_lerobot.py folder out.npz``; the second gets what it saw."""

from __future__ import annotations

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch

# torchvision's own operators are built for another torch. LeRobot needs none, but their names must exist.
operators = torch.library.Library("torchvision", "DEF")
operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets.compute_stats import aggregate_stats  # noqa: E402
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from lerobot.datasets.utils import dataset_to_policy_features  # noqa: E402

folder, out = sys.argv[1:]
dataset = LeRobotDataset("lam/read", root=folder, delta_timestamps={"action": [0.0, 0.05, 0.1]})
items = [dataset[index] for index in range(len(dataset))]
arrays = {name: value for name, value in items[0].items() if isinstance(value, torch.Tensor)}
seen = {name: torch.stack([item[name] for item in items]).numpy() for name in arrays}
seen["task"] = np.array([item["task"] for item in items])
seen["policy"] = np.array(sorted(dataset_to_policy_features(dataset.meta.features)))
one = LeRobotDataset("lam/read", root=folder, episodes=[1])
seen["second_episode"] = torch.stack([one[index]["observation.state"] for index in range(len(one))]).numpy()
for name, statistics in aggregate_stats([dataset.meta.stats, dataset.meta.stats]).items():
    seen[f"mean/{name}"] = statistics["mean"]
batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=8)))
seen["batch"] = batch["action"].numpy()
np.savez(out, **seen)
