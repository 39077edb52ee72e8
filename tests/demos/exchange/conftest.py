"""A dataset of each kind, what it is in every format, and datasets of any numbers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from hypothesis import strategies as st

import demos
from demos.datasets.episode import Episode
from demos.datasets.writing import dataset_writer
from demos.formats import FORMATS, export_dataset, import_dataset

ENV_IDS = ("LamReach-v0", "LamGraspGoal-v0", "LamReachPixels-v0", "LamGraspDiscrete-v0")
ENDINGS = {"robomimic": ".hdf5", "lerobot": "", "imitation": "", "npz": ".npz"}


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, minari.MinariDataset]:
    """A dataset of each kind of observation and action."""
    root = tmp_path_factory.mktemp("sources")
    # Images take a while to draw: short episodes have few.
    short: dict[str, Any] = {"env_kwargs": {"max_episode_steps": 10}, "keep_failures": True}
    return {
        env_id: demos.collect(
            env_id, episodes=3, demonstrator="noisy", root=root, **(short if "Pixels" in env_id else {})
        )
        for env_id in ENV_IDS
    }


@pytest.fixture(scope="session")
def exported(sources: dict[str, minari.MinariDataset], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The dataset of LamReach in every format; not to be changed."""
    folder = tmp_path_factory.mktemp("exported")
    paths = {name: folder / f"{name}{ENDINGS[name]}" for name in FORMATS}
    for name, path in paths.items():
        export_dataset(sources["LamReach-v0"], name, path)
    return paths


@pytest.fixture
def copies(exported: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The same, to be changed."""
    copied = {}
    for name, path in exported.items():
        copied[name] = tmp_path / "copies" / path.name / path.name
        copied[name].parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copied[name])
    return copied


def carried(dataset: minari.MinariDataset, format: str, folder: Path, **keywords: Any) -> minari.MinariDataset:
    """The dataset after an export and an import."""
    path = folder / f"out{ENDINGS[format]}"
    export_dataset(dataset, format, path)
    return import_dataset(path, format, "came/back-v0", root=folder / "root", **keywords)


NUMBERS = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
NAMES = st.text("abz_0", min_size=1, max_size=4)


def box(dtype: str, shape: tuple[int, ...]) -> gym.Space[Any]:
    kind: Any = np.dtype(dtype).type
    if np.dtype(dtype).kind == "f":
        return gym.spaces.Box(-np.inf, np.inf, shape, kind)
    limits = np.iinfo(dtype)
    return gym.spaces.Box(np.full(shape, limits.min, dtype), np.full(shape, limits.max, dtype), shape, kind)


LEAVES = st.one_of(
    st.builds(box, st.sampled_from(NUMBERS), SHAPES),
    st.builds(lambda n, start: gym.spaces.Discrete(n, start=start), st.integers(1, 5), st.integers(-3, 3)),
    st.builds(gym.spaces.MultiBinary, st.integers(1, 4)),
)
SPACES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(gym.spaces.Dict)
)


def some(space: Any, moments: int, rng: np.random.Generator) -> Any:
    """Random numbers of a space, the most extreme among them."""
    if isinstance(space, gym.spaces.Dict):
        return {name: some(inner, moments, rng) for name, inner in space.spaces.items()}
    shape = (moments, *space.shape)
    if isinstance(space, gym.spaces.Discrete):
        return space.start + rng.integers(space.n, size=shape)
    if isinstance(space, gym.spaces.MultiBinary):
        return rng.integers(2, size=shape, dtype=np.int8)
    if space.dtype.kind == "f":
        limits = np.finfo(space.dtype)
        extremes = [0.0, -0.0, limits.max, limits.min, limits.tiny, limits.smallest_subnormal, limits.eps, 1.0]
    else:
        whole = np.iinfo(space.dtype)
        extremes = [0, 1, whole.min, whole.max]
    return rng.choice(np.array(extremes, dtype=space.dtype), size=shape)


def random_dataset(
    root: Path, observations: gym.Space[Any], actions: gym.Space[Any], seed: int
) -> minari.MinariDataset:
    rng = np.random.default_rng(seed)
    with dataset_writer("random/numbers-v0", observations, actions, None, {}, root=root) as writer:
        for number in range(int(rng.integers(1, 4))):
            steps = int(rng.integers(1, 5))
            writer.add(
                Episode(
                    seed=int(rng.integers(2**63)) if number else None,
                    observations=some(observations, steps + 1, rng),
                    actions=some(actions, steps, rng),
                    rewards=some(box("float64", ()), steps, rng),
                    terminations=rng.integers(2, size=steps).astype(bool),
                    truncations=rng.integers(2, size=steps).astype(bool),
                    infos={
                        "odd": rng.choice([np.nan, np.inf, 0.1], size=steps + 1),
                        "inner": {"flag": rng.integers(2, size=steps + 1).astype(bool)},
                    },
                )
            )
    return demos.load("random/numbers-v0", root)
