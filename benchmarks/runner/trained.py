"""Trained agents of a results folder: each is saved under its cache key."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pydantic import Field

from agents.types import JsonObject, Keywords
from benchmarks.runner.cache_keys import Provenance
from benchmarks.runner.encoders import EncoderJob
from benchmarks.runner.training import Training
from benchmarks.suite.demonstrations import Demonstrations
from benchmarks.suite.fields import SuiteModel, problem_of
from benchmarks.suite.stages import Adaptation, Pretraining
from benchmarks.suite.suite import Cell, PeriodicEvaluation, without_unused
from demos.runtime.files import write_json

TRAINED = "agents"
UNFINISHED = "unfinished"
"""Folder of the checkpoints of trainings that are not finished."""
TRAINING_FILE = "training.json"


class Saveable(Protocol):
    """Agent that can be saved."""

    def save(self, directory: str | Path) -> Path:
        """Write the agent to a folder."""
        ...


@dataclass(frozen=True)
class TrainingJob:
    """A training run, or the adaptation of its agent.

    Cells of the same agent, settings, data and seed share it, whatever their labels are.

    Attributes:
        environment: An id.
        agent: See :func:`agents.registry.find`.
        settings: Settings that differ from the agent's own.
        seed: Seed of the training.
        demonstrations: Demonstrations that it learns from; None for reward alone, and with a mixture.
        env: Keywords for ``gym.make``.
        key: Cache key, computed once when a suite is planned.
        mixture: Datasets of several environments, the first of which are ``environment`` and ``env``.
        pretraining: Pre-training of its encoder of images, with the same seed; None without one.
        adaptation: Adaptation of the agent of ``base``; None for a training.
        base: Training whose agent is adapted; None for a training.
    """

    environment: str
    agent: str
    settings: Keywords
    seed: int
    demonstrations: Demonstrations | None
    env: Keywords
    key: str = field(compare=False)
    mixture: tuple[Demonstrations, ...] = ()
    pretraining: Pretraining | None = None
    adaptation: Adaptation | None = None
    base: TrainingJob | None = field(default=None, compare=False)

    @classmethod
    def of(cls, cell: Cell, provenance: Provenance) -> TrainingJob | None:
        """Return the training of a cell; None for an agent that does not learn.

        Args:
            cell: Cell to measure.
            provenance: Provenance of the training: :func:`benchmarks.runner.cache_keys.provenance_of`.
        """
        if cell.training_seed is None:
            return None
        environment, env = cell.environment, cell.trained_env
        if cell.mixture:
            environment, env = cell.mixture[0].environment, cell.mixture[0].env
        planned = cls(
            environment,
            cell.agent,
            cell.settings,
            cell.training_seed,
            cell.dataset,
            env,
            "",
            cell.mixture,
            cell.pretraining,
            cell.adaptation,
        )
        request = {name: value for name, value in planned.description().items() if name != "settings"}
        return replace(planned, key=provenance.key(request))

    def description(self) -> JsonObject:
        """Return all but the key as plain data."""
        content = without_unused({name: value for name, value in asdict(self).items() if name not in ("key", "base")})
        if self.demonstrations is not None:
            content["demonstrations"] = without_unused(content["demonstrations"])
        return content

    @property
    def encoder(self) -> EncoderJob | None:
        """Pre-training of its encoder of images; None without one, and for an adaptation."""
        if self.pretraining is None or self.adaptation is not None:
            return None
        return EncoderJob.of(self.pretraining, self.seed)

    @property
    def datasets(self) -> tuple[Demonstrations, ...]:
        """All demonstrations that it learns from."""
        return self.mixture if self.demonstrations is None else (self.demonstrations,)

    @property
    def environments(self) -> list[tuple[str, Keywords]]:
        """Id and keywords of each environment that it learns in."""
        found: list[tuple[str, Keywords]] = [(self.environment, self.env)]
        found += [(each.environment, each.env) for each in self.mixture]
        return [each for place, each in enumerate(found) if each not in found[:place]]

    @property
    def stem(self) -> str:
        """Prefix of the folder's name, which does not change when the training is outdated."""
        letters = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in self.agent)
        environment = "mixture" if self.mixture else self.environment.rpartition(":")[2].removesuffix("-v0")
        return f"{environment}-{letters[-40:]}-seed{self.seed}-"

    @property
    def name(self) -> str:
        """Name of the training and of its folder."""
        return f"{self.stem}{self.key[:12]}"

    @property
    def path(self) -> str:
        """Folder of the trained agent, relative to the results folder."""
        return f"{TRAINED}/{self.name}"

    @property
    def unfinished_path(self) -> str:
        """Path of the folder of its checkpoints in a results folder."""
        return f"{UNFINISHED}/{self.name}"


