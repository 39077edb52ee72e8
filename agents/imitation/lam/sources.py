"""Demonstrations of one task, robot and control, read from a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import minari
import numpy as np
import numpy.typing as npt
import torch

from agents.data.demonstrations import IN_MEMORY_BYTES, DemonstrationData, MappedObservations
from agents.data.symmetry import layout_symmetry
from agents.estimation.scenes import PixelObservations, Scenes, read_scenes
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.language import mirrored_sentence
from agents.imitation.lam.settings import IDLE_STEPS
from agents.imitation.lam.stored_steps import Frames, MappedFeatures
from demos.collection.environment_versions import part_name
from demos.datasets.environment import make_env
from demos.datasets.episode import INSTRUCTION, Episode
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction

IMAGES, POSITIONS = " images", " positions"
"""Suffixes of the names of groups with images, and with positions that were estimated from images."""
RENDER_INTERVAL = 4
"""Number of steps from one rendered step to the next; rendered steps show which objects are occluded."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Demonstrations of one dataset, of T steps.

    Attributes:
        name: Id of the dataset.
        group: Task, robot and control, and whether there are images, or positions that were estimated from images.
        interface: Environment that they were collected in.
        observations: Features before each step, shape (T, numbers), in memory or in the files of the dataset.
        actions: Actions, shape (T, numbers).
        ends: Index after the last step with the same command, shape (T,): its episode ends or its instruction changes
            there. Chunks do not extend beyond it.
        sentences: Sentence of each step.
        episodes: Number of episodes.
        checksum: SHA-256 of the episodes.
        images: Images of the steps; None without images.
        scenes: Labels for the estimator of objects: their positions in space and in images. None without an
            estimator, and after its training.
    """

    name: str
    group: str
    interface: Interface
    observations: torch.Tensor | MappedFeatures
    actions: torch.Tensor
    ends: torch.Tensor
    sentences: Sequence[str]
    episodes: int
    checksum: str
    images: Frames | None = None
    scenes: Scenes | None = None

    @property
    def can_be_mirrored(self) -> bool:
        """True if :meth:`mirrored` is possible: control ee, and features or estimated positions."""
        has_positions = self.images is None or self.interface.estimated_objects is not None
        return has_positions and self.interface.control == "ee"

    @property
    def in_memory_bytes(self) -> int:
        """Size of the observations that are in memory."""
        features = self.observations.nbytes if isinstance(self.observations, torch.Tensor) else 0
        return features + (0 if self.images is None else self.images.in_memory_bytes)

    def __len__(self) -> int:
        """Return the number of steps, T."""
        return len(self.ends)

    def mirrored(self) -> Source:
        """Return the mirrored demonstrations, which have positions that were estimated from images, but no images.

        Raises:
            ValueError: Features or actions have no known mirror image.
        """
        interface = self.interface
        symmetry = layout_symmetry(
            interface.layout,
            interface.action_space,
            self.name,
            mirror=True,
            rotate=False,
            remedy="Set mirror=false",
        )
        held = self.observations
        features: torch.Tensor | MappedFeatures = (
            held.mirrored(symmetry) if isinstance(held, MappedFeatures) else symmetry.mirrored_observations(held)
        )
        known = {sentence: mirrored_sentence(sentence) for sentence in set(self.sentences)}
        sentences = [known[sentence] for sentence in self.sentences]
        actions = symmetry.mirrored_actions(self.actions)
        return replace(
            self,
            group=self.group.removesuffix(IMAGES) + (POSITIONS if self.group.endswith(IMAGES) else ""),
            observations=features,
            actions=actions,
            sentences=sentences,
            images=None,
        )


def read_sources(
    datasets: Sequence[minari.MinariDataset],
    idle_steps: int = IDLE_STEPS,
    *,
    find_objects: bool = False,
    progress: bool = False,
) -> list[Source]:
    """Read the demonstrations of several datasets.

    Observations stay in their files if they and those that are already in memory, with their mirror images, have more
    than :data:`IN_MEMORY_BYTES`.

    Args:
        datasets: Datasets.
        idle_steps: Steps after success to learn from.
        find_objects: Also read the positions of objects in space and in images, from the recorded simulator states.
        progress: Show a progress bar.

    Raises:
        ValueError: See :func:`read_source`.
    """
    sources: list[Source] = []
    free = IN_MEMORY_BYTES
    for dataset in datasets:
        sources.append(read_source(dataset, idle_steps, free, find_objects=find_objects, progress=progress))
        copies = 2 if sources[-1].can_be_mirrored and sources[-1].images is None else 1
        free = max(free - copies * sources[-1].in_memory_bytes, 0)
    return sources


def read_source(
    dataset: minari.MinariDataset,
    idle_steps: int = IDLE_STEPS,
    in_memory_bytes: int = IN_MEMORY_BYTES,
    *,
    find_objects: bool = False,
    progress: bool = False,
) -> Source:
    """Read the demonstrations of a dataset.

    Args:
        dataset: Dataset.
        idle_steps: Steps after success to learn from.
        in_memory_bytes: Observations stay in their files if they have more bytes than this. The features of datasets
            with images are small, and always in memory.
        find_objects: Also read the positions of objects in space and in images, from the recorded simulator states.
        progress: Show a progress bar.

    Raises:
        ValueError: Its observations are not features, or its actions not continuous.
    """
    env = make_env(dataset)
    interface, task = Interface.of(env, find_objects=find_objects), part_name(env, "task")
    data = DemonstrationData(dataset, in_memory_bytes=in_memory_bytes)
    scenes = None
    if interface.estimated_objects is not None:
        observed = PixelObservations.of(env)
        scenes = read_scenes(data, observed, idle_steps, render_interval=RENDER_INTERVAL, progress=progress)
        observed.env.close()
    env.close()
    is_mapped = not (data.is_in_memory or interface.images)
    observations, actions, ends, sentences, rows = [], [], [], [], []
    total = before = 0
    for facts, episode in zip(data.episodes, data.iterate_episodes(), strict=True):
        seen: Any = episode.observations
        length = facts.useful_length(idle_steps)
        if not is_mapped:
            observations.append((seen[interface.features_key] if isinstance(seen, dict) else seen)[:length])
        actions.append(episode.actions[:length])
        rows.append(np.arange(before, before + length))
        texts = _sentences(episode, length)
        ends.append(total + _ends(texts))
        sentences += texts
        total, before = total + length, before + len(episode)
    numbers = torch.from_numpy(np.concatenate(rows))
    features: torch.Tensor | MappedFeatures = (
        MappedFeatures(data.transitions().observations, numbers, interface.features_key)
        if is_mapped
        else torch.from_numpy(np.concatenate(observations)).float()
    )
    return Source(
        dataset.id,
        " ".join((task, interface.robot, interface.control)) + (IMAGES if interface.images else ""),
        interface,
        features,
        torch.from_numpy(np.concatenate(actions)).float(),
        torch.from_numpy(np.concatenate(ends)),
        sentences,
        len(data.episodes),
        data.checksum,
        _frames(data, list(interface.images), numbers) if interface.images else None,
        scenes,
    )


def _sentences(episode: Episode, length: int) -> list[str]:
    """Return the sentence of each of the first ``length`` steps; in a chain of commands, it changes."""
    seen: Any = episode.observations
    if isinstance(seen, dict) and INSTRUCTION_KEY in seen:
        encoded = seen[INSTRUCTION_KEY][:length]
    elif INSTRUCTION in episode.infos:
        encoded = episode.infos[INSTRUCTION][:length]
    else:
        return [episode.instruction or ""] * length
    different, rows = np.unique(encoded, axis=0, return_inverse=True)
    texts = [decode_instruction(row) for row in different]
    return [texts[row] for row in rows.reshape(-1)]


def _ends(sentences: Sequence[str]) -> Rows:
    """Return the number after the last step with the same sentence, for each step: chunks end there."""
    count = len(sentences)
    ends = np.full(count, count)
    for step in range(count - 2, -1, -1):
        ends[step] = ends[step + 1] if sentences[step] == sentences[step + 1] else step + 1
    return ends


def _frames(data: DemonstrationData, cameras: Sequence[str], rows: torch.Tensor) -> Frames:
    """Return the images of some steps of demonstrations."""
    seen: Any = data.transitions().observations
    held = seen if isinstance(seen, MappedObservations) else {camera: seen[camera] for camera in cameras}
    return Frames(cameras, held, rows)
