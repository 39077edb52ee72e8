"""Fixtures of tests of agents."""

from __future__ import annotations

import pytest


@pytest.fixture
def few_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PPO, GAIL and AIRL step two environments in this process: making eight takes longer than what is tested.

    The number of processes changes nothing: see :mod:`tests.agents.test_vec_env`.
    """
    from agents.rl.adversarial.training import AdversarialAgent
    from agents.rl.ppo import PPOAgent
    from agents.training.stable_baselines import training as stable_baselines

    for agent in (PPOAgent, AdversarialAgent):
        monkeypatch.setattr(agent, "n_envs", 2)
    monkeypatch.setattr(stable_baselines, "_training_workers", lambda env: 1)
