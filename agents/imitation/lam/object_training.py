"""Training of the estimator of objects, on images of several datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents.data.cameras import Shape, merge_shapes
from agents.data.demonstrations import Transitions
from agents.estimation.detector import LabeledImages
from agents.estimation.scenes import Scenes
from agents.estimation.training import EstimatorSettings, detected, train_detector, train_uncertainty
from agents.imitation.lam.entities import MAX_ENTITIES
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.objects import LabeledPresence, ObjectEstimator, StateAssembler
from agents.imitation.lam.sources import Source
from agents.training.loop import LoopSettings
from agents.training.staged import StagedTraining
from lam_envs.observation.features import ROBOT_KEY


class ImageSteps:
    """Images and features of the robot of the steps of several sources, one after the other.

    Args:
        sources: Demonstrations with images.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._starts = np.cumsum([0, *map(len, sources)])

    def __len__(self) -> int:
        """Return the number of steps."""
        return int(self._starts[-1])

    def __getitem__(self, rows: Any) -> Transitions:
        """Return some steps, without actions."""
        numbers = np.arange(len(self))[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
        owners = np.searchsorted(self._starts, numbers, side="right") - 1
        order, parts = [], []
        for owner in np.unique(owners):
            indices = np.flatnonzero(owners == owner)
            source = self._sources[owner]
            chosen = torch.from_numpy(numbers[indices] - self._starts[owner])
            assert source.images is not None  # noqa: S101
            order.append(indices)
            parts.append({**source.images[chosen], ROBOT_KEY: source.observations[chosen]})
        back = torch.from_numpy(np.argsort(np.concatenate(order)))
        joined = {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}
        return Transitions(joined, torch.zeros(len(numbers), 0))


def join_scenes(sources: Sequence[Source], names: Sequence[str]) -> tuple[Scenes, torch.Tensor]:
    """Return the scenes of several sources, with all objects.

    Args:
        sources: Demonstrations with scenes.
        names: Names of all objects.

    Returns:
        Scenes whose states are empty; and whether each object is present: 1, 0, or NaN for objects of other
        environments, shape (N, objects).
    """
    positions, pixels, present = [], [], []
    for source in sources:
        scenes, seen = _labeled(source)
        rows = [names.index(name) for name in seen]
        count, cameras = len(scenes.positions), scenes.pixels.shape[1]
        positions.append(np.full((count, len(names), 3), np.nan, np.float32))
        pixels.append(np.full((count, cameras, len(names), 2), np.nan, np.float32))
        present.append(np.full((count, len(names)), np.nan, np.float32))
        positions[-1][:, rows], pixels[-1][:, :, rows] = scenes.positions, scenes.pixels
        present[-1][:, rows] = ~np.isnan(scenes.positions[..., 0])
    held = [_labeled(source)[0] for source in sources]
    starts = np.cumsum([0, *map(len, positions)])
    joined = Scenes(
        np.zeros((int(starts[-1]), 0), np.float32),
        np.concatenate(positions),
        np.concatenate([each.tool for each in held]),
        np.concatenate(pixels),
        np.concatenate([each.poses for each in held]),
        np.mean([each.intrinsics for each in held], axis=0),
        np.concatenate([start + each.rendered for start, each in zip(starts, held, strict=False)]),
        tuple(length for each in held for length in each.lengths),
    )
    return joined, torch.from_numpy(np.concatenate(present))


def epochs_of_estimator(sources: Sequence[Source], settings: EstimatorSettings) -> int:
    """Return the epochs of the networks of an estimator of objects; 0 without scenes to learn from."""
    if all(each.scenes is None for each in sources):
        return 0
    return settings.detector_epochs + 2 * settings.uncertainty_epochs


def with_objects(
    sources: Sequence[Source],
    interfaces: Sequence[Interface],
    trained: ObjectEstimator | None,
    settings: EstimatorSettings,
    training: StagedTraining | None,
) -> tuple[list[Source], ObjectEstimator | None]:
    """Return sources with estimated states in place of the robot's features, and a newly trained estimator.

    Sources without scenes stay as they are, after the others.

    Args:
        sources: Demonstrations.
        interfaces: Environments whose objects have to be known.
        trained: Trained estimator; None to train one.
        settings: Settings.
        training: Staged training that trains and checkpoints the networks; None with a trained estimator, or without
            scenes.

    Raises:
        ValueError: There are too many objects; the demonstrations do not have all objects of an environment; or
            cameras or image shapes differ between sources, or from those of the trained estimator.
    """
    seen = [each for each in sources if each.scenes is not None]
    if not seen:
        return list(sources), None
    named = [each.interface.estimated_objects for each in seen]
    names = sorted({name for each in named if each is not None for name in each.keys})
    if len(names) > MAX_ENTITIES:
        raise ValueError(f"there are {len(names)} objects to find in images; expected at most {MAX_ENTITIES}")
    for interface in interfaces:
        if interface.estimated_objects is not None:
            interface.estimated_objects.check(names if trained is None else trained.names)
    cameras: dict[str, Shape] = {} if trained is None else trained.cameras
    for found in [*(each.interface for each in seen), *interfaces]:
        cameras = merge_shapes(cameras, found.images)
    others = [each for each in sources if each.scenes is None]
    if trained is not None:
        return [*with_estimated_states(seen, trained), *others], None
    assert training is not None  # noqa: S101  (there are scenes)
    estimator = ObjectEstimator(cameras, names)
    return [*train_object_estimator(seen, estimator, settings, training), *others], estimator


def train_object_estimator(
    sources: Sequence[Source], estimator: ObjectEstimator, settings: EstimatorSettings, training: StagedTraining
) -> list[Source]:
    """Train an estimator of objects; return the sources with estimated states in place of the features of the robot.

    Args:
        sources: Demonstrations with scenes.
        estimator: Estimator, which is trained.
        settings: Settings.
        training: Staged training that trains and checkpoints the networks.
    """
    scenes, present = join_scenes(sources, estimator.names)
    estimator.fit(scenes)
    steps: Any = ImageSteps(sources)
    images = LabeledImages(steps, torch.from_numpy(scenes.pixels), torch.from_numpy(scenes.rendered))
    train_detector(estimator, images, settings, training)
    keypoints, _ = detected(estimator, steps)
    tool = torch.cat([_assembler(source, estimator).tool(_robot(source)) for source in sources])
    train_uncertainty(estimator, keypoints, scenes, tool, settings, training)
    size = min(settings.uncertainty_batch_size, len(steps))
    loop = LoopSettings(settings.uncertainty_epochs, size, settings.uncertainty_learning_rate)
    training.train("presence", estimator.presence, LabeledPresence(keypoints, present), loop)
    estimator.eval()
    starts = np.cumsum([0, *map(len, sources)])
    return [
        _with_states(source, estimator, keypoints[start : start + len(source)])
        for source, start in zip(sources, starts, strict=False)
    ]


def with_estimated_states(sources: Sequence[Source], estimator: ObjectEstimator) -> list[Source]:
    """Return sources with estimated states in place of the features of the robot, by an estimator that is trained."""
    found = []
    for source in sources:
        steps: Any = ImageSteps([source])
        found.append(_with_states(source, estimator, detected(estimator, steps)[0]))
    return found


@torch.no_grad()
def _with_states(source: Source, estimator: ObjectEstimator, keypoints: torch.Tensor) -> Source:
    """Return a source with estimated states in place of the features of the robot."""
    assembler = _assembler(source, estimator)
    robot = _robot(source)
    tool = assembler.tool(robot)
    lengths = np.array(_labeled(source)[0].lengths)
    # All episodes advance together, the longest ones first.
    starts = np.cumsum([0, *lengths[:-1]])
    order = np.argsort(-lengths, kind="stable")
    states = torch.empty(len(source), source.interface.layout.size)
    memory = estimator.initial_memory(len(order), robot.device)
    for step in range(int(lengths.max())):
        count = int((lengths > step).sum())
        rows = torch.from_numpy(starts[order[:count]] + step)
        memory = {name: values[:count] for name, values in memory.items()}
        positions, memory = estimator.update(keypoints[rows], tool[rows], memory)
        states[rows] = assembler(robot[rows], positions, memory["presence"])
    return replace(source, observations=states, scenes=None)


def _robot(source: Source) -> torch.Tensor:
    """Return the features of the robot; with images, they are in memory."""
    features = source.observations
    return features if isinstance(features, torch.Tensor) else features[torch.arange(len(source))]


def _labeled(source: Source) -> tuple[Scenes, tuple[str, ...]]:
    """Return the scenes and the names of the objects of a source."""
    if source.scenes is None or source.interface.estimated_objects is None:
        raise RuntimeError("the source has no scenes: read it with find_objects=True")
    return source.scenes, source.interface.estimated_objects.keys


def _assembler(source: Source, estimator: ObjectEstimator) -> StateAssembler:
    """Return the layer that assembles the states of a source."""
    interface = source.interface
    if interface.estimated_objects is None:
        raise RuntimeError("the source has no objects to find: read it with find_objects=True")
    return StateAssembler(interface.layout, interface.estimated_objects, estimator.names)
