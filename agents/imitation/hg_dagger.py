"""HG-DAgger (Kelly et al. 2019): a person takes over from the policy, which learns from these interventions."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import gymnasium as gym
import numpy as np
import torch
from pydantic import Field, model_validator

from agents.data.demonstrations import Transitions
from agents.imitation.dagger import DAgger, Iteration
from agents.imitation.labels import Labels
from agents.imitation.learners import BCLearnerSettings, choose_settings
from agents.policies.sequence_policy import SequencePolicy
from agents.spec import AgentSpec
from agents.training.settings import AgentSettings, Count
from agents.training.stable_baselines.training import SeededEpisodes
from agents.types import Action, Array, Memory, Observation
from demos.collection.recording import Policy, stack
from demos.datasets.tree import tree_map


class InterventionSettings(AgentSettings):
    """Settings of HG-DAgger that do not depend on the learner."""

    initial_fraction: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Fraction of the demonstrations to start with; "
        "the person watches as many rollout steps as the rest has.",
    )
    iterations: Count = Field(10, description="Number of iterations of rollouts and interventions.")
    updates_per_iteration: Count = Field(
        6000,
        description="Updates of each policy except the last, in whole epochs of the demonstrations it starts with; "
        "labels add to them. The last one trains for ``epochs``.",
    )
    takeover: float = Field(
        0.4,
        gt=0.0,
        le=1.0,
        description="Disagreement above which the person takes over: difference between the actions of policy and "
        "person, as a fraction of the largest, averaged over ``reaction_steps``.",
    )
    give_back: float = Field(0.15, ge=0.0, lt=1.0, description="Disagreement below which the person gives back.")
    reaction_steps: Count = Field(5, description="Steps over which the person averages; 5 are 0.25 s.")

    @model_validator(mode="after")
    def _check_gate(self) -> InterventionSettings:
        if self.give_back >= self.takeover:
            raise ValueError(
                f"give_back is {self.give_back} and takeover {self.takeover}; expected a lower give_back: else the "
                "person gives back at once, where the policy acts wrongly"
            )
        return self


class HGDAggerSettings(InterventionSettings, BCLearnerSettings):
    """Settings of HG-DAgger with bc: those that it shares with BC, and its own."""


class Supervisor:
    """Scripted person who watches a policy act, takes over while it acts wrongly, and then gives back.

    Args:
        settings: Settings of the gate.
        action_space: Space of the actions.

    Attributes:
        drives: True while the person acts.
    """

    def __init__(self, settings: InterventionSettings, action_space: gym.Space[Action]) -> None:
        self._settings, self._space = settings, action_space
        self.reset()

    def reset(self) -> None:
        """Begin an episode, in which the policy acts."""
        self.drives = False
        self._recent: deque[float] = deque(maxlen=self._settings.reaction_steps)

    def watch(self, own: Array, policy: Array) -> bool:
        """Return True if the person acts in this step.

        Args:
            own: Action that the person would take.
            policy: Action of the policy.
        """
        self._recent.append(self._disagreement(own, policy))
        if len(self._recent) == self._settings.reaction_steps:
            mean = sum(self._recent) / len(self._recent)
            changes = mean < self._settings.give_back if self.drives else mean > self._settings.takeover
            if changes:
                self.drives = not self.drives
                # A person needs as long again to change their mind.
                self._recent.clear()
        return self.drives

    def _disagreement(self, own: Array, policy: Array) -> float:
        """Return the largest difference of a number, as a fraction of its range; 0 or 1 for discrete actions."""
        if isinstance(self._space, gym.spaces.Box):
            spread = self._space.high - self._space.low
            return float(np.max(np.abs(np.clip(policy, self._space.low, self._space.high) - own) / spread))
        return float(np.any(own != policy))


class HGDAgger(DAgger):
    """HG-DAgger: a person watches the policy act and takes over; the policy learns from these interventions.

    **Idea.** In DAgger the expert labels every state, while the policy acts: people find it hard to say what they
    would do while something else drives. In HG-DAgger the person drives whenever they take over, and only these steps
    become labels. So a person labels few states, exactly those in which the policy went wrong.

    **Equation.** Iteration i: D <- D + {(s, person(s)) : s in which the person drives}; pi_(i+1) minimizes the mean
    of -log p(a | s) over D.

    **Learner.** `learner` names the agent that learns from the labels, as in `dagger`: `bc`, `bc-rnn`, `act` or
    `diffusion`. Such a policy learns at steps in which the person drives. It sees the observations before them, also
    those at which it acted itself, as it does when it acts; actions of a chunk after the person gives back are left
    out of the loss. It remembers the steps in which the person drives, and predicts a new chunk when it acts again.

    **Paper.** Kelly, Sidrane, Driggs-Campbell, Kochenderfer 2019, HG-DAgger: Interactive Imitation Learning with
    Human Experts, arXiv 1810.02890, algorithm 1.

    **Differences.** The person is the scripted expert here. It takes over where the actions of policy and expert have
    disagreed for a quarter of a second, and gives back where they agree again. The paper's second result, a threshold
    of the doubt of an ensemble, is left out. Real people intervene by `python -m agents teleop`, whose dataset any
    agent learns from (`docs/drive_the_robot.md`). As in `dagger`, the person watches as many steps as the rest of the
    demonstrations has, and each policy is trained from scratch.

    **When not to use it.** When labels are free: `dagger` labels every state.

    The budget of :meth:`learn` is in steps: those of the initial demonstrations, and those that the person watches.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see :class:`HGDAggerSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec(
        "hg-dagger",
        settings=HGDAggerSettings,
        needs_environment=True,
        budget_unit="steps",
        takes_run=True,
        choose_settings=partial(choose_settings, InterventionSettings, HGDAggerSettings),
    )

    def _iterations(self, initial: int, horizon: int, total: int) -> list[Iteration]:
        """Divide the episodes to watch.

        Args:
            initial: Steps of the demonstrations it starts with.
            horizon: Steps of an episode.
            total: Steps in all.
        """
        episodes = (total - initial) // horizon
        if total < initial or (self.settings.initial_fraction < 1.0 and episodes < 1):
            raise ValueError(
                f"of {total} steps {initial} belong to the demonstrations it starts with, which leaves less than an "
                f"episode of {horizon} to watch: collect more demonstrations, or set initial_fraction or the budget"
            )
        count = min(self.settings.iterations, episodes)
        borders = [episodes * number // count for number in range(count + 1)] if count else [0]
        epochs = math.ceil(self.settings.updates_per_iteration / max(1, initial // self.settings.batch_size))
        watched = [
            Iteration(number + 1, number * epochs, epochs, first, last - first)
            for number, (first, last) in enumerate(pairwise(borders))
        ]
        return [*watched, Iteration(0, count * epochs, self.settings.epochs, borders[-1], 0)]

    def _rollouts(self, iteration: Iteration, env: SeededEpisodes, expert: Policy, seed: int) -> Labels:
        """Let the policy act for some episodes; return the steps in which the person drove, possibly none."""
        env.episode = iteration.first
        supervisor = Supervisor(self.settings, self.action_space)
        episodes = [list(self._watched(env, expert, supervisor)) for _ in range(iteration.episodes)]
        observations, actions, drives = zip(*(step for episode in episodes for step in episode), strict=True)
        steps = Transitions(tree_map(torch.from_numpy, stack(observations)), torch.from_numpy(np.stack(actions)))
        lengths = tuple(len(episode) for episode in episodes)
        labels = Labels(steps, lengths, torch.tensor(drives, dtype=torch.bool))
        return labels if isinstance(self.policy, SequencePolicy) else labels.without_history()

    def _watched(
        self, env: SeededEpisodes, person: Policy, supervisor: Supervisor
    ) -> Iterator[tuple[Observation, Array, bool]]:
        """Yield observation, executed action, and True if the person drives, of each step."""
        observation, _ = env.reset()
        supervisor.reset()
        memory: Memory = None
        start, ended = np.array([True]), False
        while not ended:
            own = np.asarray(person.predict(observation, deterministic=True)[0], dtype=self.action_space.dtype)
            action, memory = self.policy.predict(observation, memory, start, deterministic=True)
            policy = np.asarray(action, dtype=self.action_space.dtype)
            drives = supervisor.watch(own, policy)
            if drives and isinstance(self.policy, SequencePolicy):
                # The chunk was for a state that the person has left.
                memory = self.policy.without_chunk(memory)
            executed = own if drives else policy
            yield observation, executed, drives
            observation, _, terminated, truncated, _ = env.step(executed)
            start, ended = np.array([False]), terminated or truncated
