"""Base of our agents: settings, the record of a training run, acting, saving and loading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from gymnasium import spaces

from agents.data.demonstrations import DemonstrationData
from agents.data.spaces import spaces_of
from agents.policies.networks import set_weights, weights_of
from agents.spec import AgentSpec
from agents.training.provenance import training_record
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.saving.storage import read_weights, save_agent
from agents.training.settings import AgentSettings, check_budget, check_seed, read_settings, recorded_settings
from agents.types import Array, Env, JsonObject, Memory, Observation, Space, Start

Self = TypeVar("Self", bound="PolicyAgent")


class PolicyAgent(ABC):
    """Agent that acts by one network.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment.

    Raises:
        ValueError: An unknown setting, a value out of range, or spaces that the agent cannot act in.

    Attributes:
        takes_batches: True: ``predict`` acts on batches (:class:`agents.spec.TakesBatches`).
        policy: Network, with ``predict`` as Stable-Baselines3 has it.
        training: Record of the training: settings, demonstrations, versions; None before.
    """

    spec: ClassVar[AgentSpec]
    takes_batches: ClassVar[bool] = True

    def __init__(self, env: Env, **settings: Any) -> None:
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        kind = self.spec.settings_class(settings) or AgentSettings
        self.settings: Any = read_settings(self.spec.name, kind, settings, env)
        self.training: JsonObject | None = None
        with isolated_rng(0):
            self.policy: Any = self.new_policy()

    @abstractmethod
    def new_policy(self) -> torch.nn.Module:
        """Return an untrained network."""

    def begin(
        self,
        demonstrations: DemonstrationData | None,
        env: Env,
        run: Run,
        *,
        seed: int,
        budget: int | None,
    ) -> None:
        """Check the arguments of ``learn``, and record the training that begins.

        Raises:
            ValueError: The demonstrations have other spaces or another task, the seed is not a whole number of at
                least 0, the budget is not a whole number of at least 1, or the run has several processes.
        """
        check_seed(seed)
        check_budget(budget, self.spec.budget_unit)
        if run.processes > 1 and not self.spec.takes_processes:
            raise ValueError(f"agent {self.spec.name} is trained by one process; processes is {run.processes}")
        if demonstrations is not None:
            demonstrations.check_spaces(self.observation_space, self.action_space)
            demonstrations.check_task(env)
        self.training = run.identity = training_record(
            self.spec.name, self.settings.model_dump(), env, demonstrations, seed=seed, budget=budget
        )

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Array, Memory]:
        """Return an action, or actions of shape (N, ...) for such observations, as Stable-Baselines3 does."""
        actions: tuple[Array, Memory] = self.policy.predict(observation, state, episode_start, deterministic)
        return actions

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights that are saved."""
        return weights_of(self.policy)

    def set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Set the weights of :meth:`weights`.

        Raises:
            ValueError: They belong to another network.
        """
        set_weights(self.policy, weights)

    def save(self, directory: str | Path) -> Path:
        """Write ``agent.json`` and ``weights.safetensors``; return the folder."""
        described = spaces_of(self.observation_space, self.action_space)
        settings = self.settings.model_dump()
        return save_agent(directory, self.spec.name, settings, described, self.weights(), self.training)

    @classmethod
    def load(cls: type[Self], directory: str | Path, env: Env, **changed: object) -> Self:
        """Read what :meth:`save` wrote.

        Args:
            directory: Folder of the saved agent.
            env: Environment with the spaces of the training.
            changed: Settings to act with that differ from those of the training (:attr:`AgentSettings.acting`).

        Raises:
            FileNotFoundError: There is no saved agent.
            ValueError: The files are damaged, or the environment has other spaces.
        """
        described = spaces_of(env.observation_space, env.action_space)
        description, weights = read_weights(directory, cls.spec.name, described, env)
        kind = cls.spec.settings_class(description["settings"]) or AgentSettings
        agent = cls(env, **{**recorded_settings(kind, description["settings"]), **changed})
        agent.training = description.get("training")
        try:
            agent.set_weights(weights)
        except ValueError as error:
            raise ValueError(f"the weights in {directory} do not fit their description: {error}") from error
        return agent


def require_discrete(name: str, action_space: Space) -> spaces.Discrete:
    """Return a space of discrete actions.

    Raises:
        ValueError: The actions are not discrete.
    """
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(
            f"agent {name} needs discrete actions; this environment has {action_space}. "
            'Use one such as LamGraspDiscrete-v0, or control="discrete"'
        )
    return action_space
