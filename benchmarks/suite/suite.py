"""What a suite is: which agents are measured in which environments, on which seeds, under which conditions."""

from __future__ import annotations

import inspect
import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

from agents.registry import ARCHIVE, TrainableAgent, find, is_saved, names, read_description, spec_of
from agents.training.provenance import settings_type
from agents.training.settings import read_settings
from benchmarks.suite.conditions import AS_TRAINED, Condition

EPISODE_SECONDS = 300


@dataclass(frozen=True)
class EvaluationSettings:
    """The measurement of an agent.

    Attributes:
        first_seed: Of the first episode; the others follow.
        episodes: How many.
        episode_seconds: Wall time after which an episode, and with it the measurement, has failed.
    """

    first_seed: int
    episodes: int
    episode_seconds: int = EPISODE_SECONDS

    @property
    def seeds(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.episodes)


@dataclass(frozen=True)
class PeriodicEvaluation:
    """How closely the success of a training is watched as it goes.

    Attributes:
        evaluations: How often, in all.
        episodes: Of each look, on seeds that no result is measured on.
    """

    evaluations: int
    episodes: int


@dataclass(frozen=True)
class VideoSettings:
    """Which agent, by its label, is recorded in its environments, in how many pixels square.

    Recorded are its median and its worst episode, of its first training.
    """

    agent: str
    size: int


@dataclass(frozen=True)
class Demonstrations:
    """What agents learn from.

    Attributes:
        environment: An id.
        count: Of episodes, all of which succeed.
        demonstrator: One of ``demos``.
        seed: Of their collection.
    """

    environment: str
    count: int
    demonstrator: str
    seed: int

    @property
    def id(self) -> str:
        """Of the dataset."""
        return f"{_slug(self.environment.removesuffix('-v0'))}-{self.demonstrator}-{self.count}-seed{self.seed}-v0"


@dataclass(frozen=True)
class Entry:
    """An agent of a suite.

    Attributes:
        agent: See :func:`agents.registry.find`.
        label: What it is called in reports; two of one label are not measured in one environment.
        settings: Of the agent, that differ from its own.
        environments: Ids.
        demonstrations: How many it learns from, by environment; one training each.
        demonstrators: Of the demonstrations; one training each.
    """

    agent: str
    label: str
    settings: dict[str, Any]
    environments: tuple[str, ...]
    demonstrations: dict[str, tuple[int, ...]]
    demonstrators: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One measurement: an agent in an environment.

    Attributes:
        environment: An id.
        agent: See :func:`agents.registry.find`.
        label: What it is called in reports.
        settings: That differ from the agent's own.
        training_seed: None for an agent that does not learn.
        demonstrations: How many it learns from; None for an agent that needs none.
        demonstration_seed: Of their collection; None likewise.
        demonstrator: Of them; None likewise.
        condition: What the condition is called that it is measured under.
        changes: What that changes: fields of a :class:`benchmarks.suite.conditions.Condition`.
        first_seed: Of the evaluation.
        episodes: Of the evaluation.
    """

    environment: str
    agent: str
    label: str
    settings: dict[str, Any]
    training_seed: int | None
    demonstrations: int | None
    demonstration_seed: int | None
    demonstrator: str | None
    condition: str
    changes: dict[str, Any]
    first_seed: int
    episodes: int

    @property
    def name(self) -> str:
        """A file name that tells environment, label, demonstrations, condition and seed."""
        parts = [_slug(self.environment), _slug(self.label)]
        if self.demonstrations is not None:
            parts.append(f"{self.demonstrations}-{self.demonstrator}")
        if self.condition != AS_TRAINED:
            parts.append(_slug(self.condition))
        if self.training_seed is not None:
            parts.append(f"seed{self.training_seed}")
        return "-".join(parts)

    @property
    def group(self) -> tuple[str, str, int | None, str | None, str]:
        """What it has in common with other trainings of the same."""
        return self.environment, self.label, self.demonstrations, self.demonstrator, self.condition

    @property
    def dataset(self) -> Demonstrations | None:
        """What it learns from; None if it learns from the reward alone, or not at all."""
        if self.demonstrations is None or self.demonstrator is None or self.demonstration_seed is None:
            return None
        return Demonstrations(self.environment, self.demonstrations, self.demonstrator, self.demonstration_seed)

    @property
    def under(self) -> Condition:
        """The condition it is measured under."""
        return Condition(**self.changes)


@dataclass(frozen=True)
class Suite:
    """What to measure.

    Attributes:
        name: Of the suite.
        agents: What is measured where.
        demonstration_seed: Of the collection of demonstrations; None where none are needed.
        training_seeds: One training each.
        evaluation: Unseen seeds, the same for every agent.
        videos: What is recorded; None for nothing.
        periodic_eval: How closely the success of each training is watched as it goes; None for not at all.
        conditions: What each agent is measured under, by name.
        extra_agents: Those of the agents that were named beside the file.
    """

    name: str
    agents: tuple[Entry, ...]
    demonstration_seed: int | None
    training_seeds: tuple[int, ...]
    evaluation: EvaluationSettings
    videos: VideoSettings | None = None
    periodic_eval: PeriodicEvaluation | None = None
    conditions: dict[str, dict[str, Any]] = field(default_factory=lambda: {AS_TRAINED: {}})
    extra_agents: tuple[str, ...] = ()

    @property
    def environments(self) -> tuple[str, ...]:
        """All environments, in the order in which they come up."""
        return tuple(dict.fromkeys(environment for entry in self.agents for environment in entry.environments))

    def cells(self) -> list[Cell]:
        """All measurements, the ones that take longest first."""
        cells = [
            Cell(
                environment=environment,
                agent=entry.agent,
                label=entry.label,
                settings=entry.settings,
                training_seed=seed,
                demonstrations=count,
                demonstration_seed=None if count is None else self.demonstration_seed,
                demonstrator=demonstrator,
                condition=condition,
                changes=changes,
                first_seed=self.evaluation.first_seed,
                episodes=self.evaluation.episodes,
            )
            for entry in self.agents
            for environment in entry.environments
            for count, demonstrator in _shown(entry, environment)
            for condition, changes in self.conditions.items()
            for seed in (self.training_seeds if learns(entry.agent) else (None,))
        ]
        return sorted(cells, key=lambda cell: cell.training_seed is None)

    def recorded_cells(self) -> dict[str, Cell]:
        """Whose episodes are recorded, by environment: the first cell of the recorded agent there."""
        label = None if self.videos is None else self.videos.agent
        found: dict[str, Cell] = {}
        for cell in self.cells():
            if cell.label == label and cell.condition == next(iter(self.conditions)):
                found.setdefault(cell.environment, cell)
        return found

    def as_json(self) -> dict[str, Any]:
        """The suite as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class SpeedSuite:
    """How fast environments are.

    Attributes:
        name: Of the suite.
        environments: Ids.
        steps: Of a round.
        rounds: Shown is their median.
        compared: Also measure ratios to what others offer, where it is installed.
    """

    name: str
    environments: tuple[str, ...]
    steps: int
    rounds: int
    compared: bool


