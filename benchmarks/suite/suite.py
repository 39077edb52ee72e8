"""Suites: agents to evaluate, their environments, seeds and conditions."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

import lam_envs
from agents.folders import is_saved, read_description
from agents.registry import ARCHIVE, find, saved_names
from agents.spec import AgentSpec, TrainableAgent, spec_of
from agents.training.provenance import settings_type
from agents.training.run import FIRST_SEED as PERIODIC_SEEDS
from agents.training.saving.loading import check_changed
from agents.training.saving.zoo import agent_path
from agents.training.settings import checked_settings, read_settings, recorded_settings
from agents.types import JsonObject, Keywords
from benchmarks.suite.conditions import AS_TRAINED, Condition
from benchmarks.suite.demonstrations import Demonstrations, slug
from benchmarks.suite.fields import Count, EnvironmentId, EnvKeywords, Items, Seed, SuiteModel
from benchmarks.suite.stages import Adaptation, Pretraining
from demos.collection.human_demonstrator import HUMAN
from lam_envs.validation import MAX_PIXELS

SuiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$")]


def _all_ids(environments: object) -> object:
    return lam_envs.ENV_IDS if environments == "all" else environments


class EvaluationSettings(SuiteModel):
    """Episodes in which every agent is evaluated."""

    first_seed: Seed = Field(description="Seed of the first episode; those of the others follow.")
    episodes: Count = Field(description="Number of episodes.")
    episode_seconds: Count = Field(
        default=300, description="Wall time, seconds, after which an episode and its evaluation fail."
    )

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
    """Evaluations during a training run, on seeds that no result is measured on."""

    evaluations: Count = Field(description="Number of evaluations of a training run.")
    episodes: Count = Field(description="Episodes of each evaluation.")


class VideoSettings(SuiteModel):
    """Videos of an agent in each of its environments: the median and the worst episode of its first training."""

    agent: str = Field(description="Label of the agent.")
    size: Annotated[int, Field(ge=2, le=MAX_PIXELS, multiple_of=2)] = Field(description="Width and height, pixels.")


class AgentEntry(SuiteModel):
    """An agent of a suite."""

    agent: str = Field(description="See :func:`agents.registry.find`; also a saved or pretrained agent.")
    label: str = Field(description="Name in reports; unique in each environment.")
    settings: Keywords = Field(default={}, description="Settings that differ from the agent's own.")
    environments: Items[str] = Field(description="Ids.")
    demonstrations: dict[str, Items[int]] = Field(
        default={}, description="Numbers of demonstrations to learn from, by environment; one training each."
    )
    demonstrators: Items[str] = Field(
        default=("expert",), description="Names of the demonstrators; one training run for each."
    )
    env: EnvKeywords = Field(default={}, description="Keywords for ``gym.make``, in training and evaluation.")
    training_env: EnvKeywords = Field(
        default={}, description="Further keywords for ``gym.make``, for demonstrations and training only."
    )
    training_seeds: tuple[int, ...] | None = Field(
        default=None, description="Seeds of its training runs; by default those of the suite."
    )
    periodic_eval: bool = Field(
        default=True, description="Evaluate it during its training runs, if the suite has periodic evaluations."
    )
    motion: JsonObject | None = Field(
        default=None, description="Motion of a person, which the demonstrator ``human`` imitates."
    )
    mixture: Items[Demonstrations] | tuple[()] = Field(
        default=(), description="Datasets of one training on all of them; by default each environment has its own."
    )
    pretraining: Pretraining | None = Field(
        default=None, description="Pre-training of the encoder of images; one for each training seed."
    )
    adaptation: Adaptation | None = Field(
        default=None,
        description="Adaptation to a condition after the training; it is measured there and as trained.",
    )

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> JsonObject:
        content = without_unused(serialize(self))
        if self.training_seeds is None:
            del content["training_seeds"]
        if self.periodic_eval:
            del content["periodic_eval"]
        return content

    def datasets(self, environment: str) -> list[tuple[int | None, str | None]]:
        """Return number and demonstrator of each dataset that the agent learns from in an environment.

        One pair of None for an agent that learns without demonstrations, or from a mixture.
        """
        counts = self.demonstrations.get(environment)
        if counts is None:
            return [(None, None)]
        return [(count, demonstrator) for demonstrator in self.demonstrators for count in counts]


@dataclass(frozen=True)
class Cell:
    """A cell of a suite: one agent, one environment, one training seed, one condition.

    Attributes:
        environment: An id.
        agent: See :func:`agents.registry.find`.
        label: Name of the agent in reports.
        settings: Settings that differ from the agent's own.
        training_seed: Seed of the training; None for an agent that does not learn.
        demonstrations: Number of demonstrations; None for an agent that needs none.
        demonstration_seed: Seed of their collection; None without demonstrations.
        demonstrator: Name of their demonstrator; None without demonstrations.
        condition: Name of the condition.
        changes: Changes under the condition: fields of a :class:`benchmarks.suite.conditions.Condition`.
        first_seed: Seed of the first episode of the evaluation.
        episodes: Number of episodes of the evaluation.
        env: Keywords for ``gym.make``, in training and evaluation.
        training_env: Further keywords for ``gym.make``, for demonstrations and training only.
        motion: Motion of a person, as JSON, which the demonstrator ``human`` imitates.
        mixture: Datasets of one training for many environments; empty for a training in this environment.
        pretraining: Pre-training of the encoder of images, with the seed of the training; None without one.
        adaptation: Adaptation of the trained agent before it is measured; None without one.
    """

    environment: str
    agent: str
    label: str
    settings: Keywords
    training_seed: int | None
    demonstrations: int | None
    demonstration_seed: int | None
    demonstrator: str | None
    condition: str
    changes: Keywords
    first_seed: int
    episodes: int
    env: Keywords = field(default_factory=dict)
    training_env: Keywords = field(default_factory=dict)
    motion: JsonObject | None = None
    mixture: tuple[Demonstrations, ...] = ()
    pretraining: Pretraining | None = None
    adaptation: Adaptation | None = None

    def as_json(self) -> JsonObject:
        """Return the cell as plain data."""
        return without_unused(asdict(self))

    @property
    def name(self) -> str:
        """File name made of environment, label, demonstrations, condition and seed."""
        parts = [slug(self.environment), slug(self.label)]
        if self.demonstrations is not None:
            parts.append(f"{self.demonstrations}-{slug(str(self.demonstrator))}")
        if self.condition != AS_TRAINED:
            parts.append(slug(self.condition))
        if self.training_seed is not None:
            parts.append(f"seed{self.training_seed}")
        return "-".join(parts)

    @property
    def group(self) -> tuple[str, str, int | None, str | None, str]:
        """Key of the cells that differ in their training seed only."""
        return self.environment, self.label, self.demonstrations, self.demonstrator, self.condition

    @property
    def dataset(self) -> Demonstrations | None:
        """Demonstrations of the training in this environment; None without them, and with a mixture."""
        if self.demonstrations is None or self.demonstrator is None or self.demonstration_seed is None:
            return None
        return Demonstrations(
            self.environment,
            self.demonstrations,
            self.demonstrator,
            self.demonstration_seed,
            self.trained_env,
            self.motion,
        )

    @property
    def trained_env(self) -> Keywords:
        """Keywords for ``gym.make`` of demonstrations and training."""
        return {**self.env, **self.training_env}

    @property
    def perturbation(self) -> Condition:
        """Condition of the evaluation."""
        return Condition(**{**self.changes, "env": {**self.env, **self.changes.get("env", {})}})


class Suite(SuiteModel):
    """Agents, environments and conditions to measure."""

    name: str
    note: str | None = Field(default=None, description="Note for readers of the report; results do not depend on it.")
    agents: tuple[AgentEntry, ...]
    demonstration_seed: int | None = Field(default=None, description="Seed of the collection of demonstrations.")
    training_seeds: tuple[int, ...] = Field(default=(), description="Seeds of the training runs.")
    evaluation: EvaluationSettings
    videos: VideoSettings | None = None
    periodic_eval: PeriodicEvaluation | None = None
    conditions: Annotated[dict[str, Keywords], Field(min_length=1)] = Field(
        default={AS_TRAINED: {}}, description="Changes of each condition, by name: fields of a ``Condition``."
    )
    extra_agents: tuple[str, ...] = Field(default=(), description="Agents that the file of the suite does not name.")

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> JsonObject:
        return without_unused(serialize(self))

    @property
    def environments(self) -> tuple[str, ...]:
        """Ids of all environments, in the order of the agents."""
        return tuple(dict.fromkeys(environment for entry in self.agents for environment in entry.environments))

    def cells(self) -> list[Cell]:
        """Return all cells, those with a training first."""
        cells = [
            cell
            for entry in self.agents
            for environment in entry.environments
            for cell in self.cells_of(
                entry,
                environment,
                entry.datasets(environment),
                self._training_seeds(entry) if learns(entry.agent) else None,
            )
        ]
        return sorted(cells, key=lambda cell: cell.training_seed is None)

    def cells_of(
        self,
        entry: AgentEntry,
        environment: str,
        datasets: Sequence[tuple[int | None, str | None]],
        training_seeds: Sequence[int] | None,
    ) -> list[Cell]:
        """Return the cells of an agent in an environment.

        Args:
            entry: The agent.
            environment: Id of the environment.
            datasets: Number of demonstrations and demonstrator of each training; (None, None) without.
            training_seeds: Training seeds; None for an agent that does not learn.
        """
        return [
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
                env=entry.env,
                training_env={} if training_seeds is None else entry.training_env,
                motion=entry.motion if demonstrator == HUMAN else None,
                mixture=entry.mixture,
                pretraining=entry.pretraining,
                adaptation=entry.adaptation,
            )
            for count, demonstrator in datasets
            for condition, changes in self.conditions.items()
            if entry.adaptation is None or condition in (AS_TRAINED, entry.adaptation.condition)
            for seed in ((None,) if training_seeds is None else training_seeds)
        ]

    def _training_seeds(self, entry: AgentEntry) -> tuple[int, ...]:
        return self.training_seeds if entry.training_seeds is None else entry.training_seeds

    def periodic_eval_of(self, cell: Cell) -> PeriodicEvaluation | None:
        """Return the evaluations during the training of a cell; None for none."""
        named = (entry for entry in self.agents if entry.label == cell.label)
        entry = next(entry for entry in named if cell.environment in entry.environments)
        return self.periodic_eval if entry.periodic_eval else None

    def recorded_cells(self) -> dict[str, Cell]:
        """Return the cells to record videos of, by environment: the first cell of the agent there."""
        label = None if self.videos is None else self.videos.agent
        cells: dict[str, Cell] = {}
        for cell in self.cells():
            if cell.label == label and cell.condition == next(iter(self.conditions)):
                cells.setdefault(cell.environment, cell)
        return cells


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


UNUSED = ("note", "env", "training_env", "motion", "mixture", "pretraining", "adaptation")
"""Names of what most suites do not use, and files of earlier versions do not have."""


def without_unused(content: JsonObject) -> JsonObject:
    """Return plain data without what most suites do not use, as in files of earlier versions."""
    return {name: value for name, value in content.items() if value or name not in UNUSED}


def learns(agent: str) -> bool:
    """Return True if an agent learns; a saved agent and an archive do not.

    Raises:
        ValueError: There is no such agent, or it learns and cannot be saved.
    """
    if has_learned(agent) or not isinstance(find(agent), type):
        return False
    lacking = [name for name in ("save", "load") if not hasattr(find(agent), name)]
    if hasattr(find(agent), "learn") and lacking:
        raise ValueError(
            f"agent {agent!r} has learn and lacks {' and '.join(lacking)}: add methods that save and load it"
        )
    return issubclass(find(agent), TrainableAgent)


def has_learned(agent: str) -> bool:
    """Return True for a saved agent, by its folder or the name of a pretrained one, and for an archive.

    Raises:
        FileNotFoundError: There is no such folder, and no pretrained agent of this name.
        ValueError: The folder names an agent that is not registered: a folder must not choose code to run.
    """
    location = agent_path(agent)
    if not is_saved(location):
        return agent.endswith(ARCHIVE)
    name = read_description(location).get("agent")
    if name not in saved_names():
        raise ValueError(f"{agent} was saved by agent {name!r}; expected one of {', '.join(saved_names())}")
    return True


def check_settings(agent: str, settings: Keywords) -> None:
    """Check the settings of an agent, as far as possible without an environment.

    Raises:
        TypeError: A third-party agent has no such setting.
        ValueError: The agent has no such setting, or a value has another type or is out of range.
    """
    if has_learned(agent):
        # Settings that may change after the training.
        location = agent_path(agent)
        check_changed(location, settings)
        description = read_description(location)
        recorded = description.get("settings") or {}
        kind = settings_type(description["agent"], recorded)
        if kind is not None:
            checked_settings(f"agent {agent}", kind, {**recorded_settings(kind, recorded), **settings})
        return
    resolved = find(agent)
    kind = settings_type(agent, settings)
    factory = resolved.make if isinstance(resolved, AgentSpec) else resolved
    if kind is not None:
        read_settings(agent, kind, settings)
    elif callable(factory):
        inspect.signature(factory).bind("env", **settings)


def needs_demonstrations(agent: str) -> bool:
    """Return True if an agent learns from demonstrations, False if it learns from reward alone.

    Raises:
        ValueError: There is no such agent.
    """
    return spec_of(find(agent)).needs_demonstrations
