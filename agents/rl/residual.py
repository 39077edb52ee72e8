"""Residual policies (Silver et al. 2018; Johannink et al. 2019): RL corrects the actions of a frozen agent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.sac.policies import SACPolicy

from agents.policies.networks import BoundedPolicy, policy_keywords, set_weights, weights_of
from agents.registry import find
from agents.spec import AgentSpec
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import (
    AgentSettings,
    Count,
    CountOrZero,
    Discount,
    Layers,
    LogStd,
    Positive,
    check_seed,
    checked_settings,
    recorded_settings,
)
from agents.training.stable_baselines.training import SeededEpisodes, horizon_of, steps_per_env, train
from agents.types import Action, Array, Env, Info, JsonObject, Keywords, Memory, Observation, Start
from lam_envs.observation.instructions import INSTRUCTION_KEY

OBSERVATION, BASE_ACTION = "observation", "base_action"
"""Entries of what a residual policy sees: a plain observation, and the action of the frozen agent."""
PREFIXES = {"base": "base.", "residual": "residual."}
"""Prefix of the names of the weights of each part."""
PPO_ENVS = 8
PPO_STEPS = 2048
"""Environments and steps of an iteration of PPO."""


class ResidualSettings(AgentSettings):
    """Settings of a residual policy."""

    algorithm: Literal["ppo", "sac"] = Field("sac", description="Algorithm that trains the residual policy.")
    scale: float = Field(
        0.3, gt=0.0, le=1.0, description="Largest correction of an action, as a fraction of half of its range."
    )
    hidden_sizes: Layers = Field((256, 256), description="Units of the layers.")
    learning_rate: Positive = Field(0.0003, description="Learning rate of Adam.")
    gamma: Discount = Field(0.97, description="Discount factor.")
    log_std: LogStd = Field(-1.0, description="Logarithm of the initial standard deviation of the correction.")
    learning_starts: CountOrZero = Field(1000, description="Steps before the first update of SAC.")
    train_freq: Count = Field(4, description="Steps between updates of SAC.")
    gradient_steps: Count = Field(4, description="Updates of SAC at a time.")


class _SavedSettings(ResidualSettings):
    """Settings of a saved agent: also those of the agent that is corrected."""

    base: str = Field(description="Name of the agent that is corrected.")
    base_settings: dict[str, Any] = Field(description="Its settings.")


class ResidualEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Environment in which an action corrects that of a frozen agent, which is part of the observation.

    Args:
        env: Environment with continuous actions.
        base: Frozen agent.
        scale: Largest correction, as a fraction of half of the range of an action.
    """

    def __init__(self, env: Env, base: PolicyAgent, scale: float) -> None:
        super().__init__(env)
        self.observation_space = residual_observation_space(env.observation_space, env.action_space)
        self.action_space = correction_space(env.action_space)
        self._actions = cast(spaces.Box, env.action_space)
        self._base, self._scale = base, scale
        self._memory: Memory = None
        self._base_action: Array = np.zeros(self._actions.shape, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Keywords | None = None) -> tuple[Observation, Info]:
        """Start an episode; the memory of the agent is reset."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._memory = None
        return self._augmented(observation, start=True), info

    def step(self, action: Action) -> tuple[Observation, Any, bool, bool, Info]:
        """Execute the corrected action."""
        executed = corrected(self._actions, self._base_action, np.asarray(action), self._scale)
        observation, reward, terminated, truncated, info = self.env.step(executed)
        return self._augmented(observation, start=False), reward, terminated, truncated, info

    def _augmented(self, observation: Observation, *, start: bool) -> Observation:
        self._base_action, self._memory = self._base.predict(
            observation, self._memory, np.array([start]), deterministic=True
        )
        return augmented(observation, self._base_action)


def residual_observation_space(observation_space: Any, action_space: Any) -> spaces.Dict:
    """Return the space of what a residual policy sees: the observation, and the action of the frozen agent.

    An instruction is left out: only the frozen agent follows it.

    Raises:
        ValueError: The actions are not continuous.
    """
    if not isinstance(action_space, spaces.Box) or not action_space.is_bounded():
        raise ValueError(f"a residual policy needs bounded continuous actions; this environment has {action_space}")
    parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else observation_space
    return spaces.Dict(augmented(parts, action_space))


def correction_space(action_space: spaces.Space[Any]) -> spaces.Box:
    """Return the space of corrections: from -1 to 1 in each dimension of an action."""
    return spaces.Box(-1.0, 1.0, action_space.shape, dtype=np.float32)


def augmented(observation: Any, base_action: Any) -> dict[str, Any]:
    """Return what a residual policy sees, or its space."""
    parts = observation if isinstance(observation, Mapping) else {OBSERVATION: observation}
    return {**{name: part for name, part in parts.items() if name != INSTRUCTION_KEY}, BASE_ACTION: base_action}


def corrected(space: spaces.Box, base_action: Array, correction: Array, scale: float) -> Array:
    """Return a = clip(a_base + scale * (high - low) / 2 * correction), shape (..., actions)."""
    executed = base_action + scale * (space.high - space.low) / 2.0 * correction
    within: Array = np.clip(executed, space.low, space.high).astype(space.dtype)
    return within


class ResidualAgent(PolicyAgent):
    """Residual policy: RL learns a bounded correction of the actions of a frozen agent.

    **Idea.** A trained agent is nearly right where the world has changed a little. Its weights stay, and a second
    policy, trained by reward, adds a small correction to its actions. The correction begins near zero, so that
    training starts from the agent's own success instead of from random actions.

    **Equation.** a = clip(pi_base(s) + `scale` * (high - low) / 2 * f(s, pi_base(s))), where f is trained by SAC or
    PPO and the weights of pi_base are constant.

    **Paper.** Silver et al. 2018, Residual Policy Learning, section 3; Johannink et al. 2019, Residual Reinforcement
    Learning for Robot Control.

    **Differences.** The correction is bounded, and the residual policy also sees the action that it corrects: a
    frozen agent with a memory decides by more than the observation. It does not see an instruction, which only the
    frozen agent follows.

    Args:
        env: Environment that gives the spaces.
        settings: Settings of the residual policy; ``base`` and ``base_settings`` name the frozen agent.

    Raises:
        ValueError: Discrete actions, an unknown setting, or a frozen agent that is not one of ours.
    """

    spec = AgentSpec("residual", needs_demonstrations=False, needs_environment=True, takes_run=True)

    def __init__(self, env: Env, **settings: Any) -> None:
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.settings: Any = checked_settings("agent residual", _SavedSettings, settings)
        self.training: JsonObject | None = None
        self.base = _frozen(env, self.settings.base, self.settings.base_settings)
        self._seen = residual_observation_space(self.observation_space, self.action_space)
        with isolated_rng(0):
            self.policy: Any = self.new_policy()

    @classmethod
    def of(cls, base: PolicyAgent, env: Env, **settings: Any) -> ResidualAgent:
        """Return an untrained residual policy of an agent.

        Args:
            base: Agent to correct; its weights are copied.
            env: Environment with the spaces of the agent.
            settings: Settings of :class:`ResidualSettings` that differ from the defaults.
        """
        agent = cls(env, base=base.spec.name, base_settings=base.settings.model_dump(), **settings)
        agent.base.set_weights(base.weights())
        return agent

    def new_policy(self) -> BasePolicy:
        """Return an untrained residual policy."""
        kind: type[BasePolicy] = SACPolicy if self.settings.algorithm == "sac" else BoundedPolicy
        keywords = policy_keywords(self.settings.hidden_sizes)
        return kind(self._seen, correction_space(self.action_space), lambda _: 0.0, **keywords)

    def learn(
        self,
        demonstrations: object,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Train the residual policy by reward in copies of an environment.

        Args:
            demonstrations: Not used.
            env: Environment made by ``gym.make``.
            seed: Seeds weights, exploration and episodes.
            budget: Steps of all environments; 20,000 by default.
            progress: Show a progress bar.
            run: Checkpoints and log; by default none. There is no periodic evaluation.

        Raises:
            ValueError: The budget is smaller than an episode, or at most ``learning_starts`` with SAC; the seed is
                negative; or the run has periodic evaluations.
        """
        check_seed(seed)
        if run is not None and run.episodes:
            raise ValueError(f"the run has episodes={run.episodes}; expected 0: there is no periodic evaluation")
        run, steps, horizon = run or Run(progress=progress), 20_000 if budget is None else budget, horizon_of(env)
        if steps < horizon:
            raise ValueError(f"the budget is {steps} steps; expected at least the {horizon} of an episode")
        count = PPO_ENVS if self.settings.algorithm == "ppo" else 1
        makers = [partial(self._training_env, env, seed, index) for index in range(count)]
        envs: VecEnv = DummyVecEnv(makers)  # type: ignore[arg-type]
        try:
            with isolated_rng(seed), run.training(self.spec.name, steps, "steps"):
                model = self._new_model(envs, horizon, run.device)
                model.set_random_seed(seed)
                _begin_near_zero(model, self.settings.log_std)
                train(model, env, run, steps=steps)
        finally:
            envs.close()
        policy = model.policy.to("cpu")
        policy.set_training_mode(False)
        self.policy = policy

    def _training_env(self, env: Env, seed: int, index: int) -> SeededEpisodes:
        spec = env.spec
        assert spec is not None  # noqa: S101  (horizon_of has checked it)
        return SeededEpisodes(ResidualEnv(gym.make(spec), self.base, self.settings.scale), seed, index)

    def _new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        settings = self.settings
        keywords = policy_keywords(settings.hidden_sizes)
        if settings.algorithm == "ppo":
            return PPO(
                BoundedPolicy,
                envs,
                n_steps=steps_per_env(PPO_STEPS, envs.num_envs, horizon),
                learning_rate=settings.learning_rate,
                gamma=settings.gamma,
                policy_kwargs={**keywords, "log_std_init": settings.log_std},
                device=device,
            )
        return SAC(
            SACPolicy,
            envs,
            learning_rate=settings.learning_rate,
            gamma=settings.gamma,
            buffer_size=100_000,
            learning_starts=settings.learning_starts,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            policy_kwargs=keywords,
            device=device,
        )

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Array, Memory]:
        """Return corrected actions, shape (...) or (N, ...), and the memory of the frozen agent."""
        base_action, memory = self.base.predict(observation, state, episode_start, deterministic=True)
        correction, _ = self.policy.predict(augmented(observation, base_action), deterministic=deterministic)
        space = cast(spaces.Box, self.action_space)
        return corrected(space, base_action, correction, self.settings.scale), memory

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights of the frozen agent and of the residual policy."""
        parts = {"base": self.base.weights(), "residual": weights_of(self.policy)}
        return {f"{PREFIXES[part]}{name}": value for part, own in parts.items() for name, value in own.items()}

    def set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Set the weights of both."""
        unknown = sorted(name for name in weights if not name.startswith(tuple(PREFIXES.values())))
        if unknown:
            raise ValueError(f"unknown {', '.join(unknown)}")
        parts = {
            part: {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            for part, prefix in PREFIXES.items()
        }
        self.base.set_weights(parts["base"])
        set_weights(self.policy, parts["residual"])


def _frozen(env: Env, name: str, settings: Mapping[str, Any]) -> PolicyAgent:
    """Return an agent to correct, with untrained weights and exactly the settings of a record.

    Raises:
        ValueError: It is not one of ours, or none that can be corrected.
    """
    # A saved agent names registered agents only: never code to import.
    kind = find(name) if ":" not in name else None
    if not (isinstance(kind, type) and issubclass(kind, PolicyAgent)) or kind.spec.takes_several_environments:
        raise ValueError(f"agent {name!r} cannot be corrected by a residual policy; expected one such as bc or act")
    if {"self", "env"} & settings.keys():
        raise ValueError(f"the settings of agent {name!r} are damaged")
    settings_class = kind.spec.settings_class(settings) or AgentSettings
    frozen: PolicyAgent = kind(env, **recorded_settings(settings_class, settings))
    return frozen


@torch.no_grad()
def _begin_near_zero(model: BaseAlgorithm, log_std: float) -> None:
    """Make zero the most likely correction."""
    policy: Any = model.policy
    if isinstance(model, SAC):
        last = policy.actor.mu
        policy.actor.log_std.weight.zero_()
        policy.actor.log_std.bias.fill_(log_std)
    else:
        last = policy.action_net[0]
    last.weight.zero_()
    last.bias.zero_()
