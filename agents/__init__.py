"""Agents: what acts, what learns from demonstrations, and the registry that names them."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    raise ModuleNotFoundError("agents needs more than the core: pip install 'lam-envs[agents]'", name="torch")

from agents.evaluation.evaluation import Evaluation, evaluate
from agents.registry import TrainableAgent, find, load, make, names
from agents.training.run import Run

__all__ = ["Evaluation", "Run", "TrainableAgent", "evaluate", "find", "load", "make", "names"]
