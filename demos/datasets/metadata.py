"""Metadata of a dataset: its plan, history, rate and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec, registry
from minari.dataset.minari_storage import is_image_space

from demos.runtime.types import JsonObject, Keywords, Metadata, Space
from lam_envs.bullet.simulation import CONTROL_HZ
from lam_envs.registration import is_lam_env

PLAN = "lam_envs_plan"
"""Metadata key of the plan: settings and versions of :func:`demos.collect`."""
WITH_OTHERS = "with_others"
"""Plan key of a merged dataset: True if some episodes were not collected by this package."""
FAILURES = "lam_envs_failures"
"""Name in the metadata of the number of failed attempts by reason, in datasets that imitate a person."""
HISTORY = "lam_envs_history"
"""Metadata key of the history: the steps after the collection, in their order."""
SCHEMA = "lam_envs_form"
"""Metadata key of the rate and the features (``DatasetSchema``), if they differ from those of the environment."""
HIGHEST_RATE = 10_000.0
"""Largest rate, steps per second: higher ones would fill the memory."""
RENDER_KEYWORDS = ("render_mode", "render_width", "render_height", "camera")
"""Keywords of environments that change how :meth:`render` draws, and do not change episodes."""


def is_collected(metadata: Metadata) -> bool:
    """Return True if :func:`demos.collect` recorded all episodes of a dataset.

    Datasets of Minari or of an import may lack seeds, infos and success.

    Args:
        metadata: Metadata of the dataset.
    """
    plan = metadata.get(PLAN)
    return isinstance(plan, dict) and "qualities" in plan and not plan.get(WITH_OTHERS)


def require_dataset(dataset: object) -> None:
    """Check that an argument is a dataset.

    Raises:
        TypeError: It is the id of a dataset, or something else.
    """
    if not isinstance(dataset, minari.MinariDataset):
        hint = f"open it by demos.load({str(dataset)!r})" if isinstance(dataset, (str, Path)) else "see demos.load"
        raise TypeError(f"found {dataset!r}; expected a dataset: {hint}")


def plan_of(dataset: minari.MinariDataset) -> JsonObject:
    """Return the plan of a dataset: ``env_id``, ``env_kwargs``, ``seed``, versions and so on.

    If :func:`demos.collect` did not collect the dataset, only ``env_id`` and ``env_kwargs`` are known, from
    its ``env_spec``.

    Raises:
        ValueError: The dataset does not record its environment.
    """
    require_dataset(dataset)
    plan = dataset.storage.metadata.get(PLAN)
    if plan is None and dataset.env_spec is not None:
        plan = {"env_id": dataset.env_spec.id, "env_kwargs": _env_kwargs(dataset.env_spec)}
    if not isinstance(plan, dict) or not isinstance(plan.get("env_id"), str):
        raise ValueError(
            f"dataset {dataset.id} does not record its environment: it has no env_spec. Write it "
            "again with env=..., as minari.create_dataset_from_buffers takes it"
        )
    return plan


def _env_kwargs(spec: EnvSpec) -> Keywords:
    """Return the keywords of ``gym.make`` that made an environment, without those of its rendering."""
    known = registry.get(spec.id)
    registered = {} if known is None else known.kwargs
    env_kwargs = {
        name: value
        for name, value in spec.kwargs.items()
        if name not in RENDER_KEYWORDS and not (name in registered and registered[name] == value)
    }
    if known is not None and spec.max_episode_steps not in (None, known.max_episode_steps):
        env_kwargs["max_episode_steps"] = spec.max_episode_steps
    return env_kwargs


def history_of(dataset: minari.MinariDataset) -> list[JsonObject]:
    """Return the steps after the collection, in their order.

    Returns:
        For each step its name (``step``), ``replays`` (True if the actions still give the episodes), ``executes``
        (True if the episodes were executed again), the id of the source dataset (``of``), and the settings of the
        step.
    """
    history = dataset.storage.read_raw_metadata(dataset.storage.data_path).get(HISTORY, [])
    return [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []


def changes_of(dataset: minari.MinariDataset) -> list[str]:
    """Return the names of the steps after which the actions no longer give their episodes."""
    require_dataset(dataset)
    changes: list[str] = []
    for step in history_of(dataset):
        if step.get("executes"):
            changes = []
        elif not step.get("replays"):
            changes.append(str(step.get("step")))
    return changes


def stores_jpeg(dataset: minari.MinariDataset) -> bool:
    """Return True if a dataset holds images that are stored as JPEG, with loss.

    Minari sets ``jpeg_encoding`` by default, also for datasets without images.
    """
    images = holds_images(dataset.observation_space) or holds_images(dataset.action_space)
    return bool(dataset.storage.jpeg_encoding) and images


def holds_images(space: Space) -> bool:
    """Return True if Minari stores parts of a space as images."""
    if isinstance(space, gym.spaces.Dict):
        return any(map(holds_images, space.spaces.values()))
    if isinstance(space, gym.spaces.Tuple):
        return any(map(holds_images, space.spaces))
    return bool(is_image_space(space))


def small_images(space: Space, name: str = "the observation") -> list[str]:
    """Return the images of a space that Minari never stores as JPEG, because a side is below 32 pixels.

    Args:
        space: Observation space.
        name: Name of the value in the result.
    """
    if isinstance(space, gym.spaces.Dict):
        return [text for key, part in space.spaces.items() for text in small_images(part, key)]
    if isinstance(space, gym.spaces.Tuple):
        return [text for number, part in enumerate(space.spaces) for text in small_images(part, f"{name}[{number}]")]
    is_image = isinstance(space, gym.spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8
    if not is_image or is_image_space(space):
        return []
    return [f"{name} ({' x '.join(map(str, space.shape or ()))})"]


def rate_of(dataset: minari.MinariDataset) -> float | None:
    """Return the steps per second of a dataset's episodes, which preprocessing may have changed.

    Returns:
        The rate in the metadata, or else that of the environment; None if neither is known.

    Raises:
        ValueError: The rate in the metadata is not a positive number.
    """
    metadata = dataset.storage.read_raw_metadata(dataset.storage.data_path)
    if SCHEMA in metadata:
        saved = metadata[SCHEMA]
        return validate_rate(saved.get("rate") if isinstance(saved, dict) else saved)
    return environment_rate(dataset)


def environment_rate(dataset: minari.MinariDataset) -> float | None:
    """Return the steps per second of the environment that a dataset comes from; None outside of lam_envs."""
    try:
        env_id = plan_of(dataset)["env_id"]
    except ValueError:
        env_id = None if dataset.env_spec is None else dataset.env_spec.id
    return float(CONTROL_HZ) if is_lam_env(env_id) else None


def validate_rate(rate: object) -> float | None:
    """Return a rate from a file; None if it is unknown.

    Raises:
        ValueError: It is not a positive number.
    """
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 < rate <= HIGHEST_RATE:
        raise ValueError(
            f"the metadata of the dataset are damaged: the rate is {rate!r}; "
            f"expected a positive number of steps per second, at most {HIGHEST_RATE:g}"
        )
    return float(rate)


def episode_seeds(dataset: minari.MinariDataset) -> list[int]:
    """Return the seed of each episode.

    Raises:
        ValueError: An episode has no seed.
    """
    seeds: list[int] = []
    for metadata in dataset.storage.get_episode_metadata(dataset.episode_indices):
        if metadata.get("seed") is None:
            raise ValueError(
                f"episode {metadata.get('id')} of dataset {dataset.id} has no seed: its actions cannot be "
                "re-executed from its start. If states were recorded, replay these: python -m demos replay --states"
            )
        seeds.append(int(metadata["seed"]))
    return seeds


def libraries_of(plan: Mapping[str, object]) -> JsonObject:
    """Return the library versions of a plan; older plans store them among the versions of parts.

    Args:
        plan: Plan that :func:`plan_of` returns.
    """
    libraries = plan.get("libraries") or plan.get("versions")
    return libraries if isinstance(libraries, dict) else {}
