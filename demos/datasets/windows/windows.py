"""Windows of episodes for training: the last observations before a step and the actions from it on.

Files are memory-mapped: a dataset may be larger than the memory. Episodes that are compressed or hold JPEG images are
mapped from the frame cache (:mod:`demos.datasets.windows.frame_cache`) if there is one, and else decoded when needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import gymnasium as gym
import h5py
import minari
import numpy as np
import numpy.typing as npt

from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.reading import read_dtype
from demos.datasets.tree import tree_map, tree_nest
from demos.datasets.windows.frame_cache import frame_cache_file, has_frame_cache
from demos.datasets.windows.sources import DecodedEpisodes, MappedFile, is_mappable
from demos.runtime.types import Array, Arrays, Observation, Space

ACTIONS = "/actions"
"""Name of the actions among the observed arrays, whose keys begin with no slash."""


class Window(TypedDict):
    """Window, or a batch of windows with the number N of windows as first axis of every array."""

    observation: Observation
    """Shape ([N,] obs_horizon, ...), or a dict of arrays of such shapes."""
    action: Array
    """Shape ([N,] past + action_horizon, ...)."""
    is_pad: npt.NDArray[np.bool_]
    """Shape ([N,] past + action_horizon): True for repeated actions."""


class Windows:
    """Windows around every step of a dataset.

    Window ``i`` belongs to step t of an episode: ``obs_horizon`` observations up to t, and ``action_horizon`` actions
    from t on. Before the start the first observation is repeated, after the end the last action; ``is_pad`` marks the
    repeated actions (Zhao et al. 2023, action chunking, arXiv 2304.13705, section IV). With ``past``, the actions
    begin that many steps earlier, and the first action is repeated before the start.

    Args:
        dataset: Minari dataset.
        obs_horizon: Number of observations, at least 1.
        action_horizon: Number of actions from the step on, at least 1.
        past: Number of actions before the step.

    Raises:
        ValueError: A number is too small, or a space is neither an array nor a dict of arrays.
    """

    def __init__(
        self, dataset: minari.MinariDataset, *, obs_horizon: int = 1, action_horizon: int = 1, past: int = 0
    ) -> None:
        if obs_horizon < 1 or action_horizon < 1:
            raise ValueError(
                f"obs_horizon is {obs_horizon} and action_horizon is {action_horizon}; expected at least 1 each"
            )
        if past < 0:
            raise ValueError(f"past is {past}; expected at least 0")
        self.dataset = dataset
        self.obs_horizon = obs_horizon
        self.action_horizon = action_horizon
        self.past = past
        self._path = dataset.storage.data_path / DATA_FILE
        spaces = {"observations": dataset.observation_space, "actions": dataset.action_space}
        self._spaces = {name: space for part, whole in spaces.items() for name, space in _leaf_spaces(whole, part)}
        self._indices = [int(index) for index in dataset.episode_indices]
        with open_data(self._path) as file:
            lengths = [int(file[f"episode_{index}"].attrs["total_steps"]) for index in self._indices]
            first = file[f"episode_{self._indices[0]}"]
            self.keys = tuple(name for name, _ in _datasets(first["observations"]))
            """Paths of the observed arrays; ``""`` for a plain observation space."""
            if not isinstance(first["actions"], h5py.Dataset):
                raise ValueError(f"the actions of {dataset.id} are not arrays; expected a space of numbers")
            self._is_mappable = is_mappable(first)
        self.ends = np.cumsum(lengths)
        """Index of the first window after each episode."""
        self._lengths = lengths
        self._source: MappedFile | DecodedEpisodes | None = None
        self._pid = -1

    def __len__(self) -> int:
        """Number of steps of the dataset."""
        return int(self.ends[-1])

    def __getitem__(self, index: int | Sequence[int] | npt.NDArray[np.integer[Any]]) -> Window:
        """Return one window, or a batch of windows.

        Args:
            index: Index or indices below ``len(self)``; negative ones count from the end.

        Returns:
            The window or batch; see :class:`Window`.

        Raises:
            IndexError: There is no such window.
            TypeError: The index is neither an integer nor a sequence of integers.
        """
        numbers = np.asarray(index)
        if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or not numbers.size:
            raise TypeError(f"invalid index {index!r}; expected an integer or a sequence of integers")
        numbers = numbers.astype(np.int64)
        if not numbers.ndim:
            window: Window = tree_map(lambda values: values[0], self._batch(numbers[None]))
            return window
        return self._batch(numbers)

    def close(self) -> None:
        """Close the file; it opens again when needed."""
        if self._source is not None:
            self._source.close()
        self._source = None

    def __getstate__(self) -> dict[str, object]:
        """Return the state for copies, without the open file."""
        return {**self.__dict__, "_source": None, "_pid": -1}

    def _batch(self, numbers: Array) -> Window:
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(self)):
            raise IndexError(
                f"invalid indices {numbers.min()} to {numbers.max()}; expected indices below {len(self)}"
            )
        episodes = np.searchsorted(self.ends, numbers, side="right")
        lengths = np.asarray(self._lengths)[episodes]
        steps = numbers - (self.ends[episodes] - lengths)
        source = self._open()
        groups = source.groups(np.asarray(self._indices)[episodes])
        parts = []
        for rows in groups:
            parts.append(self._read(source, episodes[rows].tolist(), steps[rows].tolist()))
            source.release()
        arrays = parts[0]
        if len(parts) > 1:
            order = np.argsort(np.concatenate(groups))
            arrays = {name: np.concatenate([part[name] for part in parts])[order] for name in arrays}
        action = arrays.pop(ACTIONS)
        positions = steps[:, None] + np.arange(-self.past, self.action_horizon)
        return {
            "observation": arrays[""] if self.keys == ("",) else tree_nest(arrays),
            "action": action,
            "is_pad": (positions < 0) | (positions >= lengths[:, None]),
        }

    def _read(
        self, source: MappedFile | DecodedEpisodes, episode_numbers: list[int], step_numbers: list[int]
    ) -> Arrays:
        """Return the observed arrays of windows by key, and the actions by :data:`ACTIONS`."""
        arrays: Arrays = {
            key: self._gather(
                source,
                f"observations/{key}" if key else "observations",
                episode_numbers,
                step_numbers,
                self.obs_horizon,
                0,
            )
            for key in self.keys
        }
        size, ahead = self.past + self.action_horizon, self.action_horizon - 1
        arrays[ACTIONS] = self._gather(source, "actions", episode_numbers, step_numbers, size, ahead)
        return arrays

    def _gather(
        self,
        source: MappedFile | DecodedEpisodes,
        name: str,
        episode_numbers: list[int],
        step_numbers: list[int],
        size: int,
        ahead: int,
    ) -> Array:
        """Copy ``size`` rows that end ``ahead`` after each step, repeating the first and the last row."""
        views = source.views(name, [self._indices[episode] for episode in set(episode_numbers)])
        indices = self._indices
        sample = views[indices[episode_numbers[0]]]
        # Third-party datasets may hold numbers of another type than their spaces.
        dtype = read_dtype(sample.dtype, self._spaces[name]) if name in self._spaces else sample.dtype
        out = np.empty((len(episode_numbers), size, *sample.shape[1:]), dtype=dtype)
        back = ahead - size + 1
        for row, (episode, step) in enumerate(zip(episode_numbers, step_numbers, strict=True)):
            view = views[indices[episode]]
            start = step + back
            end = start + size
            if start >= 0 and end <= len(view):
                out[row] = view[start:end]
            else:
                out[row] = view[np.clip(np.arange(start, end), 0, len(view) - 1)]
        return out

    def _open(self) -> MappedFile | DecodedEpisodes:
        # Each forked worker opens its own file.
        if self._source is None or self._pid != os.getpid():
            if self._is_mappable:
                self._source = MappedFile(self._path)
            elif has_frame_cache(self.dataset):
                self._source = MappedFile(frame_cache_file(self.dataset))
            else:
                self._source = DecodedEpisodes(self.dataset)
            self._pid = os.getpid()
        return self._source


def _datasets(part: h5py.Group | h5py.Dataset, name: str = "") -> list[tuple[str, h5py.Dataset]]:
    if not isinstance(part, h5py.Group):
        return [(name, part)]
    datasets = []
    for key in part:
        datasets += _datasets(part[key], f"{name}/{key}" if name else key)
    return datasets


def _leaf_spaces(space: Space, name: str) -> Iterator[tuple[str, Space]]:
    if isinstance(space, gym.spaces.Dict):
        for key, inner in space.spaces.items():
            yield from _leaf_spaces(inner, f"{name}/{key}")
    else:
        yield name, space
