"""Agents: policies, algorithms that train them, and the registry of their names."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    raise ModuleNotFoundError(
        "agents needs torch, which is not installed: pip install 'lam-envs[agents]'", name="torch"
    )

from agents.deployment.pretrained.loading import load_pretrained, pretrained_agents
from agents.evaluation.evaluation import Evaluation, evaluate
from agents.registry import find, make, names
from agents.spec import TrainableAgent
from agents.training.run import Run
from agents.training.saving.loading import load

__all__ = [
    "Evaluation", "Run", "TrainableAgent", "evaluate", "find", "load", "load_pretrained", "make", "names",
    "pretrained_agents",
]  # fmt: skip
