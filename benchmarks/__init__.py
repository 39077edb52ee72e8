"""Benchmarks: suites, statistics, reports, throughput."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("rliable") is None:
    raise ModuleNotFoundError(
        "benchmarks needs additional packages: pip install 'lam-envs[benchmarks]'", name="rliable"
    )

from agents.evaluation.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
