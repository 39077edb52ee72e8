"""DAgger: the clone acts, the expert says what to do there, the clone learns that too (Ross et al. 2011)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from agents.imitation import cloning
from agents.imitation.cloning import Cloning, Fitting, new_clone
from agents.policies.networks import BoundedPolicy
from agents.training.demonstrations import Transitions, feature_indices, joined, transitions
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import at_least
from agents.training.stable_baselines import SeededEpisodes, horizon_of, practice_env
from agents.training.symmetry import symmetry_of
from demos.collection.recording import Policy
from demos.datasets.statistics import array_statistics
from demos.experts import make_expert


@dataclass(frozen=True)
class Settings(cloning.Settings):
    """Settings of DAgger; those of each environment are in ``configs/dagger.yaml``, and of the cloning as ``bc``'s.

    Attributes:
        demonstrated: Share of the demonstrations, in episodes, with which it starts; their steps count as labels.
        rounds: How often a policy acts and is corrected.
        expert_share: Probability that the expert acts in the first round, to the power of the round's number in the
            others; 0 lets the policy act alone.
        round_updates: Of the policy of each round, to the next whole pass over the labels; the last has all epochs.
    """

    demonstrated: float
    rounds: int
    expert_share: float
    round_updates: int

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, rounds=self.rounds, round_updates=self.round_updates)
        if not 0.0 < self.demonstrated <= 1.0:
            raise ValueError(f"demonstrated is {self.demonstrated}; expected a share above 0 and at most 1")
        if not 0.0 <= self.expert_share < 1.0:
            raise ValueError(f"expert_share is {self.expert_share}; expected at least 0 and below 1")


@dataclass(frozen=True)
class _Round:
    """A policy that is cloned, and episodes in which it acts and is corrected.

    Attributes:
        number: From 1; 0 for the last policy.
        before: Epochs that earlier policies took.
        epochs: Of this one.
        first: Number of its first episode.
        episodes: How many; 0 for the last policy.
    """

    number: int
    before: int
    epochs: int
    first: int
    episodes: int


class DAgger(PolicyAgent):
    """DAgger: the policy acts, the expert labels what it met, and the policy learns from that too.

    **Idea.** A clone knows only states that the expert came to. DAgger lets the clone act, so that it meets the
    states that its own errors lead to, and asks the expert there: what would you do now? These labels join the
    demonstrations, and the next policy is cloned from all of them. After some rounds it has been shown how to
    recover from each of its usual mistakes.

    **Equation.** Round i: D <- D + {(s, expert(s)) : s visited by pi_i}; pi_(i+1) minimises the mean of
    -log p(a | s) over D. The expert acts in place of pi_i with probability beta_i = `expert_share` ** i.

    **Paper.** Ross, Gordon, Bagnell 2011, A Reduction of Imitation Learning and Structured Prediction to No-Regret
    Online Learning, algorithm 3.1. The cloning is imitation's `BC`.

    **What we do differently.** The scripted experts label any state, so nobody has to sit and watch. The labels are
    counted: by default it gets no more than the demonstrations hold, starts from some of these and asks for the rest.
    Each policy is cloned from nothing, as `bc` would with its settings for the environment (pushing in fewer
    passes): a learning curve falls where a new one has just begun. The rounds are ours: imitation's `DAggerTrainer`
    keeps its rounds as files of pickles.

    **When not to use it.** Where no expert can be asked while the policy acts, or where its mistakes break something.

    The budget of :meth:`learn` is in labels, the demonstrations it starts with included.

    Args:
        env: Gives the spaces.
        settings: Fields of :class:`Settings` that differ from ``configs/dagger.yaml``.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    name = "dagger"
    version = 1
    settings_type = Settings

    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""
        return self._new_clone()

    def _new_clone(self) -> BoundedPolicy:
        settings = self.settings
        return new_clone(self.observation_space, self.action_space, settings.hidden_sizes, squash=settings.squash)

    def learn(
        self,
        demonstrations: minari.MinariDataset,
        env: gym.Env[Any, Any],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
        expert: Policy | None = None,
    ) -> None:
        """Clones some of the demonstrations, then acts and asks.

        Args:
            demonstrations: With this agent's spaces.
            env: Made by ``gym.make``; it practises in another that is made like it.
            seed: Of weights, the order of batches and episodes.
            budget: Labels in all; by default as many as the demonstrations have steps.
            progress: Show a bar.
            run: Keeps checkpoints and shows the success as it goes; by default nothing is kept.
            expert: Whom to ask; by default the scripted expert of the environment's task.

        Raises:
            ValueError: The demonstrations have other spaces, or the budget is too small for an episode of practice.
        """
        run = run or Run(progress=progress)
        self.begin(demonstrations, env, run, seed=seed, budget=budget)
        practice = practice_env(env, seed)
        try:
            with isolated_rng(seed):
                self._learn(demonstrations, env, practice, expert or make_expert(practice), seed, budget, run)
        finally:
            practice.close()

    def _learn(
        self,
        demonstrations: minari.MinariDataset,
        env: gym.Env[Any, Any],
        practice: SeededEpisodes,
        expert: Policy,
        seed: int,
        budget: int | None,
        run: Run,
    ) -> None:
        indices = [int(index) for index in demonstrations.episode_indices]
        shown = indices[: max(1, round(self.settings.demonstrated * len(indices)))]
        labels = transitions(demonstrations, self.observation_space, self.action_space, shown)
        total = int(demonstrations.total_steps) if budget is None else budget
        rounds = self._rounds(len(labels), horizon_of(env), total)
        with run.showing(self.name, rounds[-1].before + rounds[-1].epochs, "epochs"):
            kept = run.restored() or {"rounds": 0, "labels": None, "fitting": None}
            if kept["labels"] is not None:
                labels = Transitions(kept["labels"]["observations"], kept["labels"]["actions"])
            for finished, each in enumerate(rounds[kept["rounds"] :], start=kept["rounds"]):
                self._fit(each, labels, seed, {"rounds": finished, "labels": vars(labels)}, kept, env, run)
                if each.episodes:
                    labels = joined([labels, self._practised(each, practice, expert, seed)])

    def _rounds(self, shown: int, horizon: int, total: int) -> list[_Round]:
        """Divides the episodes that may be labelled; the last policy learns from all.

        Args:
            shown: Labels of the demonstrations it starts with.
            horizon: Steps of an episode.
            total: Labels in all.
        """
        settings = self.settings
        if total < shown:
            raise ValueError(
                f"the budget is {total} labels; the demonstrations it starts with have {shown}: set demonstrated, or "
                "a larger budget"
            )
        episodes = (total - shown) // horizon
        if settings.demonstrated < 1.0 and episodes < 1:
            raise ValueError(
                f"of {total} labels {shown} are of the demonstrations it starts with, which leaves less than an "
                f"episode of {horizon} to ask for: collect more demonstrations, or set demonstrated or the budget"
            )
        count = min(settings.rounds, episodes)
        borders = [episodes * number // count for number in range(count + 1)] if count else [0]
        rounds, before = [], 0
        for number in range(count):
            labels = shown + borders[number] * horizon
            epochs = math.ceil(settings.round_updates / max(1, labels // settings.batch_size))
            rounds.append(_Round(number + 1, before, epochs, borders[number], borders[number + 1] - borders[number]))
            before += epochs
        return [*rounds, _Round(0, before, settings.epochs, borders[-1], 0)]

    def _fit(
        self,
        each: _Round,
        labels: Transitions,
        seed: int,
        state: dict[str, Any],
        kept: dict[str, Any],
        env: gym.Env[Any, Any],
        run: Run,
    ) -> None:
        """Clones all labels into a new policy, which acts from then on.

        Args:
            each: What is cloned.
            labels: So far.
            seed: Of the training.
            state: What a checkpoint holds besides the cloning.
            kept: A checkpoint, whose cloning, if it is of this policy, goes on.
            env: Its success is shown in one like it.
            run: Shows and keeps.
        """
        settings = self.settings
        own_seed = int(np.random.SeedSequence([seed, each.number]).generate_state(1)[0])
        with isolated_rng(own_seed):
            fitted = Cloning(
                self._new_clone(),
                labels,
                Fitting(
                    epochs=each.epochs,
                    batch_size=min(settings.batch_size, len(labels)),
                    learning_rate=settings.learning_rate,
                    entropy_weight=settings.entropy_weight,
                    l2_weight=settings.l2_weight,
                ),
                seed=own_seed,
                found=array_statistics(labels.observations) if settings.standardize else None,
                ignored=feature_indices(settings.ignored, env),
                symmetry=symmetry_of(env, mirror=settings.mirror, turn=settings.turn),
                device=run.device,
            )
            if kept["fitting"] is not None:
                fitted.restore(kept["fitting"])
                kept["fitting"] = None
            while not fitted.is_done:
                fitted.epoch()
                self.policy = fitted.policy
                done = each.before + fitted.done
                run.show(done, labels=len(labels), **fitted.losses)
                run.judge(fitted.policy, env, done)
                run.keep(lambda: {**state, "fitting": fitted.state()})
            self.policy = fitted.result()

    def _practised(self, each: _Round, practice: SeededEpisodes, expert: Policy, seed: int) -> Transitions:
        """Acts for some episodes and has each state labelled."""
        drawn = np.random.default_rng([seed, 1, each.number])
        share = self.settings.expert_share**each.number
        practice.episode = each.first
        steps = [step for _ in range(each.episodes) for step in self._episode(practice, expert, share, drawn)]
        observations, actions = zip(*steps, strict=True)
        return Transitions(_stacked(list(observations)), torch.from_numpy(np.stack(actions)))

    def _episode(
        self, practice: SeededEpisodes, expert: Policy, share: float, drawn: np.random.Generator
    ) -> Iterator[tuple[Any, Any]]:
        observation, _ = practice.reset()
        ended = False
        while not ended:
            label, _ = expert.predict(observation, deterministic=True)
            yield observation, np.asarray(label, dtype=self.action_space.dtype)
            action = label if drawn.random() < share else self.policy.predict(observation, deterministic=True)[0]
            observation, _, terminated, truncated, _ = practice.step(action)
            ended = terminated or truncated


def _stacked(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {name: _stacked([each[name] for each in observations]) for name in observations[0]}
    return torch.from_numpy(np.stack(observations))
