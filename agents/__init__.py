"""Agents: what acts, what learns from demonstrations, and the registry that names them."""

from __future__ import annotations

from agents.agent import Learning, find, load, make, names
from agents.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "Learning", "evaluate", "find", "load", "make", "names"]
