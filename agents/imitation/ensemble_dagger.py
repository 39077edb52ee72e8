"""EnsembleDAgger (Menda et al. 2019): the policy queries the expert where an ensemble disagrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator

from agents.data.demonstrations import Transitions
from agents.imitation.bc import MAX_ENSEMBLE, BCPolicy, SharedBCSettings
from agents.imitation.dagger import Iteration
from agents.imitation.hg_dagger import HGDAgger
from agents.imitation.labels import LabeledSteps, Labels
from agents.policies.ensemble import EnsemblePolicy
from agents.spec import AgentSpec
from agents.training.settings import Count
from agents.training.stable_baselines.training import SeededEpisodes
from agents.types import Array, Observation, Tensors
from demos.collection.recording import Policy, stack
from demos.datasets.tree import tree_map

BATCH = 512
"""Labels in one forward pass."""


class EnsembleDAggerSettings(SharedBCSettings):
    """Settings of EnsembleDAgger: those that it shares with BC, and its own."""

    initial_fraction: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Fraction of the demonstrations to start with; "
        "the policy acts for as many steps as the remaining ones have.",
    )
    iterations: Count = Field(10, description="Number of iterations of rollouts with expert queries.")
    updates_per_iteration: Count = Field(
        6000,
        description="Updates of each ensemble except the last, in whole epochs of the initial demonstrations; "
        "labels add updates. The last ensemble trains for ``epochs``.",
    )
    ensemble_size: int = Field(
        5,
        ge=2,
        le=MAX_ENSEMBLE,
        description="Number of policies with different initial weights; their mean action is used.",
    )
    disagreement_quantile: float = Field(
        0.95,
        gt=0.0,
        lt=1.0,
        description="The policy queries the expert where the ensemble disagrees more than in this fraction of the "
        "labels so far.",
    )

    @model_validator(mode="before")
    @classmethod
    def _check_learner(cls, given: Mapping[str, object]) -> Mapping[str, object]:
        if "learner" in given:
            raise ValueError(
                f"learner is {given['learner']!r}; ensemble-dagger supports only bc policies: policies of other "
                "learners also disagree where the demonstrations are ambiguous. Remove learner, or use dagger or "
                "hg-dagger"
            )
        return given


class EnsembleDAgger(HGDAgger):
    """EnsembleDAgger: the policy acts, and queries the expert where an ensemble of policies disagrees.

    **Idea.** In DAgger the expert labels every state; in HG-DAgger a person supervises every step. Here the policy
    itself decides when to query the expert. Policies that learned from the same labels with different initial weights
    agree near these labels, and disagree far from them. Where their disagreement exceeds a threshold, the expert acts
    for this step, and its action becomes a label.

    **Equation.** Iteration i: D <- D + {(s, expert(s)) : s visited, sigma_i(s) > q_i}, where sigma_i(s) is the
    standard deviation of the policies' actions, and q_i its quantile `disagreement_quantile` over D; each policy
    minimizes the mean of -log p(a | s) over the new D.

    **Paper.** Menda, Driggs-Campbell and Kochenderfer 2019, EnsembleDAgger: A Bayesian Approach to Safe Imitation
    Learning, arXiv 1807.08364, section IV. SafeDAgger (Zhang and Cho 2017, arXiv 1605.06450) trains a classifier that
    decides when to query.

    **Differences.** The paper's second rule, a difference between the actions of policy and expert, needs the expert
    in every step; it is omitted, so that the number of labels is the number of queries. The threshold is a quantile,
    computed from the labels of each iteration. As in `dagger`, the policy acts for as many steps as the remaining
    demonstrations have, and each policy is trained from scratch. The policies of an ensemble see the same
    minibatches. The training record contains the number of `labels`, including the initial demonstrations.

    **Learner.** The policies are those of `bc`, and there is no setting `learner`. Policies of `bc-rnn` and
    `diffusion` can pick different modes of multimodal demonstrations. Their ensemble then disagrees in familiar
    states, too, and the mean action may belong to no mode. The actions of a chunk are executed without a new
    prediction, in which disagreement could show. `dagger` and `hg-dagger` have other learners.

    **When not to use it.** When labels cost nothing: `dagger` queries the expert in every state. When all policies
    make the same mistake: they agree, and do not query.

    The budget of :meth:`learn` is in steps: those of the initial demonstrations, and those in which the policy acts.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see :class:`EnsembleDAggerSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec(
        "ensemble-dagger",
        settings=EnsembleDAggerSettings,
        needs_environment=True,
        budget_unit="steps",
        takes_run=True,
    )
    _threshold: float

    def new_policy(self) -> Any:
        """Return an untrained ensemble."""
        spaces = self.observation_space, self.action_space
        return EnsemblePolicy([BCPolicy(*spaces, self.settings) for _ in range(self.settings.ensemble_size)])

    def _fit(self, iteration: Iteration, labels: LabeledSteps, *rest: Any) -> None:
        """Fit a new ensemble to all labels, and set the disagreement above which it queries the expert."""
        super()._fit(iteration, labels, *rest)
        if iteration.episodes:
            steps = labels.transitions()
            batches = (steps[start : start + BATCH] for start in range(0, len(labels), BATCH))
            values = torch.cat([self._disagreement(batch.observations) for batch in batches])
            self._threshold = float(values.quantile(self.settings.disagreement_quantile))

    @torch.no_grad()
    def _disagreement(self, observations: Tensors) -> torch.Tensor:
        disagreement: torch.Tensor = self.policy.disagreement(observations)
        return disagreement

    def _rollouts(self, iteration: Iteration, env: SeededEpisodes, expert: Policy, seed: int) -> Labels:
        """Let the policy act for some episodes; return the steps in which it queried the expert, possibly none."""
        env.episode = iteration.first
        episodes = [list(self._asked(env, expert)) for _ in range(iteration.episodes)]
        steps = [step for episode in episodes for step in episode]
        if not steps:
            return Labels(self._none(env), tuple(0 for _ in episodes))
        observations, actions = zip(*steps, strict=True)
        tensors = tree_map(torch.from_numpy, stack(observations))
        labels = Transitions(tensors, torch.from_numpy(np.stack(actions)))
        return Labels(labels, tuple(len(episode) for episode in episodes))

    def _none(self, env: SeededEpisodes) -> Transitions:
        """Return zero steps, with the shapes of the spaces."""
        tensors = tree_map(torch.from_numpy, stack([env.observation_space.sample()]))
        action = torch.from_numpy(np.stack([np.asarray(env.action_space.sample())]))
        return Transitions(tensors, action)[:0]

    def _asked(self, env: SeededEpisodes, expert: Policy) -> Iterator[tuple[Observation, Array]]:
        """Yield observation and expert action of each step in which the policy queries the expert."""
        observation, _ = env.reset()
        ended = False
        while not ended:
            seen = tree_map(lambda values: torch.as_tensor(np.asarray(values))[None], observation)
            if float(self._disagreement(seen)) > self._threshold:
                action = np.asarray(expert.predict(observation, deterministic=True)[0], dtype=env.action_space.dtype)
                yield observation, action
            else:
                action = self.policy.predict(observation, deterministic=True)[0]
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
