"""BCO (Torabi et al. 2018): infer the actions of demonstrations without actions, then apply behavior cloning."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.relabeled import RelabeledDemonstrations
from agents.imitation.bc import BCSettings, BehaviorCloning
from agents.imitation.observation.inverse_dynamics import (
    ROBOT_PARTS,
    InverseInputs,
    Rows,
    fit_inverse_dynamics,
    infer_actions,
    joined,
)
from agents.policies.random import RandomAgent
from agents.spec import AgentSpec
from agents.training.loop import LoopSettings
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import Count, CountOrZero, OptionalLayers, Positive
from agents.training.stable_baselines.training import SeededEpisodes, horizon_of, rollout_env
from agents.types import Array, Env
from demos.collection.recording import Policy, stack


class BCOSettings(BCSettings):
    """Settings of BCO: those of BC for the policy, and those of the inverse dynamics."""

    exploration_steps: CountOrZero = Field(
        3000,
        description="Steps of random actions, in whole episodes; 0 to learn from ``play`` alone.",
    )
    iterations: CountOrZero = Field(
        0, description="Iterations after the first policy: collect rollouts, then fit both models again. 0 is BCO(0)."
    )
    alpha: Positive = Field(
        0.5, description="Rollout steps of the policy in each iteration, as a fraction of ``exploration_steps``."
    )
    robot_parts: tuple[str, ...] = Field(
        ROBOT_PARTS,
        description="Parts whose features the inverse dynamics use: the agent-specific state of the paper.",
    )
    inverse_hidden_sizes: OptionalLayers = Field(
        (), description="Units of the layers of the inverse dynamics; without layers they are linear."
    )
    inverse_epochs: Count = Field(60, description="Passes over the transitions whose actions are known.")
    inverse_batch_size: Count = Field(128, description="Transitions in a minibatch of the inverse dynamics.")
    inverse_learning_rate: Positive = Field(
        0.01, description="Initial learning rate of the inverse dynamics; it decays to 0. With layers, use 0.001."
    )

    @model_validator(mode="after")
    def _iterations_explore(self) -> BCOSettings:
        if self.iterations and not self.exploration_steps:
            raise ValueError(
                f"iterations is {self.iterations} and exploration_steps 0, of which alpha takes a part; expected "
                "exploration_steps above 0, or iterations 0"
            )
        return self


class BCO(BehaviorCloning):
    """BCO: infer the actions of demonstrations without actions, then apply behavior cloning.

    **Idea.** A video of an expert shows states, but no actions. The agent first takes random actions and records
    which action led from one state to the next. A network learns to infer the action from two successive states. It
    then labels the demonstrations, and behavior cloning learns from the labels. The demonstrations' own actions are
    never read.

    **Equation.** The inverse dynamics p(a | s, s') maximize the mean of log p(a | s, s') over the agent's own
    transitions. The label of a demonstrated step is the most likely a, and the policy minimizes the mean of
    -log pi(a | s) over the labels. In BCO(alpha), each iteration adds transitions of the policy to the agent's own
    (`alpha` times `exploration_steps`), and fits both again.

    **Paper.** Torabi, Warnell and Stone 2018, IJCAI, arXiv 1805.01954, algorithm 1.

    **Differences.** The inputs of the inverse dynamics are s and s' - s, standardized. As in the paper, s is the
    agent-specific state: the features of the robot. By default they are linear, where the paper uses layers: an
    action commands a change of the robot's target, which position and lag show. Layers fit random actions as well,
    but are wrong far from the start positions, where an expert goes and random actions do not. After 3000 random
    actions, the mean error of the actions inferred in 15 demonstrations of LamGrasp was 0.003 without layers and 0.04
    with two; the defaults were chosen by these errors. With layers, set `iterations`: rollouts of the policy add
    transitions from these states. The policy is `bc` with its settings for the environment. In an iteration its
    actions are sampled.

    **When not to use it.** When the actions are known: use `bc`. When random actions may cause damage: give other
    episodes as `play`. When actions cannot be inferred from the robot's state. With demonstrations by `noisy`: the
    inferred actions are the executed ones, with noise, and BCO imitates the noise.

    The budget of :meth:`learn` is in epochs of the policy. A resumed training infers the labels again.

    Args:
        env: Environment that gives the spaces. Observations contain vectors, not only images.
        settings: Settings that differ from the defaults for this environment; see :class:`BCOSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec(
        "bco",
        version=2,
        settings=BCOSettings,
        needs_environment=True,
        budget_unit="epochs",
        takes_run=True,
        takes_play=True,
    )

    def learn(
        self,
        demonstrations: Demonstrations,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
        play: Demonstrations | None = None,
    ) -> None:
        """Explore, infer the actions of the demonstrations, and fit the policies to them.

        Args:
            demonstrations: Demonstrations with this agent's spaces, whose actions are not read.
            env: Environment made by ``gym.make``; exploration uses a copy of it.
            seed: Seeds exploration, weights and the order of minibatches.
            budget: Epochs of the policy; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.
            play: Further episodes whose actions are known, of any quality. The executed actions are read.

        Raises:
            ValueError: Demonstrations or play have other spaces; there are fewer steps than a minibatch; the
                observations are images alone; or there are no transitions with known actions.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        further = None if play is None else DemonstrationData.of(play)
        if further is not None and self.training is not None:
            self.training["play"] = {
                "id": further.id,
                "episodes": len(further.episodes),
                "checksum": further.checksum,
            }
        labeled = self.label(data, env, seed=seed, budget=budget, device=run.device, play=further)
        self._fit(labeled, env, seed, budget, run)

    def label(
        self,
        data: DemonstrationData,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        device: str = "auto",
        play: Demonstrations | None = None,
    ) -> RelabeledDemonstrations:
        """Explore, and return the demonstrations with inferred actions; see :meth:`learn`."""
        settings: BCOSettings = self.settings
        inputs = InverseInputs.of(env, settings.robot_parts)
        known = [] if play is None else self._recorded(DemonstrationData.of(play), inputs)
        shown = np.concatenate(inputs.of_episodes(data))
        rollouts = rollout_env(env, seed)
        try:
            known += _explored(rollouts, RandomAgent(env, seed), settings.exploration_steps, inputs)
            labeled = self._inferred(data, known, shown, 0, seed, device)
            for iteration in range(1, settings.iterations + 1):
                own = {name: getattr(settings, name) for name in BCSettings.model_fields}
                policy = BehaviorCloning(env, **{**own, "ensemble_size": 1})
                policy.learn(labeled, env, seed=seed, budget=budget, run=Run(device=device))
                with isolated_rng(_seed_of(seed, iteration)):
                    steps = round(settings.alpha * settings.exploration_steps)
                    known += _explored(rollouts, policy, steps, inputs)
                labeled = self._inferred(data, known, shown, iteration, seed, device)
        finally:
            rollouts.close()
        return labeled

    def _recorded(self, play: DemonstrationData, inputs: InverseInputs) -> list[tuple[Rows, Array]]:
        """Return inputs and executed actions of recorded episodes, which may differ from the recorded labels."""
        play.check_spaces(self.observation_space, self.action_space)
        dtype = self.action_space.dtype
        return [
            (inputs.of_episode(episode), episode.executed_actions.astype(dtype, copy=False))
            for episode in play.iterate_episodes()
        ]

    def _inferred(
        self,
        data: DemonstrationData,
        known: list[tuple[Rows, Array]],
        shown: Rows,
        iteration: int,
        seed: int,
        device: str,
    ) -> RelabeledDemonstrations:
        """Fit the inverse dynamics to transitions with known actions, and label the demonstrations."""
        settings: BCOSettings = self.settings
        if not known:
            raise ValueError(
                "no transitions with known actions: set exploration_steps above 0, or give episodes as play"
            )
        transitions = joined(known)
        loop = LoopSettings(
            settings.inverse_epochs,
            min(settings.inverse_batch_size, len(transitions)),
            settings.inverse_learning_rate,
        )
        own_seed = _seed_of(seed, iteration)
        with isolated_rng(own_seed):
            inverse = fit_inverse_dynamics(
                transitions, self.action_space, settings.inverse_hidden_sizes, loop, seed=own_seed, device=device
            )
            return RelabeledDemonstrations(data, infer_actions(inverse, shown))


def _seed_of(seed: int, iteration: int) -> int:
    return int(np.random.SeedSequence([seed, 4, iteration]).generate_state(1)[0])


def _explored(env: SeededEpisodes, actor: Policy, steps: int, inputs: InverseInputs) -> list[tuple[Rows, Array]]:
    """Act for whole episodes, at least ``steps`` steps; return inputs and actions of each episode."""
    episodes = []
    for _ in range(-(-steps // horizon_of(env))):
        observations = [env.reset()[0]]
        actions = []
        ended = False
        while not ended:
            action = actor.predict(observations[-1], deterministic=False)[0]
            observation, _, terminated, truncated, _ = env.step(action)
            observations.append(observation)
            actions.append(action)
            ended = terminated or truncated
        episodes.append((inputs(stack(observations[:-1]), stack(observations[1:])), np.stack(actions)))
    return episodes