class StoredTraining(SuiteModel):
    """File beside a trained agent."""

    key: str = Field(description="Cache key of the training.")
    trained: JsonObject = Field(description="The training, see :meth:`TrainingJob.description`.")
    training: Training = Field(description="Its cost.")
    seeds_of_demonstrations: tuple[int, ...] = Field(description="Seeds of the episodes that it learned from.")


def is_trained(folder: Path, training_job: TrainingJob, curve: PeriodicEvaluation | None = None) -> bool:
    """Return True if a results folder has a trained agent that is up to date.

    Args:
        folder: Results folder.
        training_job: Training of the agent.
        curve: Periodic evaluations whose learning curve it must have; None for none.
    """
    try:
        training = read_training(folder, training_job).training
    except (OSError, ValueError):
        return False
    return training.has_curve_of(curve)


def read_training(folder: Path, training_job: TrainingJob) -> StoredTraining:
    """Read the file beside a training run.

    Raises:
        FileNotFoundError: The folder has no such agent.
        ValueError: The file is damaged.
    """
    path = folder / training_job.path / TRAINING_FILE
    try:
        stored = StoredTraining.model_validate_json(path.read_bytes())
        if stored.key != training_job.key:
            raise ValueError("it belongs to another training")
    except ValueError as error:
        problem = problem_of(error)
        raise ValueError(f"{path} is damaged ({problem}): remove its folder and run the suite again") from error
    return stored


def save_trained(
    folder: Path, training_job: TrainingJob, agent: Saveable, cost: Training, seeds: Sequence[int]
) -> Path:
    """Save a trained agent with the cost of its training, completely or not at all.

    Args:
        folder: Results folder.
        training_job: Training of the agent.
        agent: Agent with a method ``save``.
        cost: Cost of its training.
        seeds: Seeds of the demonstrations that it learned from.
    """
    target = folder / training_job.path
    partial = target.with_name(f".{target.name}.partial")
    for stale in (partial, target):
        if stale.exists():
            shutil.rmtree(stale)
    partial.mkdir(parents=True)
    agent.save(partial)
    write_json(
        partial / TRAINING_FILE,
        {
            "key": training_job.key,
            "trained": training_job.description(),
            "training": cost.as_json(),
            "seeds_of_demonstrations": list(seeds),
        },
    )
    os.replace(partial, target)
    return target


def describe_unfinished(folder: Path, training_job: TrainingJob) -> Path:
    """Create the folder of a training's checkpoints, with a file that says which training it is.

    Args:
        folder: Results folder.
        training_job: Training that begins.
    """
    target = folder / training_job.unfinished_path
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / TRAINING_FILE, {"key": training_job.key, "trained": training_job.description()})
    return target


def remove_outdated(folder: Path, training_job: TrainingJob, parent: str) -> None:
    """Remove agents or checkpoints of the same training with other versions. Other trainings are kept.

    Args:
        folder: Results folder.
        training_job: Training as it is now.
        parent: ``TRAINED`` or ``UNFINISHED``.
    """
    # Lists are tuples before they are written.
    description = json.loads(json.dumps(training_job.description()))
    for path in (folder / parent).glob(f"{glob.escape(training_job.stem)}*/{TRAINING_FILE}"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            stored = json.loads(path.read_bytes())
            if stored["trained"] == description and stored["key"] != training_job.key:
                shutil.rmtree(path.parent)
