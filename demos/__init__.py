"""Demonstrations: scripted experts, and tools to collect, inspect, verify, transform and exchange datasets."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("minari") is None:
    raise ModuleNotFoundError("demos needs additional packages: pip install 'lam-envs[demos]'", name="minari")

from demos.check import check, repair
from demos.collection.catalog.published_datasets import load_published
from demos.collection.collect import collect
from demos.collection.replay import replay, replay_states
from demos.collection.video import render
from demos.datasets.checksum import checksum
from demos.datasets.curate import filter_episodes, merge, split, subsample
from demos.datasets.environment import make_env
from demos.datasets.loading import installed, load
from demos.datasets.metadata import plan_of
from demos.datasets.statistics import describe, statistics
from demos.experts import make_expert
from demos.formats import export_dataset, import_dataset
from demos.preprocess import preprocess
from demos.report import report

__all__ = [
    "check",
    "checksum",
    "collect",
    "describe",
    "export_dataset",
    "filter_episodes",
    "import_dataset",
    "installed",
    "load",
    "load_published",
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
