"""Suites: agents to measure, their environments, seeds and conditions."""

from __future__ import annotations

import inspect
import re
import zlib
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

import lam_envs
from agents.registry import ARCHIVE, TrainableAgent, find, is_saved, names, read_description, spec_of
from agents.training.provenance import settings_type
from agents.training.run import FIRST_SEED as PERIODIC_SEEDS
from agents.training.settings import read_settings
from benchmarks.suite.conditions import AS_TRAINED, Condition
from benchmarks.suite.fields import Count, EnvironmentId, Items, Seed, SuiteModel
from lam_envs.validation import MAX_PIXELS

SuiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$")]


def _all_ids(environments: Any) -> Any:
    return lam_envs.ENV_IDS if environments == "all" else environments


class EvaluationSettings(SuiteModel):
    """Episodes in which every agent is evaluated."""

    first_seed: Seed = Field(description="Seed of the first episode; those of the others follow.")
    episodes: Count = Field(description="Number of episodes.")
    episode_seconds: Count = Field(default=300, description="Wall time after which an episode fails, and its cell.")

    @model_validator(mode="after")
    def _below_periodic_evaluations(self) -> EvaluationSettings:
        if self.seeds.stop > PERIODIC_SEEDS:
            raise ValueError(f"first_seed is {self.first_seed}; seeds from 2**30 on are for periodic evaluations")
        return self

    @property
    def seeds(self) -> range:
        """Seeds of the episodes."""
        return range(self.first_seed, self.first_seed + self.episodes)


class PeriodicEvaluation(SuiteModel):
    """Evaluations during a training, on seeds that no result is measured on."""

    evaluations: Count = Field(description="Number of evaluations of a training.")
    episodes: Count = Field(description="Episodes of each evaluation.")


class VideoSettings(SuiteModel):
    """Videos of an agent in each of its environments: the median and the worst episode of its first training."""

    agent: str = Field(description="Label of the agent.")
    size: Annotated[int, Field(ge=2, le=MAX_PIXELS, multiple_of=2)] = Field(description="Width and height, pixels.")


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


class AgentEntry(SuiteModel):
    """An agent of a suite."""

    agent: str = Field(description="See :func:`agents.registry.find`.")
    label: str = Field(description="Name in reports; unique in each environment.")
    settings: dict[str, Any] = Field(default={}, description="Settings that differ from the agent's own.")
    environments: Items[str] = Field(description="Ids.")
    demonstrations: dict[str, Items[int]] = Field(
        default={}, description="Numbers of demonstrations to learn from, by environment; one training each."
    )
    demonstrators: Items[str] = Field(default=("expert",), description="Who demonstrates; one training each.")

    def datasets(self, environment: str) -> list[tuple[int | None, str | None]]:
        """Return number and demonstrator of each dataset that the agent learns from; one pair of None without."""
        counts = self.demonstrations.get(environment)
        if counts is None:
            return [(None, None)]
        return [(count, demonstrator) for demonstrator in self.demonstrators for count in counts]


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


class Suite(SuiteModel):
    """Agents, environments and conditions to measure."""

    name: str
    agents: tuple[AgentEntry, ...]
    demonstration_seed: int | None = Field(default=None, description="Seed of the collection of demonstrations.")
    training_seeds: tuple[int, ...] = Field(default=(), description="One training each.")
    evaluation: EvaluationSettings
    videos: VideoSettings | None = None
    periodic_eval: PeriodicEvaluation | None = None
    conditions: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = Field(
        default={AS_TRAINED: {}}, description="Changes of each condition, by name: fields of a ``Condition``."
    )
    extra_agents: tuple[str, ...] = Field(default=(), description="Agents that the file of the suite does not name.")

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
            for count, demonstrator in entry.datasets(environment)
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


class SpeedSuite(SuiteModel):
    """Environments whose speed is measured, without agents."""

    name: SuiteName
    environments: Annotated[Items[EnvironmentId], BeforeValidator(_all_ids)]
    steps: Count = Field(description="Steps of a round.")
    rounds: Count = Field(description="Number of rounds; the median is reported.")

    @property
    def compared(self) -> bool:
        """True if all environments are measured: then also ratios to other projects, where these are installed."""
        return self.environments == tuple(lam_envs.ENV_IDS)


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
    """Check settings as far as that needs no environment.

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
