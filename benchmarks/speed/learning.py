"""Speed and memory of training, compared with imitation and NumPy, and on images."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

import agents
import demos
from benchmarks.speed.image_learning import measure_images
from benchmarks.speed.measuring import Measured, median, run_in_new_process

LIBRARIES = ("imitation", "numpy", "pillow", "stable-baselines3", "torch")
"""Libraries whose versions are recorded."""
ENV_ID = "LamGrasp-v0"
DATASET = "bench/learning-v0"
BATCH_SIZE = 128
HIDDEN_SIZES = (256, 256)
ENTRIES = 100_000
"""Size of the replay buffer."""
DRAWN = 64
"""Transitions of a sample."""
DRAWS = 200


def measure(*, episodes: int, epochs: int, rounds: int) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        episodes: Number of demonstrations.
        epochs: Number of epochs, and a tenth of that where memory is compared. Trainings on images have one.
        rounds: Number of rounds; what is compared alternates.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        demos.collect(ENV_ID, episodes=episodes, root=root, dataset_id=DATASET)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(run_in_new_process(_bc_throughput, root, epochs)[0])
            theirs.append(run_in_new_process(_imitation_bc_throughput, root, epochs)[0])
        yield median("training throughput of bc", ours, "samples/s")
        yield median("training throughput of imitation's BC, same network", theirs, "samples/s")
        yield median("throughput of bc over imitation's BC", _over(ours, theirs), "")
        few = [run_in_new_process(_bc_throughput, root, max(1, epochs // 10))[1] for _ in range(rounds)]
        many = [run_in_new_process(_bc_throughput, root, epochs)[1] for _ in range(rounds)]
        yield median(f"peak memory of bc, {max(1, epochs // 10)} epochs", few, "MB")
        yield median(f"peak memory of bc, {epochs} epochs", many, "MB")
        yield from measure_images(root, episodes=episodes, rounds=rounds)
    yield from _draws(rounds)


def _draws(rounds: int) -> Iterator[Measured]:
    """Measure prioritized sampling: by a sum tree, by ``choice``, and by cumulative sums."""
    tree, choice, sums = [], [], []
    for number in range(rounds):
        tree.append(_sample_rate_tree(number))
        choice.append(_sample_rate_choice(number))
        sums.append(_sample_rate_sums(number))
    yield median(f"prioritized samples of {DRAWN} from {ENTRIES:,}, sum tree of dqfd", tree, "draws/s")
    yield median("prioritized samples, NumPy's choice", choice, "draws/s")
    yield median("sum tree over NumPy's choice", _over(tree, choice), "")
    yield median("prioritized samples, cumulative sum and binary search", sums, "draws/s")
    yield median("sum tree over cumulative sum", _over(tree, sums), "")


def _over(ones: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


# Measurements


def _bc_throughput(root: Path, epochs: int) -> float:
    """Return samples per second of our BC."""
    _one_thread()
    env, dataset = gym.make(ENV_ID), demos.load(DATASET, root)
    agent = agents.make("bc", env, batch_size=BATCH_SIZE, hidden_sizes=HIDDEN_SIZES)
    start = time.perf_counter()
    agent.learn(dataset, env, seed=0, budget=epochs)
    seconds = time.perf_counter() - start
    env.close()
    return float(epochs * (dataset.total_steps // BATCH_SIZE) * BATCH_SIZE / seconds)


def _imitation_bc_throughput(root: Path, epochs: int) -> float:
    """Return samples per second of imitation's BC, with the same network."""
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
    transitions, episodes = data.transitions(), list(data.iterate_episodes())
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
            obs=transitions.observations.numpy(),
            acts=transitions.actions.numpy(),
            infos=np.array([{}] * len(transitions)),
            next_obs=np.concatenate([episode.observations[1:] for episode in episodes]),
            dones=np.concatenate([episode.truncations for episode in episodes]),
        ),
    )
    trainer.train(n_epochs=epochs, progress_bar=False, log_interval=10**9)
    seconds = time.perf_counter() - start
    env.close()
    return float(epochs * (len(transitions) // BATCH_SIZE) * BATCH_SIZE / seconds)


def _one_thread() -> None:
    """Use one thread: such small layers are no faster on two cores, where other load would be measured too."""
    import torch  # late: what only reads this file's figures needs none

    torch.set_num_threads(1)


def _priorities(seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).random(ENTRIES) + 0.01


def _rate(draw: Callable[[], object]) -> float:
    draw()
    start = time.perf_counter()
    for _ in range(DRAWS):
        draw()
    return DRAWS / (time.perf_counter() - start)


def _sample_rate_tree(seed: int) -> float:
    from agents.rl.dqfd.replay import SumTree

    tree, rng = SumTree(ENTRIES), np.random.default_rng(seed)
    tree.set(np.arange(ENTRIES), _priorities(seed))
    return _rate(lambda: tree.find(rng.random(DRAWN) * tree.total))


def _sample_rate_choice(seed: int) -> float:
    priorities, rng = _priorities(seed), np.random.default_rng(seed)
    return _rate(lambda: rng.choice(ENTRIES, DRAWN, p=priorities / priorities.sum()))


def _sample_rate_sums(seed: int) -> float:
    priorities, rng = _priorities(seed), np.random.default_rng(seed)

    def draw() -> object:
        sums = np.cumsum(priorities)
        return np.searchsorted(sums, rng.random(DRAWN) * sums[-1], side="right")

    return _rate(draw)
