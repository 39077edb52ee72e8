"""Writes a folder with LeRobot: ``write_lerobot.py folder out.npz video|image``; the second gets what is in it."""

from __future__ import annotations

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch

# As in read_lerobot.py.
operators = torch.library.Library("torchvision", "DEF")
operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

folder, out, kind = sys.argv[1:]
features = {
    "observation.state": {"dtype": "float32", "shape": (6,), "names": None},
    "observation.images.top": {"dtype": kind, "shape": (96, 64, 3), "names": ["height", "width", "channels"]},
    "action": {"dtype": "float32", "shape": (6,), "names": None},
}
dataset = LeRobotDataset.create("lam/write", fps=10, root=folder, features=features, use_videos=kind == "video")
rng = np.random.default_rng(0)
seen: dict[str, list[np.ndarray]] = {"state": [], "action": [], "top": []}
shade = np.linspace(0, 255, 96 * 64 * 3).reshape(96, 64, 3)
for steps in (5, 7):
    for step in range(steps):
        seen["state"].append(rng.normal(size=6).astype(np.float32))
        seen["action"].append(rng.uniform(-1, 1, 6).astype(np.float32))
        seen["top"].append(np.roll(shade, 8 * step, axis=0).astype(np.uint8))
        dataset.add_frame(
            {
                "observation.state": seen["state"][-1],
                "observation.images.top": seen["top"][-1],
                "action": seen["action"][-1],
                "task": "wave",
            }
        )
    dataset.save_episode()
dataset.finalize()
np.savez(out, **{name: np.stack(values) for name, values in seen.items()})
