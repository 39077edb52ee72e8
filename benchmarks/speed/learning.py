"""How fast agents learn, beside what they are built on, and how much memory that takes."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import agents
import demos
import lam_envs
from benchmarks.speed.measuring import Measured, alone, median
from benchmarks.speed.throughput import machine

ENV_ID = "LamGrasp-v0"
DATASET = "bench/learning-v0"
BATCH_SIZE = 128
HIDDEN_SIZES = (256, 256)
ENTRIES = 100_000
"""Of a replay buffer."""
DRAWN = 64
"""Transitions a draw."""
DRAWS = 200


def measure(*, episodes: int, epochs: int, rounds: int) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        episodes: Demonstrations to clone.
        epochs: Passes over them, and a tenth of that where memory is compared.
        rounds: How often each is done; what is compared alternates.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        demos.collect(ENV_ID, episodes=episodes, root=root, dataset_id=DATASET)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(alone(_cloned, root, epochs)[0])
            theirs.append(alone(_cloned_by_imitation, root, epochs)[0])
        yield median("samples that bc learns from", ours, "samples/s")
        yield median("samples that imitation's BC learns from, on the same network", theirs, "samples/s")
        yield median("the first over the second", _over(ours, theirs), "")
        few = [alone(_cloned, root, max(1, epochs // 10))[1] for _ in range(rounds)]
        many = [alone(_cloned, root, epochs)[1] for _ in range(rounds)]
        yield median(f"peak memory of bc, {max(1, epochs // 10)} epochs", few, "MB")
        yield median(f"peak memory of bc, {epochs} epochs", many, "MB")
    yield from _draws(rounds)


def _draws(rounds: int) -> Iterator[Measured]:
    """What it takes to draw transitions in proportion to priorities, from a tree and along all of them."""
    tree, choice, sums = [], [], []
    for number in range(rounds):
        tree.append(_drawn_from_tree(number))
        choice.append(_drawn_by_choice(number))
        sums.append(_drawn_along_sums(number))
    yield median(f"draws of {DRAWN} among {ENTRIES:,} priorities from the tree of dqfd", tree, "draws/s")
    yield median("the same by numpy's choice, over all priorities", choice, "draws/s")
    yield median("the first over that", _over(tree, choice), "")
    yield median("the same by one cumulative sum a draw and binary search", sums, "draws/s")
    yield median("the first over that", _over(tree, sums), "")


def _over(ones: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


# What is measured


def _cloned(root: Path, epochs: int) -> float:
    """Samples a second of our cloning."""
    _one_thread()
    env, dataset = gym.make(ENV_ID), demos.load(DATASET, root)
    agent = agents.make("bc", env, batch_size=BATCH_SIZE, hidden_sizes=HIDDEN_SIZES)
    start = time.perf_counter()
    agent.learn(dataset, env, seed=0, budget=epochs)
    seconds = time.perf_counter() - start
    env.close()
    return float(epochs * (dataset.total_steps // BATCH_SIZE) * BATCH_SIZE / seconds)


def _cloned_by_imitation(root: Path, epochs: int) -> float:
    """Samples a second of imitation's own loop over its own batches, with the same network."""
    _one_thread()
    from imitation.algorithms import bc
    from imitation.data.types import Transitions
    from imitation.util.logger import HierarchicalLogger
    from stable_baselines3.common.logger import Logger

    from agents.data.demonstrations import DemonstrationData
    from agents.policies.networks import BoundedPolicy, policy_keywords

    env, dataset = gym.make(ENV_ID), demos.load(DATASET, root)
    start = time.perf_counter()
    data = DemonstrationData(dataset)
    shown, episodes = data.transitions(), list(data.iterate_episodes())
    keywords = policy_keywords(HIDDEN_SIZES)
    policy = BoundedPolicy(env.observation_space, env.action_space, lambda _: 0.0, **keywords)
    extractor: Any = policy.features_extractor
    extractor.fit(data.statistics)
    trainer = bc.BC(
        observation_space=env.observation_space,
        action_space=env.action_space,
        rng=np.random.default_rng(0),
        policy=policy,
        batch_size=BATCH_SIZE,
        device="cpu",
        custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[])),
        demonstrations=Transitions(
            obs=shown.observations.numpy(),
            acts=shown.actions.numpy(),
            infos=np.array([{}] * len(shown)),
            next_obs=np.concatenate([episode.observations[1:] for episode in episodes]),
            dones=np.concatenate([episode.truncations for episode in episodes]),
        ),
    )
    trainer.train(n_epochs=epochs, progress_bar=False, log_interval=10**9)
    seconds = time.perf_counter() - start
    env.close()
    return float(epochs * (len(shown) // BATCH_SIZE) * BATCH_SIZE / seconds)


def _one_thread() -> None:
    """Layers this small are no faster on two cores, and a neighbour on the other would be measured too."""
    import torch  # late: what only reads this file's figures needs none

    torch.set_num_threads(1)


def _priorities(seed: int) -> Any:
    return np.random.default_rng(seed).random(ENTRIES) + 0.01


def _rate(draw: Callable[[], Any]) -> float:
    draw()
    start = time.perf_counter()
    for _ in range(DRAWS):
        draw()
    return DRAWS / (time.perf_counter() - start)


def _drawn_from_tree(seed: int) -> float:
    from agents.rl.dqfd.replay import SumTree

    tree, rng = SumTree(ENTRIES), np.random.default_rng(seed)
    tree.set(np.arange(ENTRIES), _priorities(seed))
    return _rate(lambda: tree.find(rng.random(DRAWN) * tree.total))


def _drawn_by_choice(seed: int) -> float:
    priorities, rng = _priorities(seed), np.random.default_rng(seed)
    return _rate(lambda: rng.choice(ENTRIES, DRAWN, p=priorities / priorities.sum()))


def _drawn_along_sums(seed: int) -> float:
    priorities, rng = _priorities(seed), np.random.default_rng(seed)

    def draw() -> Any:
        sums = np.cumsum(priorities)
        return np.searchsorted(sums, rng.random(DRAWN) * sums[-1], side="right")

    return _rate(draw)


def as_json(measured: list[Measured], *, episodes: int, epochs: int, rounds: int) -> dict[str, Any]:
    """The figures as plain data, with their conditions."""
    return {
        "machine": machine(),
        "episodes": episodes,
        "epochs": epochs,
        "rounds": rounds,
        "versions": {
            "lam_envs": lam_envs.__version__,
            "python": platform.python_version(),
            **{name: packages.version(name) for name in ("imitation", "numpy", "stable-baselines3", "torch")},
        },
        "figures": [asdict(each) for each in measured],
    }
