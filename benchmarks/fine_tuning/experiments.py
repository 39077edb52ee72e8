"""Experiments of fine-tuning: what the first model knows, and what it learns from few demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

from agents.types import Keywords
from lam_envs.registration import env_id

NEW_BATCHES = 50
"""Minibatches of an epoch of fine-tuning. They are few because the learning rate decays from epoch to epoch: with few
long epochs, the last ones still change what the model knows."""


@dataclass(frozen=True)
class Setting:
    """A task, with keywords for ``gym.make``."""

    task: str
    env: Keywords = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """Name in results: the task and the values of the keywords, such as ``grasp iiwa joint``."""
        return " ".join([self.task, *map(str, self.env.values())])

    @property
    def env_id(self) -> str:
        """Id of the environment."""
        return env_id(self.task)


@dataclass(frozen=True)
class Experiment:
    """A first model, and models that are fine-tuned from it."""

    known: tuple[Setting, ...]
    """Settings that the first model learns."""
    new: Mapping[str, tuple[Setting, ...]]
    """Settings that are learned from few demonstrations, by name; one fine-tuned model each."""
    unfamiliar: frozenset[str]
    """Names of what is new where the first model cannot act, because it does not know the entities."""
    demonstrators: Mapping[str, int]
    """Demonstrations of each known setting by each demonstrator."""
    difficult: Mapping[str, int]
    """Factor of the number of demonstrations of a known task."""
    known_epochs: int
    """Epochs of the first model."""
    new_epochs: int
    """Epochs of fine-tuning, and of training from scratch, of :data:`NEW_BATCHES` minibatches each."""


JOINT_TASKS = ("reach", "grasp", "pick_place", "stack")

EXPERIMENTS: Mapping[str, Experiment] = {
    # One task with entities that the model knows, and one with a new entity. Demonstrations as in lam-state: Push is
    # the most difficult of the known tasks.
    "tasks": Experiment(
        known=tuple(map(Setting, ("reach", "push", "grasp", "stack"))),
        new={task: (Setting(task),) for task in ("pick_place", "insert")},
        unfamiliar=frozenset({"insert"}),
        demonstrators={"expert": 34, "noisy": 24},
        difficult={"push": 3},
        known_epochs=15,
        new_epochs=20,
    ),
    # A robot that the model has never seen, whose joints it moves. Demonstrations as in lam-joint.
    "robot": Experiment(
        known=tuple(
            Setting(task, {"robot": robot, "control": "joint"})
            for robot, task in product(("panda", "xarm6", "iiwa"), JOINT_TASKS)
        ),
        new={"ur5e": tuple(Setting(task, {"robot": "ur5e", "control": "joint"}) for task in JOINT_TASKS)},
        unfamiliar=frozenset(),
        demonstrators={"expert": 100, "noisy": 70},
        difficult={},
        known_epochs=40,
        new_epochs=40,
    ),
}
