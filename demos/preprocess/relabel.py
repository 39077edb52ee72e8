"""Relabel episodes with the actions of another control."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import gymnasium as gym
import numpy as np
from typing_extensions import override

from demos.collection.recording import Step, last_command, record
from demos.datasets.episode import EXECUTED, INSTRUCTION, NOTES, STATE, Episode
from demos.datasets.tree import tree_leaves
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import DatasetSchema, schema_of_env
from demos.runtime.types import Env, JsonObject
from lam_envs import ToolCommand
from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.registration import is_lam_env
from lam_envs.validation import check_name

POSITION, LAG = "tool/position", "tool/lag"
TARGET = "gripper/target"
YAW, YAW_LAG = "tool/yaw", "tool/yaw_lag"
NEAR = 0.008
"""Distance from the recorded position at which the tool moves on to the next one, meters."""
MAX_WAIT_STEPS = 3
"""Largest number of steps that the tool waits for one recorded position."""


@dataclass(frozen=True)
class Relabel(Preprocessor):
    """Follow the recorded tool poses with another control, from the same initial state, and record new episodes.

    The new episodes are executed: their observations are those of the new control, and they replay bit for bit.
    Episodes whose final success changes are left out and counted. Infos of the demonstrator, such as
    ``intervention``, are those of the recorded step whose position a new step moves to.

    Attributes:
        control: Name in ``lam_envs.control.CONTROLS``.
    """

    name = "relabel"
    executes = True
    control: str

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: There is no such control.
        """
        check_name("control", self.control, CONTROLS)

    @override
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        plan = schema.plan
        if plan is None or not is_lam_env(plan.get("env_id")):
            raise ValueError("relabel needs an environment of lam_envs; the dataset names none")
        for name in (POSITION, TARGET):
            schema.column(name)
        plan = {**plan, "env_kwargs": {**(plan.get("env_kwargs") or {}), "control": self.control}}
        env = gym.make(plan["env_id"], **plan["env_kwargs"])
        new_schema = replace(schema_of_env(env, plan), info_sizes={**_info_sizes(env), **_note_sizes(schema)})
        return _RelabelTransform(new_schema, schema, env)


def _info_sizes(env: Env) -> dict[str, int]:
    """Return the sizes of the infos of an environment."""
    inner = cast(ManipulationEnv, env.unwrapped)
    # Recordings hold the instruction as an attribute.
    info = {name: value for name, value in env.reset(seed=0)[1].items() if name != INSTRUCTION}
    return {name: int(np.size(value)) for name, value in tree_leaves({**info, STATE: inner.physical_state()})}


def _note_sizes(schema: DatasetSchema) -> dict[str, int]:
    return {name: size for name, size in schema.info_sizes.items() if name in NOTES and name != EXECUTED}


class _RelabelTransform(EpisodeTransform):
    """Execute episodes with the schema ``source`` in ``env``."""

    def __init__(self, schema: DatasetSchema, source: DatasetSchema, env: Env) -> None:
        super().__init__(schema)
        self._source, self._env = source, env
        self._left_out = 0

    @override
    def apply(self, episode: Episode) -> Episode | None:
        if episode.seed is None:
            raise ValueError("relabel needs the seed of every episode; an episode has none")
        rows = [0]
        replayed = record(self._env, self._steps(episode, rows), episode.seed)
        if episode.success is not None and replayed.success != episode.success:
            self._left_out += 1
            return None
        # The executed actions are now the labels.
        notes = {name: episode.infos[name][rows] for name in NOTES if name in episode.infos and name != EXECUTED}
        return replace(replayed, options=episode.options, infos={**replayed.infos, **notes})

    @override
    def notes(self) -> JsonObject:
        return {"left_out": self._left_out}

    @override
    def close(self) -> None:
        self._env.close()

    def _steps(self, episode: Episode, rows: list[int]) -> Iterator[Step]:
        """Yield the steps along the recorded path; the tool waits for each position for a limited time.

        Args:
            episode: Recorded episode.
            rows: Receives the number of the recorded observation that each step moves to.
        """
        path = self._path(episode)
        inner = cast(ManipulationEnv, self._env.unwrapped)
        observation, info = self._env.reset(seed=episode.seed, options=episode.options)
        step = Step(None, observation, 0.0, False, False, info)
        yield step
        target, waited = 1, 0
        while not (step.terminated or step.truncated):
            action = inner.action_for(path[target].command, inner.features())
            observation, reward, terminated, truncated, info = self._env.step(action)
            step = Step(action, observation, float(reward), terminated, truncated, info)
            rows.append(target)
            yield step
            waited += 1
            if waited > MAX_WAIT_STEPS or math.dist(inner.features()["tool/position"], path[target].position) < NEAR:
                target, waited = min(target + 1, len(path) - 1), 0

    def _path(self, episode: Episode) -> list[_Target]:
        schema = self._source
        names = [name for name in (POSITION, LAG, TARGET, YAW, YAW_LAG) if name in (schema.columns or {})]
        parts = {name: schema.physical(episode, name) for name in names}
        return [
            _Target(
                last_command({name: values[step] for name, values in parts.items()}),
                parts[POSITION][step].tolist(),
            )
            for step in range(len(episode) + 1)
        ]


class _Target(NamedTuple):
    """Recorded command and position of the tool."""

    command: ToolCommand
    """Last command of the robot."""
    position: list[float]
    """Position of the tool, meters."""
