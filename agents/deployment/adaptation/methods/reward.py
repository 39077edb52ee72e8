"""Adaptation by reward: a residual policy corrects the actions of the frozen agent."""

from __future__ import annotations

from dataclasses import replace

from agents.deployment.adaptation.case import RESIDUAL, AdaptationMethod, AdaptationSettings, Case
from agents.rl.residual import ResidualAgent, ResidualSettings
from agents.training.policy_agent import PolicyAgent
from agents.training.stable_baselines.training import check_learning_starts, horizon_of


class RewardSettings(AdaptationSettings, ResidualSettings):
    """Settings of adaptation by reward: those of the check and of the residual policy."""


class AdaptByReward(AdaptationMethod):
    """Train a residual policy by SAC or PPO; the agent itself stays as it was."""

    name = "reward"
    unit = "steps"
    default_budget = 20_000
    settings_class = RewardSettings

    def check(self, case: Case) -> None:
        """Check that a residual policy can correct the agent, and that the budget is enough."""
        self._untrained(case)
        horizon = horizon_of(case.env)
        if case.budget < horizon:
            raise ValueError(f"the budget is {case.budget} steps; expected at least the {horizon} of an episode")
        if case.settings.algorithm == "sac":
            check_learning_starts(case.settings.learning_starts, case.budget, case.settings.train_freq)

    @staticmethod
    def _untrained(case: Case) -> ResidualAgent:
        """Return an untrained residual policy on top of the agent."""
        settings = {name: getattr(case.settings, name) for name in ResidualSettings.model_fields}
        return ResidualAgent.of(case.agent, case.env, **settings)

    def adapt(self, case: Case) -> PolicyAgent:
        """Return a residual policy on top of the agent."""
        agent = self._untrained(case)
        # The residual policy has checkpoints of its own, besides those of the adaptation.
        run = case.run if case.run.folder is None else replace(case.run, folder=case.run.folder / RESIDUAL)
        agent.learn(None, case.env, seed=case.seed, budget=case.budget, run=run)
        return agent
