"""Frames of episodes of any task, robot and quality, without labels and rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import minari
import numpy as np
import numpy.typing as npt
import torch

from agents.data.demonstrations import IN_MEMORY_BYTES, DemonstrationData
from agents.data.sequences import Steps
from agents.data.spaces import has_channels_first, is_image, parts_of
from agents.types import JsonObject, Space

Rows = npt.NDArray[np.int64]
Shapes: TypeAlias = dict[str, tuple[int, int, int]]
"""Channels, height and width of the images of each camera."""


@dataclass(frozen=True)
class FrameBatch:
    """Minibatch of N examples with F frames each.

    Attributes:
        images: Images of each camera, shape (N, F, height, width, channels), uint8.
        episodes: Number of the episode of each example, shape (N,).
        actions: Executed actions at the first frames, shape (N, ...); empty for methods that do not use actions.
    """

    images: Mapping[str, torch.Tensor]
    episodes: torch.Tensor
    actions: torch.Tensor

    def __len__(self) -> int:
        """Return the number of examples, N."""
        return len(self.episodes)

    def to(self, device: torch.device) -> FrameBatch:
        """Return the examples, with the same shapes, on a device."""
        images = {name: values.to(device) for name, values in self.images.items()}
        return FrameBatch(images, self.episodes.to(device), self.actions.to(device))


class Frames:
    """Frames of several datasets, whose observations and actions may otherwise differ.

    Args:
        datasets: Datasets with images of the same cameras and sizes.
        with_actions: Also read the executed actions, which must have one space.
        in_memory_bytes: Observations of more bytes than this stay in their files.

    Raises:
        ValueError: No datasets; no images; or other cameras, sizes or actions than in the first dataset.

    Attributes:
        cameras: Shapes of the images.
        steps: Position of each frame among all frames; the last observation of an episode is not a frame.
        actions: Executed actions, shape (frames, ...); empty without actions.
        action_space: Space of the actions of the first dataset.
        sources: Id, number of episodes, and checksum of each dataset.
    """

    def __init__(
        self,
        datasets: Sequence[minari.MinariDataset],
        *,
        with_actions: bool = False,
        in_memory_bytes: int = IN_MEMORY_BYTES,
    ) -> None:
        if not datasets:
            raise ValueError("no datasets: expected at least one with images, given by --data")
        self.cameras = image_shapes(datasets[0])
        self.action_space: Space = datasets[0].action_space
        self.sources: list[JsonObject] = []
        self._images: list[Mapping[str, torch.Tensor] | Any] = []
        lengths: list[int] = []
        actions: list[npt.NDArray[Any]] = []
        self._borders = [0]
        for dataset in datasets:
            self._check(dataset, datasets[0], with_actions=with_actions)
            data = DemonstrationData(dataset, in_memory_bytes=in_memory_bytes)
            observations = data.transitions().observations
            if data.is_in_memory:
                parts = observations if isinstance(observations, dict) else {"": observations}
                observations = {name: parts[name] for name in self.cameras}
                in_memory_bytes -= sum(values.nbytes for values in observations.values())
            self._images.append(observations)
            self._borders.append(self._borders[-1] + data.total_steps)
            lengths += [episode.length for episode in data.episodes]
            self.sources.append({"id": data.id, "episodes": len(data.episodes), "checksum": data.checksum})
            if with_actions:
                actions += [episode.executed_actions for episode in data.iterate_episodes()]
        self.steps = Steps.of(lengths, range(len(lengths)))
        self.actions = torch.from_numpy(np.concatenate(actions)) if with_actions else torch.empty(0)

    def _check(self, dataset: minari.MinariDataset, first: minari.MinariDataset, *, with_actions: bool) -> None:
        shapes = image_shapes(dataset)
        if shapes != self.cameras:
            raise ValueError(
                f"dataset {dataset.id} has images {_described(shapes)}; {first.id} has {_described(self.cameras)}: "
                "expected the same cameras and sizes"
            )
        if with_actions and dataset.action_space != first.action_space:
            raise ValueError(
                f"dataset {dataset.id} has actions of {dataset.action_space}; {first.id} has {first.action_space}: "
                "this method needs one space of actions"
            )

    def images(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Return frames by camera, each of shape (n, height, width, channels).

        Args:
            rows: Numbers of frames, shape (n,).
        """
        numbers = np.searchsorted(self._borders, rows, side="right") - 1
        found: dict[str, torch.Tensor] = {}
        for number in np.unique(numbers):
            places = torch.from_numpy(np.flatnonzero(numbers == number))
            own = torch.from_numpy(rows[numbers == number] - self._borders[number])
            source = self._images[number]
            if isinstance(source, dict):
                read = {name: source[name][own] for name in self.cameras}
            else:
                parts = source[own]
                read = {name: parts[name] if isinstance(parts, dict) else parts for name in self.cameras}
            for name, values in read.items():
                pixels = values.movedim(1, -1) if has_channels_first(tuple(values.shape[1:])) else values
                if name not in found:
                    found[name] = pixels.new_empty((len(rows), *pixels.shape[1:]))
                found[name][places] = pixels
        return found


class FrameExamples:
    """Examples of several frames that are drawn together. Indexing gives a :class:`FrameBatch`.

    Args:
        frames: Frames.
        draw: Function from the positions of n first frames to numbers of frames, shape (n, F).
        later: Number of frames of the episode that must follow the first one.

    Raises:
        ValueError: No episode is long enough.
    """

    def __init__(self, frames: Frames, draw: Callable[[Steps], Rows], later: int) -> None:
        self._frames = frames
        self._draw = draw
        self._first = frames.steps[frames.steps.rows + later < frames.steps.ends]
        if not len(self._first.rows):
            raise ValueError(f"no episode has more than {later} steps: collect longer ones")

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._first.rows)

    def __getitem__(self, rows: Any) -> FrameBatch:
        """Return some examples."""
        steps = self._first[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
        drawn = self._draw(steps)
        images = self._frames.images(drawn.ravel())
        actions = self._frames.actions
        return FrameBatch(
            {name: values.reshape(*drawn.shape, *values.shape[1:]) for name, values in images.items()},
            torch.from_numpy(steps.episodes),
            actions[torch.from_numpy(steps.rows)] if len(actions) else actions,
        )


def image_shapes(dataset: minari.MinariDataset) -> Shapes:
    """Return channels, height and width of the images of each camera of a dataset.

    Raises:
        ValueError: The observations have no images.
    """
    shapes: Shapes = {}
    for name, part in parts_of(dataset.observation_space).items():
        if is_image(part):
            first = has_channels_first(part.shape)
            channels, height, width = part.shape if first else (part.shape[2], *part.shape[:2])
            shapes[name] = (channels, height, width)
    if not shapes:
        raise ValueError(
            f"dataset {dataset.id} has no images: collect episodes of an environment such as LamGraspPixels-v0, or "
            "add images to recorded states (python -m demos preprocess ... states-to-obs)"
        )
    return shapes


def _described(shapes: Shapes) -> str:
    return ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items())
