"""Mixture of the demonstrations of several tasks, robots and instructions, sampled in balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents.imitation.lam.entities import EntityReader, EntityTable, Schema
from agents.imitation.lam.known_sentences import without_names
from agents.imitation.lam.language import ParsedSentence, parse
from agents.imitation.lam.networks.batch import LamBatch, gripper_first
from agents.imitation.lam.networks.cameras import Images
from agents.imitation.lam.sources import Rows, Source
from agents.training.loop import Sampler

SMALL_SCENE = 6
"""Most entities, counted together, of different scenes whose steps share minibatches."""
NORMALIZER_STEPS = 2000
"""Steps of each source that the normalizer is fitted to."""


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
