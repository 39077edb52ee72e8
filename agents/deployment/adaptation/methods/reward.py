"""Adaptation by reward: a residual policy corrects the actions of the frozen agent."""

from __future__ import annotations

from dataclasses import replace

from agents.deployment.adaptation.case import RESIDUAL, AdaptationMethod, AdaptationSettings, Case
from agents.rl.residual import ResidualAgent, ResidualSettings
from agents.training.policy_agent import PolicyAgent


class RewardSettings(AdaptationSettings, ResidualSettings):
    """Settings of adaptation by reward: those of the check and of the residual policy."""


class AdaptByReward(AdaptationMethod):
    """Train a residual policy by SAC or PPO; the agent itself stays as it was."""

    name = "reward"
    unit = "steps"
    default_budget = 20_000
    uses_labels = False
    settings_class = RewardSettings

    def adapt(self, case: Case) -> PolicyAgent:
        """Return a residual policy on top of the agent."""
        settings = {name: getattr(case.settings, name) for name in ResidualSettings.model_fields}
        agent = ResidualAgent.of(case.agent, case.env, **settings)
        # The residual policy has checkpoints of its own, besides those of the adaptation.
        run = case.run if case.run.folder is None else replace(case.run, folder=case.run.folder / RESIDUAL)
        agent.learn(None, case.env, seed=case.seed, budget=case.budget, run=run)
        return agent