def _shown(entry: Entry, environment: str) -> list[tuple[int | None, str | None]]:
    """Numbers and demonstrators of the demonstrations that an agent learns from, each for itself."""
    counts = entry.demonstrations.get(environment)
    if counts is None:
        return [(None, None)]
    return [(count, demonstrator) for demonstrator in entry.demonstrators for count in counts]


def _slug(text: str) -> str:
    """A part of a file name; other than plain letters it is told apart by a checksum."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", text):
        return text
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)
    return f"{safe[:50]}-{zlib.crc32(text.encode(errors='backslashreplace')):08x}"


def learns(agent: str) -> bool:
    """Whether an agent has a way to learn; what is in an archive or a folder has learned.

    Raises:
        ValueError: There is no such agent, or it learns and cannot be kept.
    """
    if has_learned(agent) or not isinstance(find(agent), type):
        return False
    lacking = [name for name in ("save", "load") if not hasattr(find(agent), name)]
    if hasattr(find(agent), "learn") and lacking:
        raise ValueError(
            f"agent {agent!r} has learn, and lacks {' and '.join(lacking)}: what it learns could not be kept"
        )
    return issubclass(find(agent), TrainableAgent)


def has_learned(agent: str) -> bool:
    """Whether it is a saved agent's folder, or an archive.

    Raises:
        ValueError: A folder names an agent that has no name here: it may not say which code is run.
    """
    if not is_saved(agent):
        return agent.endswith(ARCHIVE)
    name = read_description(agent).get("agent")
    if name not in names():
        raise ValueError(f"{agent} was saved by agent {name!r}, which has no name here (known: {', '.join(names())})")
    return True


def check_settings(agent: str, settings: dict[str, Any]) -> None:
    """Checks settings as far as that needs no environment.

    Raises:
        TypeError: The agent takes no such setting.
        ValueError: Likewise, or a value is of another type or out of range.
    """
    if has_learned(agent):
        raise ValueError("an agent that was saved takes no settings")
    found = find(agent)
    kind = settings_type(agent)
    if kind is not None:
        read_settings(agent, kind, settings)
    elif callable(found):
        inspect.signature(found).bind("env", **settings)


def needs_demonstrations(agent: str) -> bool:
    """Whether an agent that learns does so from demonstrations, and not from the reward alone.

    Raises:
        ValueError: There is no such agent.
    """
    return spec_of(find(agent)).needs_demonstrations
