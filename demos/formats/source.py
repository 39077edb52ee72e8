"""Source of an export: the episodes of a dataset, with type and shape of each array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import h5py
import minari
import numpy as np
from minari.dataset.minari_storage import is_image_space
from rich.progress import track

import lam_envs
from demos.datasets.checksum import content_digest, digest_of
from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import DIGEST, INSTRUCTION, Episode, instruction_in
from demos.datasets.metadata import libraries_of, plan_of, rate_of, stores_jpeg
from demos.datasets.reading import episodes_of, is_stepwise, read_dtype
from demos.datasets.tree import tree_leaves, tree_nest
from demos.datasets.writing import stored_parts
from demos.formats.spaces import leaf_spaces
from demos.runtime.types import JsonObject, Keywords, Space

FLAGS = ("terminations", "truncations")
UNKNOWN_FPS = 20
"""Frames per second that are written for episodes with an unknown rate, where a format needs a number."""


class Column(NamedTuple):
    """Type and shape of an array of every episode, without the time axis."""

    dtype: str
    """NumPy type, such as ``<f4``."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values in one step."""
        return int(np.prod(self.shape, dtype=np.int64))


class SeedAndDigest(NamedTuple):
    """Seed and checksum of an episode."""

    seed: int | None
    sha256: str


@dataclass(frozen=True)
class Source:
    """Dataset to export.

    Attributes:
        dataset: Minari dataset.
        columns: Arrays that all episodes have, by path: ``observations/robot``, ``actions``, ``infos/state``...
        lengths: Number of steps of each episode.
        seeds_and_digests: Seed and checksum of each episode.
        losses: Descriptions of data that no format can store.
        progress: Show a progress bar.
    """

    dataset: minari.MinariDataset
    columns: dict[str, Column]
    lengths: tuple[int, ...]
    seeds_and_digests: tuple[SeedAndDigest, ...]
    losses: tuple[str, ...]
    progress: bool = False

    @property
    def steps(self) -> int:
        """Number of steps of all episodes."""
        return sum(self.lengths)

    @property
    def plan(self) -> JsonObject:
        """Plan of the dataset, or its environment alone; empty if neither is recorded."""
        try:
            return plan_of(self.dataset)
        except ValueError:
            return {}

    @property
    def env_id(self) -> str | None:
        """Id of the environment; None if unknown."""
        return self.plan.get("env_id")

    @property
    def env_kwargs(self) -> Keywords:
        """Keywords that the environment was made with."""
        return dict(self.plan.get("env_kwargs") or {})

    @cached_property
    def rate(self) -> float | None:
        """Steps per second of the episodes, which preprocessing may have changed; None if unknown."""
        return rate_of(self.dataset)

    @cached_property
    def instructions(self) -> list[str | None]:
        """Instruction of each episode as text; None for those without one."""
        with open_data(self.dataset.storage.data_path / DATA_FILE) as file:
            attributes = [file[f"episode_{index}"].attrs for index in self.dataset.episode_indices]
            return [instruction_in(dict(each)) for each in attributes]

    @property
    def version(self) -> str:
        """Version of lam_envs that collected the dataset."""
        return str(libraries_of(self.plan).get("lam_envs", lam_envs.__version__))

    def part_columns(self, part: str) -> dict[str, Column]:
        """Return the columns of a part by their path within it, such as ``robot`` in ``observations``."""
        return {
            name[len(part) :].lstrip("/"): column
            for name, column in self.columns.items()
            if name == part or name.startswith(f"{part}/")
        }

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes, one at a time, with the infos that all of them have."""
        common = set(self.part_columns("infos"))
        episodes = track(episodes_of(self.dataset), "exporting", total=len(self.lengths), disable=not self.progress)
        for episode in episodes:
            infos = tree_nest({name: value for name, value in tree_leaves(episode.infos) if name in common})
            yield Episode(
                episode.seed,
                episode.observations,
                episode.actions,
                episode.rewards,
                episode.terminations,
                episode.truncations,
                infos,
                episode.options,
                instruction=episode.instruction,
            )


def source_of(dataset: minari.MinariDataset, *, progress: bool = False) -> Source:
    """Return the source of an export; array types and shapes are read without the data.

    Raises:
        ValueError: No format can hold a space, or the arrays of the episodes differ.
    """
    if "" not in leaf_spaces(dataset.action_space):
        raise ValueError(f"no format can hold actions of {dataset.action_space}; expected a space of one array")
    if not len(dataset.episode_indices):
        raise ValueError(f"dataset {dataset.id} holds no episode; expected at least one")
    columns_found: dict[str, set[Column]] = {}
    count: dict[str, int] = {}
    lengths, seeds_and_digests, attributes = [], [], set[str]()
    indices = [int(index) for index in dataset.episode_indices]
    rounded, unread = set[str](), set[str]()
    own = _spaces_by_array(dataset)
    with open_data(dataset.storage.data_path / DATA_FILE) as file:
        for index in indices:
            group = file[f"episode_{index}"]
            seed = group.attrs.get("seed")
            seeds_and_digests.append(
                SeedAndDigest(None if seed is None else int(seed), _digest(dataset, index, group))
            )
            lengths.append(int(group.attrs["total_steps"]))
            attributes |= set(group.attrs) - {"id", "seed", "total_steps", DIGEST, INSTRUCTION}
            for name, part in _arrays("", group):
                if name.startswith("infos/") and not is_stepwise(part.shape, lengths[-1]):
                    unread.add(name)
                    continue
                dtype = read_dtype(part.dtype, own[name]) if name in own else part.dtype
                rounded |= {f"{name} as {part.dtype}"} if dtype != part.dtype else set()
                columns_found.setdefault(name, set()).add(
                    Column(np.dtype(bool).str if name in FLAGS else dtype.str, part.shape[1:])
                )
                count[name] = count.get(name, 0) + 1
    columns_found.update({name: {column} for name, column in _decoded_images(dataset).items()})
    common = {
        name: next(iter(columns))
        for name, columns in columns_found.items()
        if len(columns) == 1 and count.get(name) == len(indices) and _is_number(next(iter(columns)))
    }
    expected = [
        *(f"observations/{name}".rstrip("/") for name in leaf_spaces(dataset.observation_space)),
        *("actions", "rewards", "terminations", "truncations"),
    ]
    for name in expected:
        if name not in common:
            raise ValueError(f"{name} of {dataset.id} is not of one numeric type and shape in all episodes")
    omitted = sorted(name for name in set(columns_found) - set(common) - unread if name.startswith("infos/"))
    losses = [f"{name}: not of one numeric type and shape in all episodes" for name in omitted]
    losses += [f"{name}: no value for each step" for name in sorted(unread)]
    losses += [f"the attribute {name} of episodes" for name in sorted(attributes)]
    losses += [f"{name}: converted to the type of the space" for name in sorted(rounded)]
    if _decoded_images(dataset):
        losses.append("the JPEG compression of images: decoded images are written")
    columns = {name: common[name] for name in sorted(common) if name.startswith("infos/") or name in expected}
    return Source(dataset, columns, tuple(lengths), tuple(seeds_and_digests), tuple(losses), progress)


def _spaces_by_array(dataset: minari.MinariDataset) -> dict[str, Space]:
    """Return the spaces of observations and actions by the path of their arrays in an episode."""
    parts = {"observations": dataset.observation_space, "actions": dataset.action_space}
    return {
        f"{part}/{name}".rstrip("/"): leaf
        for part, space in parts.items()
        for name, leaf in leaf_spaces(space).items()
    }


def _digest(dataset: minari.MinariDataset, index: int, group: h5py.Group) -> str:
    """Return the stored checksum of an episode, or else the one that its import will have."""
    if isinstance(group.attrs.get(DIGEST), str) or stores_jpeg(dataset):
        return digest_of(group)
    return content_digest(*stored_parts(next(episodes_of(dataset, [index]))))


def _arrays(name: str, group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for key in group:
        part = group[key]
        if isinstance(part, h5py.Group):
            yield from _arrays(f"{name}{key}/", part)
        else:
            yield f"{name}{key}", part


def _decoded_images(dataset: minari.MinariDataset) -> dict[str, Column]:
    """Return type and shape of the decoded images that the file stores as JPEG."""
    if not dataset.storage.jpeg_encoding:
        return {}
    return {
        f"observations/{name}".rstrip("/"): Column(np.dtype(np.uint8).str, space.shape or ())
        for name, space in leaf_spaces(dataset.observation_space).items()
        if is_image_space(space)
    }


def _is_number(column: Column) -> bool:
    dtype = np.dtype(column.dtype)
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and 0 not in column.shape
