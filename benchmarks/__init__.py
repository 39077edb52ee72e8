"""Benchmarks: suites, statistics, reports, throughput."""

from __future__ import annotations

from agents.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
