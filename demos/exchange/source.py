"""What an export reads: the episodes of a dataset, and what each of their arrays is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import h5py
import minari
import numpy as np
from minari.dataset.minari_storage import is_image_space
from rich.progress import track

import lam_envs
from demos.checksum import DIGEST, episode_digest
from demos.dataset import DATA_FILE, PLAN, rate_of
from demos.episode import Episode, episodes_of, leaves, nested
from demos.exchange.spaces import leaf_spaces

UNKNOWN_FPS = 20
"""Frames a second of episodes whose environment does not say, where a format wants a number."""


class Column(NamedTuple):
    """What one array of every episode is, without its first axis, which is time."""

    dtype: str
    """Such as ``<f4``."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers a moment."""
        return int(np.prod(self.shape, dtype=np.int64))


class Signature(NamedTuple):
    """What identifies an episode."""

    seed: int | None
    sha256: str


@dataclass(frozen=True)
class Source:
    """A dataset as exports see it.

    Attributes:
        dataset: The dataset.
        columns: Every array that all episodes have alike: ``observations/robot``, ``actions``, ``infos/state``...
        lengths: Steps of each episode.
        signatures: Of each episode.
        losses: What no foreign format holds, in words.
        progress: Show a bar.
    """

    dataset: minari.MinariDataset
    columns: dict[str, Column]
    lengths: tuple[int, ...]
    signatures: tuple[Signature, ...]
    losses: tuple[str, ...]
    progress: bool = False

    @property
    def steps(self) -> int:
        """Steps of all episodes."""
        return sum(self.lengths)

    @property
    def plan(self) -> dict[str, Any]:
        """What the dataset was collected with; nothing if it was not collected by this package."""
        plan = self.dataset.storage.read_raw_metadata(self.dataset.storage.data_path).get(PLAN)
        return plan if isinstance(plan, dict) else {}

    @property
    def env_id(self) -> str | None:
        """The environment's id, if anything tells it."""
        spec = self.dataset.spec.env_spec
        return self.plan.get("env_id") or (spec.id if spec is not None else None)

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """The keywords that the environment was made with."""
        return dict(self.plan.get("env_kwargs") or {})

    @cached_property
    def rate(self) -> float | None:
        """Steps per second of the episodes, which preprocessing may have changed; None if nobody knows."""
        return rate_of(self.dataset)

    @property
    def version(self) -> str:
        """Of the package whose environment it is."""
        return str((self.plan.get("libraries") or {}).get("lam_envs", lam_envs.__version__))

    def named(self, part: str) -> dict[str, Column]:
        """Returns the columns of a part by their way within it: of ``observations`` for example ``robot``."""
        return {
            name[len(part) :].lstrip("/"): column
            for name, column in self.columns.items()
            if name == part or name.startswith(f"{part}/")
        }

    def episodes(self) -> Iterator[Episode]:
        """Yields the episodes, one at a time, with the infos that all have alike."""
        kept = set(self.named("infos"))
        episodes = track(episodes_of(self.dataset), "exporting", total=len(self.lengths), disable=not self.progress)
        for episode in episodes:
            infos = nested({name: value for name, value in leaves(episode.infos) if name in kept})
            yield Episode(
                episode.seed,
                episode.observations,
                episode.actions,
                episode.rewards,
                episode.terminations,
                episode.truncations,
                infos,
            )


def source_of(dataset: minari.MinariDataset, *, progress: bool = False) -> Source:
    """Looks at every array of a dataset without reading it.

    Raises:
        ValueError: A space that no format has a place for, or episodes that are not alike.
    """
    if "" not in leaf_spaces(dataset.action_space):
        raise ValueError(f"no format has a place for actions of {dataset.action_space}; expected one array")
    if not len(dataset.episode_indices):
        raise ValueError(f"dataset {dataset.id} holds no episode; expected at least one")
    found: dict[str, set[Column]] = {}
    count: dict[str, int] = {}
    lengths, signatures, attributes = [], [], set[str]()
    indices = [int(index) for index in dataset.episode_indices]
    with h5py.File(dataset.storage.data_path / DATA_FILE, "r") as file:
        for index in indices:
            group = file[f"episode_{index}"]
            seed = group.attrs.get("seed")
            digest = group.attrs.get(DIGEST) or episode_digest(group)
            signatures.append(Signature(None if seed is None else int(seed), str(digest)))
            lengths.append(int(group.attrs["total_steps"]))
            attributes |= set(group.attrs) - {"id", "seed", "total_steps", DIGEST}
            for name, part in _arrays("", group):
                found.setdefault(name, set()).add(Column(part.dtype.str, part.shape[1:]))
                count[name] = count.get(name, 0) + 1
    found.update({name: {column} for name, column in _decoded_pictures(dataset).items()})
    alike = {
        name: next(iter(columns))
        for name, columns in found.items()
        if len(columns) == 1 and count[name] == len(indices) and _is_number(next(iter(columns)))
    }
    expected = [
        *(f"observations/{name}".rstrip("/") for name in leaf_spaces(dataset.observation_space)),
        *("actions", "rewards", "terminations", "truncations"),
    ]
    for name in expected:
        if name not in alike:
            raise ValueError(f"{name} of the episodes of {dataset.id} are not numbers of one type and shape")
    left = sorted(name for name in set(found) - set(alike) if name.startswith("infos/"))
    losses = [f"{name}: not numbers of one type and shape in every episode" for name in left]
    losses += [f"the attribute {name} of episodes" for name in sorted(attributes)]
    if _decoded_pictures(dataset):
        losses.append("that pictures were stored as JPEG: they are written as they are decoded")
    columns = {name: alike[name] for name in sorted(alike) if name.startswith("infos/") or name in expected}
    return Source(dataset, columns, tuple(lengths), tuple(signatures), tuple(losses), progress)


def _arrays(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    for key in group:
        part = group[key]
        if isinstance(part, h5py.Group):
            yield from _arrays(f"{name}{key}/", part)
        else:
            yield f"{name}{key}", part


def _decoded_pictures(dataset: minari.MinariDataset) -> dict[str, Column]:
    """The pictures that the file holds as JPEG, as they are when decoded."""
    if not dataset.storage.jpeg_encoding:
        return {}
    return {
        f"observations/{name}".rstrip("/"): Column(np.dtype(np.uint8).str, space.shape)
        for name, space in leaf_spaces(dataset.observation_space).items()
        if is_image_space(space)
    }


def _is_number(column: Column) -> bool:
    dtype = np.dtype(column.dtype)
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and 0 not in column.shape
