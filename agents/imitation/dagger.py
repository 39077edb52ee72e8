"""DAgger (Ross et al. 2011): the policy acts, the expert labels the states it visits, the policy learns from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import Field

from agents.data.demonstrations import DemonstrationData, Demonstrations, Transitions
from agents.data.features import NamedFeatures
from agents.imitation.bc import BCPolicy
from agents.imitation.labels import LabeledSteps, Labels, demonstrated, joined
from agents.imitation.learners import (
    BCLearnerSettings,
    check_idle_steps,
    choose_settings,
    examples_of,
    fit_inputs,
    loop_settings,
    new_policy,
)
from agents.policies.sequence_policy import SequencePolicy
from agents.pretraining.initialization import initialize, load_encoder, record_encoder
from agents.spec import AgentSpec
from agents.training.loop import TrainingLoop
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, Discount
from agents.training.stable_baselines.training import SeededEpisodes, horizon_of, rollout_env
from agents.types import Array, Env, Memory, Observation, State
from demos.collection.recording import Policy, stack
from demos.datasets.tree import tree_map
from demos.experts import make_expert


class LabelSettings(AgentSettings):
    """Settings of DAgger, whatever learns from the labels."""

    initial_fraction: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Fraction of the demonstrations to start with; "
        "the expert labels as many rollout steps as the rest has.",
    )
    iterations: Count = Field(10, description="Number of iterations of rollouts and labels.")
    beta: Discount = Field(
        0.0, description="Probability that the expert acts in iteration i is beta to the power of i; 0 never."
    )
    updates_per_iteration: Count = Field(
        6000,
        description="Updates of each policy except the last, rounded up to whole epochs; "
        "the last one trains for ``epochs``.",
    )


class DAggerSettings(LabelSettings, BCLearnerSettings):
    """Settings of DAgger with bc: those that it shares with BC, and its own."""


@dataclass(frozen=True)
class Iteration:
    """Policy to fit, and the episodes of its rollouts, which the expert labels.

    Attributes:
        number: Number from 1; 0 for the last policy.
        before: Epochs of earlier policies.
        epochs: Epochs of this policy.
        first: Number of its first episode.
        episodes: Number of episodes; 0 for the last policy.
    """

    number: int
    before: int
    epochs: int
    first: int
    episodes: int


class DAgger(PolicyAgent):
    """DAgger: the policy acts, the expert labels the states it visits, and the policy learns from these labels too.

    **Idea.** A BC policy knows only states that the expert visited. In DAgger the policy acts, so that it visits the
    states that its own errors lead to, and the expert labels them with the action to take there. The labels join the
    demonstrations, and the next policy is fitted to all of them. After some iterations the policy has learned to
    recover from its usual mistakes.

    **Equation.** Iteration i: D <- D + {(s, expert(s)) : s visited by pi_i}; pi_(i+1) minimizes the mean of
    -log p(a | s) over D. The expert acts in place of pi_i with probability beta_i = `beta` ** i.

    **Learner.** `learner` names the agent that learns from the labels: `bc`, `bc-rnn`, `act` or `diffusion`, with the
    loss and the settings of that agent. A chunk to learn from consists of the labels of successive visited states.
    The memory of the policy is reset at the start of each episode.

    **Paper.** Ross, Gordon, Bagnell 2011, A Reduction of Imitation Learning and Structured Prediction to No-Regret
    Online Learning, algorithm 3.1.

    **Differences.** The scripted experts label any state. Labels are counted: by default, DAgger gets no more labels
    than the demonstrations have steps; it starts with a part of the demonstrations and asks for the rest. Each policy
    is trained from scratch, as `bc` would with its settings for the environment (pushing in fewer epochs), so a
    learning curve drops when a new policy starts.

    **When not to use it.** When no expert can label states, or when the policy's mistakes break something.

    The budget of :meth:`learn` is in labels, those of the initial demonstrations included.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see :class:`DAggerSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec(
        "dagger",
        settings=DAggerSettings,
        needs_environment=True,
        budget_unit="labels",
        takes_run=True,
        choose_settings=partial(choose_settings, LabelSettings, DAggerSettings),
    )

    def __init__(self, env: Env, **settings: Any) -> None:
        self._features = NamedFeatures.of(env)
        super().__init__(env, **settings)

    def new_policy(self) -> BCPolicy | SequencePolicy:
        """Return an untrained policy of the learner."""
        return new_policy(self.settings, self.observation_space, self.action_space, self._features)

    def learn(
        self,
        demonstrations: Demonstrations,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
        expert: Policy | None = None,
    ) -> None:
        """Train on some of the demonstrations, then collect rollouts and have the expert label them.

        Args:
            demonstrations: Demonstrations with this agent's spaces.
            env: Environment made by ``gym.make``; rollouts take place in a copy of it.
            seed: Seeds weights, the order of minibatches, and episodes.
            budget: Labels, those of the initial demonstrations included; by default the steps of the demonstrations.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.
            expert: Policy that labels; by default the scripted expert of the environment's task.

        Raises:
            ValueError: The demonstrations have other spaces or another task, the budget is too small for an episode,
                or the setting ``idle_steps`` is given.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        check_idle_steps(self.spec.name, self.settings, env)
        self.begin(data, env, run, seed=seed, budget=budget)
        rollouts = rollout_env(env, seed)
        try:
            with isolated_rng(seed):
                self._learn(data, env, rollouts, expert or make_expert(rollouts), seed, budget, run)
        finally:
            rollouts.close()

    def _learn(
        self,
        data: DemonstrationData,
        env: Env,
        rollouts: SeededEpisodes,
        expert: Policy,
        seed: int,
        budget: int | None,
        run: Run,
    ) -> None:
        record_encoder(self.training, load_encoder(self.settings))
        numbers = range(max(1, round(self.settings.initial_fraction * len(data.episodes))))
        initial = labels = demonstrated(data, numbers)
        collected: Labels | None = None
        iterations = self._iterations(len(initial), horizon_of(env), budget or data.total_steps)
        with run.training(self.spec.name, iterations[-1].before + iterations[-1].epochs, "epochs"):
            state = run.restored() or {"iterations": 0, "collected": None, "loop": None}
            if "collected" not in state:
                raise ValueError(
                    f"{run.folder} holds a checkpoint of an earlier version of lam-envs: choose another folder, or "
                    "start from scratch with --overwrite (Run(overwrite=True))"
                )
            if state["collected"] is not None:
                collected = Labels.from_state(state["collected"])
                labels = joined(initial, collected)
            for finished, iteration in enumerate(iterations[state["iterations"] :], start=state["iterations"]):
                # The demonstrations are in their dataset: a checkpoint holds only the new labels.
                checkpoint = {
                    "iterations": finished,
                    "collected": None if collected is None else collected.state(),
                }
                self._fit(iteration, labels, seed, checkpoint, state, env, run)
                if iteration.episodes:
                    fresh = self._rollouts(iteration, rollouts, expert, seed)
                    collected = fresh if collected is None else collected + fresh
                    labels = joined(initial, collected)
        self.training = {**(self.training or {}), "labels": len(labels)}

    def _iterations(self, initial: int, horizon: int, total: int) -> list[Iteration]:
        """Divide the episodes to label; the last policy learns from all labels.

        Args:
            initial: Labels of the demonstrations it starts with.
            horizon: Steps of an episode.
            total: Labels in all.
        """
        settings = self.settings
        if total < initial:
            raise ValueError(
                f"the budget is {total} labels; the demonstrations it starts with have {initial}: set "
                "initial_fraction, or a larger budget"
            )
        episodes = (total - initial) // horizon
        if settings.initial_fraction < 1.0 and episodes < 1:
            raise ValueError(
                f"of {total} labels {initial} belong to the demonstrations it starts with, which leaves less than an "
                f"episode of {horizon} to label: collect more demonstrations, or set initial_fraction or the budget"
            )
        count = min(settings.iterations, episodes)
        borders = [episodes * number // count for number in range(count + 1)] if count else [0]
        iterations, before = [], 0
        for number in range(count):
            labels = initial + borders[number] * horizon
            epochs = math.ceil(settings.updates_per_iteration / max(1, labels // settings.batch_size))
            iterations.append(
                Iteration(number + 1, before, epochs, borders[number], borders[number + 1] - borders[number])
            )
            before += epochs
        return [*iterations, Iteration(0, before, settings.epochs, borders[-1], 0)]

    def _fit(
        self,
        iteration: Iteration,
        labels: LabeledSteps,
        seed: int,
        checkpoint: State,
        state: State,
        env: Env,
        run: Run,
    ) -> None:
        """Fit a new policy to all labels, which acts from then on.

        Args:
            iteration: Iteration.
            labels: Labels so far.
            seed: Seed of the training.
            checkpoint: Content of a checkpoint besides the training loop.
            state: Checkpoint that was read; its training loop is resumed if it belongs to this policy.
            env: Environment of periodic evaluation.
            run: Checkpoints and log.
        """
        settings = self.settings
        own_seed = int(np.random.SeedSequence([seed, iteration.number]).generate_state(1)[0])
        with isolated_rng(own_seed):
            policy = self.new_policy()
            initialize(policy, load_encoder(settings), freeze=settings.freeze_encoder)
            fit_inputs(policy, settings, labels, env)
            loop: TrainingLoop[BCPolicy | SequencePolicy] = TrainingLoop(
                policy,
                examples_of(settings, labels),
                loop_settings(settings, iteration.epochs, len(labels)),
                seed=own_seed,
                symmetry=settings.symmetry(env),
                device=run.device,
            )
            if state["loop"] is not None:
                loop.restore(state["loop"])
                state["loop"] = None
            while not loop.is_done:
                loop.epoch()
                if isinstance(policy, SequencePolicy):
                    loop.check_finite(self.spec.name)
                self.policy = policy
                done = iteration.before + loop.epochs_done
                run.log(done, labels=len(labels), **loop.logs)
                with loop.averaged() as acting:
                    run.evaluate(acting, env, done)
                run.checkpoint(lambda: {**checkpoint, "loop": loop.state()})
            self.policy = loop.result()

    def _rollouts(self, iteration: Iteration, env: SeededEpisodes, expert: Policy, seed: int) -> Labels:
        """Act for some episodes, and have the expert label each state."""
        rng = np.random.default_rng([seed, 1, iteration.number])
        beta = self.settings.beta**iteration.number
        env.episode = iteration.first
        episodes = [list(self._episode(env, expert, beta, rng)) for _ in range(iteration.episodes)]
        observations, actions = zip(*(step for episode in episodes for step in episode), strict=True)
        steps = Transitions(tree_map(torch.from_numpy, stack(observations)), torch.from_numpy(np.stack(actions)))
        return Labels(steps, tuple(len(episode) for episode in episodes))

    def _episode(
        self, env: SeededEpisodes, expert: Policy, beta: float, rng: np.random.Generator
    ) -> Iterator[tuple[Observation, Array]]:
        """Yield observation and label of each step."""
        observation, _ = env.reset()
        memory: Memory = None
        start, ended = np.array([True]), False
        while not ended:
            label, _ = expert.predict(observation, deterministic=True)
            yield observation, np.asarray(label, dtype=self.action_space.dtype)
            # A policy with memory also remembers the steps at which the expert acts.
            action, memory = self.policy.predict(observation, memory, start, deterministic=True)
            observation, _, terminated, truncated, _ = env.step(label if rng.random() < beta else action)
            start, ended = np.array([False]), terminated or truncated
