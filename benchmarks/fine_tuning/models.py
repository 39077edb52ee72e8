"""Compared models: one that knows some tasks, models fine-tuned from it, and models trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import demos
from agents.registry import TrainableAgent
from agents.types import Env, JsonObject
from benchmarks.runner.training import MeasuredRun
from demos.runtime.engines import Engine
from lam_envs.registration import env_id

if TYPE_CHECKING:
    import minari

# Functions import agents themselves: PyTorch takes seconds to import, and the other commands do not need it.

KNOWN_TASKS = ("reach", "push", "grasp", "stack")
"""Tasks of the first model."""
NEW_TASKS = ("pick_place", "insert")
"""Tasks to learn: one with entities that the model knows, and one with a new entity."""
DIFFICULT = {"push": 3}
"""Factor of the number of demonstrations; Push is the most difficult of the known tasks."""
DEMONSTRATORS = {"expert": 34, "noisy": 24}
"""Demonstrations of each known task by each demonstrator, as in the recipe ``lam-state``."""
DEMONSTRATION_SEED = 1
TRAINING_SEED = 0
FIRST_SEED = 730_000
"""Seed of the first episode of each evaluation; no other result uses these."""
KNOWN = "known"
"""Name of the first model."""
FINE_TUNED, FROM_SCRATCH = "fine-tuned", "from-scratch"
DATASETS, MODELS, UNFINISHED = "datasets", "agents", "unfinished"
"""Folders of the datasets, the models, and the checkpoints of interrupted trainings."""


def collect_known(folder: Path, engine: Engine, *, overwrite: bool) -> list[str]:
    """Collect the demonstrations of the known tasks, unless they exist; return the ids of their datasets."""
    return [
        demos.collect(
            env_id(task),
            episodes=episodes * DIFFICULT.get(task, 1),
            seed=DEMONSTRATION_SEED,
            demonstrator=demonstrator,
            engine=engine,
            root=folder / DATASETS,
            overwrite=overwrite,
        ).id
        for task in KNOWN_TASKS
        for demonstrator, episodes in DEMONSTRATORS.items()
    ]


def collect_new(folder: Path, engine: Engine, task: str, demonstrations: int, *, overwrite: bool) -> str:
    """Collect the expert's demonstrations of a new task, unless they exist; return the id of their dataset."""
    dataset = demos.collect(
        env_id(task),
        episodes=demonstrations,
        seed=DEMONSTRATION_SEED,
        engine=engine,
        root=folder / DATASETS,
        overwrite=overwrite,
    )
    return str(dataset.id)


def train(folder: Path, name: str, tasks: Sequence[str], datasets: Sequence[str], epochs: int) -> JsonObject:
    """Train a model from scratch; return the cost of the training.

    Args:
        folder: Folder of models and datasets.
        name: Name of the model.
        tasks: Tasks to learn.
        datasets: Ids of their datasets.
        epochs: Epochs of the training.
    """
    import agents

    environments = [make_env(task) for task in tasks]
    agent, run = agents.make("lam", environments[0]), MeasuredRun(None, folder / UNFINISHED / name)
    agent.learn(_load(folder, datasets), environments, seed=TRAINING_SEED, budget=epochs, run=run)
    return _saved(agent, folder, name, run, epochs)


def fine_tune(
    folder: Path, name: str, task: str, dataset: str, known_datasets: Sequence[str], epochs: int
) -> JsonObject:
    """Fine-tune the model of the known tasks to a new one, with replay; return the cost of the training.

    Args:
        folder: Folder of models and datasets.
        name: Name of the new model.
        task: Task to learn.
        dataset: Id of its dataset.
        known_datasets: Ids of the datasets of the known tasks.
        epochs: Epochs of the training; they have as many minibatches as those from scratch.
    """
    from agents.imitation.lam.agent import Lam

    run = MeasuredRun(None, folder / UNFINISHED / name)
    agent = Lam.finetune(
        folder / MODELS / KNOWN,
        _load(folder, [dataset]),
        make_env(task),
        replay=_load(folder, known_datasets),
        seed=TRAINING_SEED,
        budget=epochs,
        run=run,
    )
    return _saved(agent, folder, name, run, epochs)


def _saved(agent: TrainableAgent, folder: Path, name: str, run: MeasuredRun, epochs: int) -> JsonObject:
    """Save a model and delete its checkpoint; return the cost of its training, interruptions included."""
    cost = run.cost
    agent.save(folder / MODELS / name)
    run.delete_checkpoint()
    return {"model": name, "epochs": epochs, "cpu_seconds": round(cost.cpu, 1)}


def evaluate_model(folder: Path, model: str, task: str, episodes: int) -> JsonObject:
    """Return the success of a model in a task.

    Args:
        folder: Folder of models and datasets.
        model: Name of the model.
        task: Name of the task.
        episodes: Number of episodes.
    """
    import agents

    env = make_env(task)
    found = agents.evaluate(
        agents.load(folder / MODELS / model, env), env, seeds=range(FIRST_SEED, FIRST_SEED + episodes)
    )
    return {
        "model": model,
        "task": task,
        "episodes": episodes,
        "successes": found.successes,
        "interval": list(found.interval),
    }


def make_env(task: str) -> Env:
    """Return the environment of a task, whose observations hold the instruction."""
    import gymnasium as gym

    return gym.make(env_id(task), instruct=True)


def _load(folder: Path, datasets: Sequence[str]) -> list[minari.MinariDataset]:
    return [demos.load(name, folder / DATASETS) for name in datasets]
