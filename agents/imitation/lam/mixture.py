"""Demonstrations of several tasks, robots and instructions, sampled in balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import minari
import numpy as np
import numpy.typing as npt
import torch

from agents.data.demonstrations import IN_MEMORY_BYTES, DemonstrationData, MappedObservations
from agents.data.symmetry import layout_symmetry
from agents.estimation.scenes import PixelObservations, Scenes, read_scenes
from agents.imitation.lam.entities import EntityReader, EntityTable, Schema
from agents.imitation.lam.known_sentences import without_names
from agents.imitation.lam.language import ParsedSentence, mirrored_sentence, parse
from agents.imitation.lam.networks.batch import LamBatch, gripper_first
from agents.imitation.lam.networks.cameras import Images
from agents.imitation.lam.policy import Interface
from agents.imitation.lam.settings import IDLE_STEPS
from agents.imitation.lam.stored_steps import Frames, MappedFeatures
from agents.training.loop import Sampler
from demos.collection.environment_versions import part_name
from demos.datasets.environment import make_env
from demos.datasets.episode import INSTRUCTION, Episode
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction

SMALL_SCENE = 6
"""Most entities, counted together, of different scenes whose steps share minibatches."""
IMAGES, POSITIONS = " images", " positions"
"""Suffixes of the names of groups with images, and with positions that were estimated from images."""
RENDER_INTERVAL = 4
"""Number of steps from one rendered step to the next; rendered steps show which objects are occluded."""
NORMALIZER_STEPS = 2000
"""Steps of each source that the normalizer is fitted to."""

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
        symmetry = layout_symmetry(interface.layout, interface.action_space, self.name, mirror=True, rotate=False)
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


class Mixture:
    """Steps of several sources as examples for a training: indexing gives a :class:`LamBatch`.

    Args:
        sources: Demonstrations.
        schema: Entities.
        robots: Names of the robots.
        action_size: Largest number A of numbers in an action.
        horizon: Actions K of a chunk.

    Attributes:
        sources: Demonstrations.
        schema: Entities.
        robots: Names of the robots.
        action_size: Largest number A of numbers in an action.
        groups: Names of the groups of sources (:attr:`Source.group`).
        parsed: All different sentences.
        texts: Those of each task, without names of objects.
    """

    def __init__(
        self, sources: Sequence[Source], schema: Schema, robots: Sequence[str], action_size: int, horizon: int
    ) -> None:
        self.sources = list(sources)
        self.schema, self.robots, self.action_size = schema, tuple(robots), action_size
        self.groups = tuple(sorted({source.group for source in sources}))
        self.parsed: list[ParsedSentence] = []
        self.texts: dict[str, set[str]] = {}
        self._starts: Rows = np.cumsum([0, *map(len, sources)])
        self._horizon = horizon
        self._readers: list[EntityReader] = []
        self._reader_of_source: list[int] = []
        self._words: torch.Tensor | None = None
        self._parts: list[dict[str, torch.Tensor]] = []
        layouts: list[Any] = []
        known: dict[tuple[str, int], int] = {}
        for source in sources:
            features = (source.interface.layout.features, source.interface.unknown)
            if features not in layouts:
                layouts.append(features)
                self._readers.append(source.interface.reader(schema))
            reader = layouts.index(features)
            self._reader_of_source.append(reader)
            objects = self._readers[reader].objects
            texts = {without_names(parse(sentence, objects)) for sentence in set(source.sentences)}
            self.texts.setdefault(source.interface.task, set()).update(texts)
            numbers = []
            for sentence in source.sentences:
                key = (sentence, reader)
                if key not in known:
                    known[key] = len(self.parsed)
                    self.parsed.append(parse(sentence, self._readers[reader].mentionable))
                numbers.append(known[key])
            count, size = source.actions.shape
            self._parts.append(
                {
                    "actions": torch.nn.functional.pad(gripper_first(source.actions), (0, action_size - size)),
                    "is_used": (torch.arange(action_size) < size).expand(count, -1),
                    "sentences": torch.tensor(numbers),
                    "robots": torch.tensor(1 + list(robots).index(source.interface.robot)).expand(count),
                    "is_cartesian": torch.tensor(source.interface.is_cartesian).expand(count),
                    "groups": torch.tensor([name == source.group for name in self.groups]).expand(count, -1),
                }
            )
        self._mentions = torch.tensor([each.mentions for each in self.parsed])

    def fit_words(self, numbers: torch.Tensor) -> None:
        """Set the numbers of the words of :attr:`parsed`, shape (sentences, words)."""
        self._words = numbers

    def __len__(self) -> int:
        """Return the number of steps."""
        return int(self._starts[-1])

    def tables(self, rng: np.random.Generator) -> list[EntityTable]:
        """Return the entities of some steps of each source, for the normalizer."""
        tables = []
        for source, reader in zip(self.sources, self._reader_of_source, strict=True):
            rows = rng.choice(len(source), min(NORMALIZER_STEPS, len(source)), replace=False)
            tables.append(self._readers[reader](source.observations[torch.from_numpy(rows)]))
        return tables

    def __getitem__(self, rows: Rows) -> LamBatch:
        """Return the steps with some numbers."""
        if self._words is None:
            raise RuntimeError("the words of the sentences have no numbers yet: call fit_words first")
        order, tables, parts = [], [], []
        images: list[Images] = []
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for number, reader in enumerate(self._readers):
            observations = []
            for owner in (each for each in np.unique(owners) if self._reader_of_source[each] == number):
                places = np.flatnonzero(owners == owner)
                source, held = self.sources[owner], self._parts[owner]
                chosen = torch.from_numpy(rows[places] - self._starts[owner])
                ahead, end = chosen[:, None] + torch.arange(self._horizon), source.ends[chosen][:, None]
                order.append(places)
                observations.append(source.observations[chosen])
                part = {name: values[chosen] for name, values in held.items() if name != "actions"}
                actions = held["actions"][torch.minimum(ahead, end - 1)]
                parts.append({**part, "actions": actions, "is_pad": ahead >= end})
                if source.images is not None:
                    images.append(source.images[chosen])
            if observations:
                tables.append(reader(torch.cat(observations)))
        back = torch.from_numpy(np.argsort(np.concatenate(order)))
        table = EntityTable(*(torch.cat([getattr(each, name) for each in tables])[back] for name in vars(tables[0])))
        joined: dict[str, Any] = {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}
        sentences, inverse = torch.unique(joined.pop("sentences"), return_inverse=True)
        mentions = self._mentions[sentences][inverse]
        batch = LamBatch(table=table, words=self._words[sentences], sentences=inverse, mentions=mentions, **joined)
        if not images:
            return batch
        if len(images) < len(parts):
            raise ValueError("some of these steps have images and some do not: a minibatch has to be of one kind")
        return replace(
            batch, images={camera: torch.cat([each[camera] for each in images])[back] for camera in images[0]}
        )

    def sampler(self, batch_size: int, batches: int, shares: Mapping[str, float] | None = None) -> Sampler:
        """Return a function that draws the steps of an epoch.

        Each step is drawn equally often by default, so that a task with more or longer demonstrations has a larger
        weight. The scenes of a minibatch have at most :data:`SMALL_SCENE` entities together, or the same entities,
        because absent ones cost time; or they all have images.

        Args:
            batch_size: Steps of a minibatch.
            batches: Minibatches of an epoch.
            shares: Relative sampling weight of each group of sources (:attr:`Source.group`); by default its number
                of steps.
        """
        members = [[number for number, each in enumerate(self.sources) if each.group == name] for name in self.groups]
        steps = [
            np.concatenate([np.arange(self._starts[number], self._starts[number + 1]) for number in group])
            for group in members
        ]
        share = np.array([len(each) for each in steps] if shares is None else [shares[name] for name in self.groups])
        readers = [self._readers[self._reader_of_source[group[0]]] for group in members]
        has_images = np.array([self.sources[group[0]].images is not None for group in members])
        kinds = [has_images] if has_images.any() else []
        kinds += _similar_scenes([set(reader.names) - {None} for reader in readers], ~has_images)
        bounds = np.cumsum([share[kind].sum() for kind in kinds]) / share.sum()

        def draw(rng: np.random.Generator) -> Rows:
            drawn = []
            for _ in range(batches):
                kind = min(int(np.searchsorted(bounds, rng.random(), side="right")), len(kinds) - 1)
                chosen = share * kinds[kind]
                counts = rng.multinomial(batch_size, chosen / chosen.sum())
                drawn += [
                    group[rng.integers(len(group), size=count)] for group, count in zip(steps, counts, strict=True)
                ]
            return np.concatenate(drawn)

        return draw


def _similar_scenes(scenes: Sequence[set[Any]], chosen: Rows) -> list[Rows]:
    """Return sets of scenes: small ones that have few entities together, and others that have the same entities.

    Args:
        scenes: Names of the entities of each scene, S scenes.
        chosen: True for the scenes that are returned, shape (S,).

    Returns:
        True for the scenes of each set, shape (S,).
    """
    found: list[tuple[set[Any], Rows]] = []
    for number in map(int, np.flatnonzero(chosen)):
        scene = scenes[number]
        for entities, members in found:
            if scene == entities or len(entities | scene) <= SMALL_SCENE:
                entities |= scene
                members[number] = True
                break
        else:
            found.append((set(scene), np.arange(len(scenes)) == number))
    return [members for _, members in found]
