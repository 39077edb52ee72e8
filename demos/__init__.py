"""Demonstrations: scripted experts, and datasets that are collected, looked at, verified, changed and exchanged."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("minari") is None:
    raise ModuleNotFoundError("demos needs more than the core: pip install 'lam-envs[demos]'", name="minari")

from demos.check import check, repair
from demos.checksum import checksum
from demos.collect import collect
from demos.curate import filter_episodes, merge, split, subsample
from demos.dataset import describe, installed, load, make_env, plan_of
from demos.exchange import export_dataset, import_dataset
from demos.experts import make_expert
from demos.preprocess import preprocess
from demos.ready_made import fetch_or_make
from demos.replay import replay, replay_states
from demos.report import report
from demos.statistics import statistics
from demos.video import render

__all__ = [
    "check",
    "checksum",
    "collect",
    "describe",
    "export_dataset",
    "fetch_or_make",
    "filter_episodes",
    "import_dataset",
    "installed",
    "load",
    "make_env",
    "make_expert",
    "merge",
    "plan_of",
    "preprocess",
    "render",
    "repair",
    "replay",
    "replay_states",
    "report",
    "split",
    "statistics",
    "subsample",
]
