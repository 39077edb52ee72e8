"""Compared models: one that knows some tasks, models fine-tuned from it, and models trained from scratch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import demos
from agents.spec import TrainableAgent
from agents.types import Env, JsonObject
from benchmarks.fine_tuning.experiments import NEW_BATCHES, Experiment, Setting
from benchmarks.runner.training import MeasuredRun
from benchmarks.suite.fields import SuiteModel
from demos.runtime.engines import Engine
from demos.runtime.files import write_json

if TYPE_CHECKING:
    import minari

# Functions import agents themselves: PyTorch takes seconds to import, and the other commands do not need it.

DEMONSTRATION_SEED = 1
TRAINING_SEED = 0
FIRST_SEED = 730_000
"""Seed of the first episode of each evaluation; no other result uses these."""
KNOWN = "known"
"""Name of the first model."""
FINE_TUNED, FROM_SCRATCH = "fine-tuned", "from-scratch"
DATASETS, MODELS, UNFINISHED = "datasets", "agents", "unfinished"
"""Folders of the datasets, the models, and the checkpoints of interrupted trainings."""
TRAINING_FILE = "training.json"


class StoredTraining(SuiteModel):
    """File in the folder of a model.

    Attributes:
        identity: Settings and versions that the model was trained with.
        cost: Cost of the training.
    """

    identity: JsonObject
    cost: JsonObject


def training_cost(folder: Path, name: str, identity: JsonObject) -> JsonObject | None:
    """Return the cost of the training of a saved model; None without a model of these settings and versions.

    Args:
        folder: Folder of models and datasets.
        name: Name of the model.
        identity: Settings and versions that it must be trained with.
    """
    try:
        stored = StoredTraining.model_validate_json((folder / MODELS / name / TRAINING_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return stored.cost if stored.identity == identity else None


def collect_known(folder: Path, engine: Engine, experiment: Experiment, *, overwrite: bool) -> list[str]:
    """Collect the demonstrations of what the first model learns, unless they exist; return their datasets' ids."""
    return [
        _collect(
            folder, engine, setting, episodes * experiment.difficult.get(setting.task, 1), demonstrator, overwrite
        )
        for setting in experiment.known
        for demonstrator, episodes in experiment.demonstrators.items()
    ]


def collect_new(
    folder: Path, engine: Engine, settings: Sequence[Setting], demonstrations: int, *, overwrite: bool
) -> list[str]:
    """Collect the expert's demonstrations of what is new, unless they exist; return the ids of their datasets."""
    return [_collect(folder, engine, setting, demonstrations, "expert", overwrite) for setting in settings]


def _collect(
    folder: Path, engine: Engine, setting: Setting, episodes: int, demonstrator: str, overwrite: bool
) -> str:
    dataset = demos.collect(
        setting.env_id,
        episodes=episodes,
        seed=DEMONSTRATION_SEED,
        demonstrator=demonstrator,
        env_kwargs=setting.env,
        engine=engine,
        root=folder / DATASETS,
        overwrite=overwrite,
    )
    return str(dataset.id)


def train(
    folder: Path,
    name: str,
    identity: JsonObject,
    settings: Sequence[Setting],
    datasets: Sequence[str],
    epochs: int,
    batches: int | None = None,
) -> JsonObject:
    """Train a model from scratch; return the cost of the training.

    Args:
        folder: Folder of models and datasets.
        name: Name of the model.
        identity: Settings and versions that are saved with it.
        settings: What to learn.
        datasets: Ids of its datasets.
        epochs: Epochs of the training.
        batches: Minibatches of an epoch; by default those of the agent.
    """
    import agents

    environments = [make_env(setting) for setting in settings]
    given = {} if batches is None else {"batches": batches}
    agent, run = agents.make("lam", environments[0], **given), MeasuredRun(None, folder / UNFINISHED / name)
    agent.learn(_load(folder, datasets), environments, seed=TRAINING_SEED, budget=epochs, run=run)
    return _saved(agent, folder, name, identity, run, epochs)


def fine_tune(
    folder: Path,
    name: str,
    identity: JsonObject,
    settings: Sequence[Setting],
    datasets: Sequence[str],
    known_datasets: Sequence[str],
    epochs: int,
) -> JsonObject:
    """Fine-tune the first model to what is new, with replay; return the cost of the training.

    Args:
        folder: Folder of models and datasets.
        name: Name of the new model.
        identity: Settings and versions that are saved with it.
        settings: What to learn.
        datasets: Ids of its datasets.
        known_datasets: Ids of the datasets of the first model.
        epochs: Epochs of the training; they have as many minibatches as those from scratch.
    """
    from agents.imitation.lam.agent import Lam

    run = MeasuredRun(None, folder / UNFINISHED / name)
    agent = Lam.finetune(
        folder / MODELS / KNOWN,
        _load(folder, datasets),
        [make_env(setting) for setting in settings],
        replay=_load(folder, known_datasets),
        seed=TRAINING_SEED,
        budget=epochs,
        run=run,
        batches=NEW_BATCHES,
    )
    return _saved(agent, folder, name, identity, run, epochs)


def _saved(
    agent: TrainableAgent, folder: Path, name: str, identity: JsonObject, run: MeasuredRun, epochs: int
) -> JsonObject:
    """Save a model completely or not at all, and delete its checkpoint.

    Returns:
        Cost of its training, interruptions included.
    """
    cost = {"model": name, "epochs": epochs, "cpu_seconds": round(run.cost.cpu, 1)}
    target = folder / MODELS / name
    partial = target.with_name(f".{name}.partial")
    for stale in (partial, target):
        shutil.rmtree(stale, ignore_errors=True)
    agent.save(partial)
    write_json(partial / TRAINING_FILE, StoredTraining(identity=identity, cost=cost).model_dump())
    os.replace(partial, target)
    run.delete_checkpoint()
    return cost


def evaluate_model(folder: Path, model: str, setting: Setting, episodes: int) -> JsonObject:
    """Return the success of a model in a setting.

    Args:
        folder: Folder of models and datasets.
        model: Name of the model.
        setting: Task, and keywords of its environment.
        episodes: Number of episodes.
    """
    import agents

    env = make_env(setting)
    found = agents.evaluate(
        agents.load(folder / MODELS / model, env), env, seeds=range(FIRST_SEED, FIRST_SEED + episodes)
    )
    return {
        "model": model,
        "task": setting.name,
        "episodes": episodes,
        "successes": found.successes,
        "interval": list(found.interval),
    }


def make_env(setting: Setting) -> Env:
    """Return the environment of a setting, whose observations hold the instruction."""
    import gymnasium as gym

    return gym.make(setting.env_id, instruct=True, **setting.env)


def _load(folder: Path, datasets: Sequence[str]) -> list[minari.MinariDataset]:
    return [demos.load(name, folder / DATASETS) for name in datasets]
