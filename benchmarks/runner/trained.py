"""Trained agents of a results folder: each is saved under its cache key."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.runner.cache_keys import Provenance, provenance_of
from benchmarks.runner.training import Training, training_from
from benchmarks.suite.suite import Cell, Demonstrations
from demos.runtime.files import write_json

AGENTS = "agents"
TRAINING_FILE = "training.json"


@dataclass(frozen=True)
class TrainingJob:
    """A training: the same for all measurements of the same agent, wherever and whatever they are called.

    Attributes:
        environment: An id.
        agent: See :func:`agents.registry.find`.
        settings: That differ from the agent's own.
        seed: Of the training.
        demonstrations: What it learns from; None if from the reward alone.
    """

    environment: str
    agent: str
    settings: dict[str, Any]
    seed: int
    demonstrations: Demonstrations | None

    @classmethod
    def of(cls, cell: Cell) -> TrainingJob | None:
        """Returns the training of a measurement; None of an agent that does not learn."""
        if cell.training_seed is None:
            return None
        return cls(cell.environment, cell.agent, cell.settings, cell.training_seed, cell.dataset)

    @property
    def provenance(self) -> Provenance:
        """Versions, settings, libraries and code that decide the training, besides these fields."""
        demonstrator = None if self.demonstrations is None else self.demonstrations.demonstrator
        return provenance_of(self.agent, self.environment, self.settings, demonstrator=demonstrator, learns=True)

    @property
    def key(self) -> str:
        """Cache key of the training."""
        asked = {name: value for name, value in asdict(self).items() if name != "settings"}
        return self.provenance.key(asked)

    @property
    def stem(self) -> str:
        """Prefix of the folder's name, which does not change when the training is outdated."""
        letters = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in self.agent)
        environment = self.environment.rpartition(":")[2].removesuffix("-v0")
        return f"{environment}-{letters[-40:]}-seed{self.seed}-"

    @property
    def name(self) -> str:
        """A name of a folder."""
        return f"{self.stem}{self.key[:12]}"

    @property
    def path(self) -> str:
        """Where the trained agent is, in a results folder."""
        return f"{AGENTS}/{self.name}"


def is_trained(folder: Path, wanted: TrainingJob, *, watched: bool) -> bool:
    """Whether there is the trained agent.

    Args:
        folder: Of results.
        wanted: Which.
        watched: With how its success grew.
    """
    try:
        took = read_training(folder, wanted)
    except (OSError, ValueError):
        return False
    return took.curve is not None or not watched


def read_training(folder: Path, wanted: TrainingJob) -> Training:
    """Reads what a training took.

    Raises:
        FileNotFoundError: It was not trained.
        ValueError: The file is damaged.
    """
    path = folder / wanted.path / TRAINING_FILE
    try:
        content = json.loads(path.read_text())
        took = training_from(content["training"])
        if content["key"] != wanted.key or took is None:
            raise ValueError("it is of another training")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove its folder and run the suite again") from error
    return took


def seeds_of_demonstrations(folder: Path, wanted: TrainingJob) -> list[int]:
    """Reads the seeds of the episodes that an agent learned from.

    Raises:
        FileNotFoundError: It was not trained.
        ValueError: The file is damaged.
    """
    read_training(folder, wanted)
    path = folder / wanted.path / TRAINING_FILE
    seeds = json.loads(path.read_text()).get("seeds_of_demonstrations")
    if not isinstance(seeds, list) or not all(isinstance(seed, int) for seed in seeds):
        raise ValueError(f"{path} does not tell the seeds of the demonstrations: remove its folder and run again")
    return seeds


def keep(folder: Path, wanted: TrainingJob, agent: Any, took: Training, seeds: Sequence[int]) -> Path:
    """Saves a trained agent with what its training took, at once or not at all.

    Args:
        folder: Of results.
        wanted: Which it is.
        agent: With ``save``.
        took: Its training.
        seeds: Of the episodes that it learned from.
    """
    target = folder / wanted.path
    partial = target.with_name(f".{target.name}.partial")
    for stale in (partial, target):
        if stale.exists():
            shutil.rmtree(stale)
    partial.mkdir(parents=True)
    agent.save(partial)
    write_json(
        partial / TRAINING_FILE,
        {
            "key": wanted.key,
            "trained": asdict(wanted),
            "training": asdict(took),
            "seeds_of_demonstrations": list(seeds),
        },
    )
    os.replace(partial, target)
    return target


def remove_older(folder: Path, wanted: TrainingJob) -> None:
    """Removes outdated agents of a training, once an up-to-date one is saved.

    Args:
        folder: Of results.
        wanted: Which is there.
    """
    for path in (folder / AGENTS).glob(f"{glob.escape(wanted.stem)}*/{TRAINING_FILE}"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            content = json.loads(path.read_text())
            if content["trained"] == asdict(wanted) and content["key"] != wanted.key:
                shutil.rmtree(path.parent)
