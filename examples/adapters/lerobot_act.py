"""LeRobot: train its ACT on our export of demonstrations, and evaluate it like an agent of lam-envs.

Usage: python lerobot_act.py --env-id LamGrasp-v0 --demonstrations 50 --updates 1000 --out runs/lerobot-act
"""

import argparse
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # the dataset is local

import torch

# torchvision's compiled operators are built for another PyTorch. Without images, ACT needs only their names.
operators = torch.library.Library("torchvision", "DEF")
operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.configs.default import DatasetConfig  # noqa: E402
from lerobot.configs.train import TrainPipelineConfig  # noqa: E402
from lerobot.configs.types import NormalizationMode  # noqa: E402
from lerobot.datasets.dataset_tools import add_features  # noqa: E402
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from lerobot.datasets.utils import write_stats  # noqa: E402
from lerobot.policies.act.configuration_act import ACTConfig  # noqa: E402
from lerobot.policies.act.modeling_act import ACTPolicy  # noqa: E402
from lerobot.policies.factory import make_pre_post_processors  # noqa: E402
from lerobot.scripts.lerobot_train import train  # noqa: E402

import agents  # noqa: E402
import demos  # noqa: E402

STATE, ENVIRONMENT_STATE = "observation.state", "observation.environment_state"


class LeRobotAgent:
    """Adapter: LeRobot predicts chunks of normalized actions for batches, lam-envs asks for one action."""

    def __init__(self, checkpoint):
        self.policy = ACTPolicy.from_pretrained(checkpoint)
        self.normalize, self.unnormalize = make_pre_post_processors(self.policy.config, str(checkpoint))

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        remaining = () if state is None or (episode_start is not None and episode_start[0]) else state
        if not len(remaining):
            seen = torch.as_tensor(observation)
            chunk = self.policy.predict_action_chunk(self.normalize({STATE: seen, ENVIRONMENT_STATE: seen}))
            remaining = self.unnormalize(chunk)[0, : self.policy.config.n_action_steps].numpy().clip(-1.0, 1.0)
        return remaining[0], remaining[1:]


def lerobot_dataset(dataset, folder):
    """Export a Minari dataset, and let LeRobot add the state of the environment, which ACT needs without images."""
    demos.export_dataset(dataset, "lerobot", folder / "export")
    exported = LeRobotDataset("lam/export", root=folder / "export")
    copied = {ENVIRONMENT_STATE: (lambda frame, *_: frame[STATE], exported.meta.features[STATE])}
    added = add_features(exported, copied, folder / "dataset", "lam/dataset")
    write_stats({**exported.meta.stats, ENVIRONMENT_STATE: exported.meta.stats[STATE]}, added.root)
    return added.root


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="LamGrasp-v0")
    parser.add_argument("--demonstrations", type=int, default=50)
    parser.add_argument("--updates", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1050), help="episodes: first seed, and end")
    parser.add_argument("--out", type=Path, default=Path("runs/lerobot-act"))
    options = parser.parse_args()

    demonstrations = demos.collect(options.env_id, episodes=options.demonstrations, seed=0)
    config = TrainPipelineConfig(
        dataset=DatasetConfig("lam/dataset", root=str(lerobot_dataset(demonstrations, options.out))),
        policy=ACTConfig(
            device="cpu",
            push_to_hub=False,
            chunk_size=8,
            n_action_steps=4,
            dim_model=128,
            dim_feedforward=512,
            n_heads=4,
            use_vae=False,
            # Observations are scaled already; some hardly vary, and their deviation would scale up noise.
            normalization_mapping={
                "STATE": NormalizationMode.IDENTITY,
                "ENV": NormalizationMode.IDENTITY,
                "ACTION": NormalizationMode.MEAN_STD,
            },
            optimizer_lr=3e-4,
        ),
        output_dir=options.out / "training",
        seed=options.seed,
        num_workers=0,
        batch_size=64,
        steps=options.updates,
        save_freq=options.updates,
        log_freq=200,
    )
    train(config)

    agent = LeRobotAgent(config.output_dir / "checkpoints" / "last" / "pretrained_model")
    result = agents.evaluate(agent, options.env_id, seeds=range(*options.seeds), progress=True)
    print(f"success rate: {result.success_rate:.0%}")
