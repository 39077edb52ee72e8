"""HG-DAgger (Kelly et al. 2019): a person takes over from the policy, which learns from these interventions."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import gymnasium as gym
import numpy as np
import torch
from pydantic import Field

from agents.data.demonstrations import DemonstrationData, Demonstrations, Transitions, concatenate_transitions
from agents.data.features import feature_indices
from agents.imitation.bc import BCPolicy, SharedBCSettings
from agents.registry import AgentSpec
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import Count
from agents.training.stable_baselines import SeededEpisodes, horizon_of, rollout_env
from agents.types import Action, Array, Env, Observation, State
from demos.collection.recording import Policy, stack
from demos.datasets.statistics import array_statistics
from demos.datasets.tree import tree_map
from demos.experts import make_expert


class HGDAggerSettings(SharedBCSettings):
    """Settings of HG-DAgger: those that it shares with BC, and its own."""

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


class Supervisor:
    """Scripted person who watches a policy act, takes over while it acts wrongly, and then gives back.

    Args:
        settings: Settings of the gate.
        action_space: Space of the actions.

    Attributes:
        drives: True while the person acts.
    """

    def __init__(self, settings: HGDAggerSettings, action_space: gym.Space[Action]) -> None:
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


@dataclass(frozen=True)
class _Iteration:
    """Policy to fit, and the episodes in which a person then watches it.

    Attributes:
        number: Number from 1; 0 for the last policy, which nobody watches.
        before: Epochs of earlier policies.
        epochs: Epochs of this policy.
        first: Number of its first episode.
        episodes: Number of episodes.
    """

    number: int
    before: int
    epochs: int
    first: int
    episodes: int


class HGDAgger(PolicyAgent):
    """HG-DAgger: a person watches the policy act and takes over; the policy learns from these interventions.

    **Idea.** In DAgger the expert labels every state, while the policy acts: people find it hard to say what they
    would do while something else drives. In HG-DAgger the person drives whenever they take over, and only these steps
    become labels. So a person labels few states, exactly those in which the policy went wrong.

    **Equation.** Iteration i: D <- D + {(s, person(s)) : s in which the person drives}; pi_(i+1) minimizes the mean
    of -log p(a | s) over D.

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
        "hg-dagger", settings=HGDAggerSettings, needs_environment=True, budget_unit="steps", takes_run=True
    )

    def new_policy(self) -> BCPolicy:
        """Return an untrained policy."""
        return BCPolicy(self.observation_space, self.action_space, self.settings)

    def learn(
        self,
        demonstrations: Demonstrations,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
        person: Policy | None = None,
    ) -> None:
        """Train BC on some of the demonstrations, then watch rollouts and learn from the interventions.

        Args:
            demonstrations: Demonstrations with this agent's spaces.
            env: Environment made by ``gym.make``; rollouts take place in a copy of it.
            seed: Seeds weights, the order of minibatches, and episodes.
            budget: Steps, those of the initial demonstrations included; by default the steps of the demonstrations.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.
            person: Policy that intervenes; by default the scripted expert of the environment's task.

        Raises:
            ValueError: The demonstrations have other spaces, or the budget is too small for an episode.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        rollouts = rollout_env(env, seed)
        try:
            with isolated_rng(seed):
                self._learn(data, env, rollouts, person or make_expert(rollouts), seed, budget, run)
        finally:
            rollouts.close()

    def _learn(
        self,
        data: DemonstrationData,
        env: Env,
        rollouts: SeededEpisodes,
        person: Policy,
        seed: int,
        budget: int | None,
        run: Run,
    ) -> None:
        initial = max(1, round(self.settings.initial_fraction * len(data.episodes)))
        labels = data.transitions(range(initial))
        iterations = self._iterations(len(labels), horizon_of(env), budget or data.total_steps)
        with run.training(self.spec.name, iterations[-1].before + iterations[-1].epochs, "epochs"):
            state = run.restored() or {"iterations": 0, "labels": None, "loop": None}
            if state["labels"] is not None:
                labels = Transitions(state["labels"]["observations"], state["labels"]["actions"])
            for finished, iteration in enumerate(iterations[state["iterations"] :], start=state["iterations"]):
                checkpoint = {"iterations": finished, "labels": vars(labels[:])}
                self._fit(iteration, labels, seed, checkpoint, state, env, run)
                if iteration.episodes:
                    labels = concatenate_transitions([labels, self._watched(iteration, rollouts, person)])

    def _iterations(self, initial: int, horizon: int, total: int) -> list[_Iteration]:
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
            _Iteration(number + 1, number * epochs, epochs, first, last - first)
            for number, (first, last) in enumerate(pairwise(borders))
        ]
        return [*watched, _Iteration(0, count * epochs, self.settings.epochs, borders[-1], 0)]

    def _fit(
        self,
        iteration: _Iteration,
        labels: Transitions,
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
        settings: HGDAggerSettings = self.settings
        own_seed = int(np.random.SeedSequence([seed, iteration.number]).generate_state(1)[0])
        with isolated_rng(own_seed):
            policy = self.new_policy()
            if settings.standardize:
                statistics = array_statistics(labels[:].observations)
                policy.fit_normalizer(statistics, feature_indices(settings.masked_features, env))
            loop = TrainingLoop(
                policy,
                labels,
                LoopSettings(iteration.epochs, min(settings.batch_size, len(labels)), settings.learning_rate),
                seed=own_seed,
                symmetry=settings.symmetry(env),
                device=run.device,
            )
            if state["loop"] is not None:
                loop.restore(state["loop"])
                state["loop"] = None
            while not loop.is_done:
                loop.epoch()
                self.policy = policy
                done = iteration.before + loop.epochs_done
                run.log(done, labels=len(labels), **loop.logs)
                run.evaluate(policy, env, done)
                run.checkpoint(lambda: {**checkpoint, "loop": loop.state()})
            self.policy = loop.result()

    def _watched(self, iteration: _Iteration, env: SeededEpisodes, person: Policy) -> Transitions:
        """Let the policy act for some episodes; return the steps in which the person drove, possibly none."""
        env.episode = iteration.first
        supervisor = Supervisor(self.settings, self.action_space)
        steps = [step for _ in range(iteration.episodes) for step in self._episode(env, person, supervisor)]
        observations, actions, drives = zip(*steps, strict=True)
        chosen = torch.tensor(drives, dtype=torch.bool)
        tensors = tree_map(torch.from_numpy, stack(observations))
        return Transitions(tensors, torch.from_numpy(np.stack(actions)))[chosen]

    def _episode(
        self, env: SeededEpisodes, person: Policy, supervisor: Supervisor
    ) -> Iterator[tuple[Observation, Array, bool]]:
        """Yield observation, action of the person, and True if they drive, of each step."""
        observation, _ = env.reset()
        supervisor.reset()
        ended = False
        while not ended:
            own = np.asarray(person.predict(observation, deterministic=True)[0], dtype=self.action_space.dtype)
            policy = np.asarray(self.policy.predict(observation, deterministic=True)[0])
            drives = supervisor.watch(own, policy)
            yield observation, own, drives
            observation, _, terminated, truncated, _ = env.step(own if drives else policy)
            ended = terminated or truncated
