"""Demonstrations of several tasks, robots and instructions, sampled in balance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import minari
import numpy as np
import numpy.typing as npt
import torch

from agents.data.demonstrations import DemonstrationData
from agents.imitation.lam.entities import EntityReader, EntityTable, Schema
from agents.imitation.lam.language import ParsedSentence, parse
from agents.imitation.lam.policy import LamBatch
from demos.collection.environment_versions import part_name
from demos.datasets.environment import make_env
from lam_envs.env import ManipulationEnv
from lam_envs.observation.features import Layout
from lam_envs.observation.instructions import STATE_KEY

IDLE_STEPS = 3
"""Steps after the first success that are learned from; the rest of an episode shows nothing new."""
SMALL_SCENE = 6
"""Most entities of a scene whose steps share minibatches with other small scenes."""

NORMALIZER_STEPS = 2000
"""Steps of each source that the normalizer is fitted to."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Demonstrations of one dataset.

    Attributes:
        name: Id of the dataset.
        task: Name of the task.
        robot: Name of the robot.
        layout: Layout of the observations.
        is_cartesian: True if actions move the tool.
        observations: Observations before each step, shape (T, numbers).
        actions: Actions, gripper first, shape (T, numbers of the robot).
        ends: Number after the last step of the episode of each step, shape (T,).
        sentences: Sentence of each step.
        checksum: SHA-256 of the episodes.
    """

    name: str
    task: str
    robot: str
    layout: Layout
    is_cartesian: bool
    observations: torch.Tensor
    actions: torch.Tensor
    ends: torch.Tensor
    sentences: Sequence[str]
    checksum: str


def read_source(dataset: minari.MinariDataset) -> Source:
    """Read the demonstrations of a dataset.

    Raises:
        ValueError: Its observations are not features, or its actions not numbers.
    """
    env = make_env(dataset)
    inner = cast(ManipulationEnv, env.unwrapped)
    layout = inner.layout
    task, robot, control = (part_name(env, keyword) for keyword in ("task", "robot", "control"))
    env.close()
    data = DemonstrationData(dataset)
    observations, actions, ends, sentences = [], [], [], []
    total = 0
    for episode in data.iterate_episodes():
        seen: Any = episode.observations
        length = _useful_length(episode.infos, len(episode.actions))
        observations.append(seen[STATE_KEY][:length] if isinstance(seen, dict) else seen[:length])
        actions.append(episode.actions[:length])
        total += length
        ends.append(np.full(length, total))
        sentences += [episode.instruction or ""] * length
    acted = torch.from_numpy(np.concatenate(actions)).float()
    return Source(
        dataset.id,
        task,
        robot,
        layout,
        control == "ee",
        torch.from_numpy(np.concatenate(observations)).float(),
        torch.cat([acted[:, -1:], acted[:, :-1]], dim=1),
        torch.from_numpy(np.concatenate(ends)),
        sentences,
        data.checksum,
    )


def _useful_length(infos: Any, length: int) -> int:
    """Return the number of steps up to some after the first success."""
    success = np.asarray(infos.get("is_success", ())).astype(bool)[1 : length + 1]
    first = np.flatnonzero(success)
    return min(length, int(first[0]) + 1 + IDLE_STEPS) if first.size else length


class Mixture:
    """Steps of several sources as examples for a training: indexing gives a :class:`LamBatch`.

    Args:
        sources: Demonstrations.
        schema: Entities.
        robots: Names of the robots.
        action_size: Largest number A of numbers in an action.
        horizon: Actions K of a chunk.
    """

    def __init__(
        self, sources: Sequence[Source], schema: Schema, robots: Sequence[str], action_size: int, horizon: int
    ) -> None:
        self.sources = list(sources)
        self.starts: Rows = np.cumsum([0, *(len(source.ends) for source in sources)])
        self._readers: list[EntityReader] = []
        self._pools: list[int] = []
        layouts: list[str] = []
        for source in sources:
            described = repr(source.layout.features)
            if described not in layouts:
                layouts.append(described)
                self._readers.append(EntityReader(source.layout, schema))
            self._pools.append(layouts.index(described))
        self._action_size, self._horizon = action_size, horizon
        self._parsed: list[ParsedSentence] = []
        self._numbers: torch.Tensor | None = None
        self._rows: list[dict[str, torch.Tensor]] = []
        known: dict[tuple[str, int], int] = {}
        for source, pool in zip(sources, self._pools, strict=True):
            numbers = []
            for sentence in source.sentences:
                key = (sentence, pool)
                if key not in known:
                    known[key] = len(self._parsed)
                    self._parsed.append(parse(sentence, self._readers[pool].names))
                numbers.append(known[key])
            count, size = source.actions.shape
            self._rows.append(
                {
                    "actions": torch.nn.functional.pad(source.actions, (0, action_size - size)),
                    "is_used": (torch.arange(action_size) < size).expand(count, -1),
                    "sentences": torch.tensor(numbers),
                    "robots": torch.full((count,), 1 + list(robots).index(source.robot)),
                    "is_cartesian": torch.full((count,), source.is_cartesian),
                }
            )
        self._mentions = torch.tensor([each.mentions for each in self._parsed])

    @property
    def parsed(self) -> list[ParsedSentence]:
        """All different sentences."""
        return self._parsed

    def fit_words(self, numbers: torch.Tensor) -> None:
        """Set the numbers of the words of :attr:`parsed`, shape (sentences, words)."""
        self._numbers = numbers

    def __len__(self) -> int:
        """Return the number of steps."""
        return int(self.starts[-1])

    def tables(self, rng: np.random.Generator) -> list[EntityTable]:
        """Return the entities of some steps of each source, for the normalizer."""
        tables = []
        for source, pool in zip(self.sources, self._pools, strict=True):
            rows = rng.choice(len(source.ends), min(NORMALIZER_STEPS, len(source.ends)), replace=False)
            tables.append(self._readers[pool](source.observations[torch.from_numpy(rows)]))
        return tables

    def __getitem__(self, rows: Rows) -> LamBatch:
        """Return the steps with some numbers."""
        assert self._numbers is not None  # noqa: S101  (fit_words comes first)
        order, tables, parts = [], [], []
        owners = np.searchsorted(self.starts, rows, side="right") - 1
        for pool, reader in enumerate(self._readers):
            observations = []
            for number in np.unique(owners):
                if self._pools[number] != pool:
                    continue
                places = np.flatnonzero(owners == number)
                source, held = self.sources[number], self._rows[number]
                local = torch.from_numpy(rows[places] - self.starts[number])
                ahead = local[:, None] + torch.arange(self._horizon)
                last = source.ends[local][:, None]
                order.append(places)
                observations.append(source.observations[local])
                parts.append(
                    {
                        "sentences": held["sentences"][local],
                        "robots": held["robots"][local],
                        "actions": held["actions"][torch.minimum(ahead, last - 1)],
                        "is_used": held["is_used"][local],
                        "is_pad": ahead >= last,
                        "is_cartesian": held["is_cartesian"][local],
                    }
                )
            if observations:
                tables.append(reader(torch.cat(observations)))
        back = torch.from_numpy(np.argsort(np.concatenate(order)))
        table = EntityTable(*(torch.cat([getattr(each, name) for each in tables])[back] for name in vars(tables[0])))
        joined = {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}
        sentences, inverse = torch.unique(joined.pop("sentences"), return_inverse=True)
        mentions = self._mentions[sentences][inverse]
        return LamBatch(table=table, words=self._numbers[sentences], sentences=inverse, mentions=mentions, **joined)

    def sampler(self, batch_size: int, batches: int) -> Any:
        """Return a function that draws the steps of an epoch.

        Each source is drawn equally often. The steps of a minibatch are all of small scenes, or all of large ones,
        because absent entities cost time.

        Args:
            batch_size: Steps of a minibatch.
            batches: Minibatches of an epoch.
        """
        large = np.array(
            [sum(name is not None for name in self._readers[p].names) > SMALL_SCENE for p in self._pools]
        )

        def draw(rng: np.random.Generator) -> Rows:
            drawn = []
            for _ in range(batches):
                chosen = large == (rng.random() < large.mean())
                owners = rng.choice(np.flatnonzero(chosen), batch_size)
                lengths = np.diff(self.starts)[owners]
                drawn.append(self.starts[owners] + (rng.random(batch_size) * lengths).astype(np.int64))
            return np.concatenate(drawn)

        return draw
