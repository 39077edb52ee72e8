"""Demonstrations: scripted experts, collection, Minari datasets, replay and video."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("minari") is None:
    raise ModuleNotFoundError("demos needs more than the core: pip install 'lam-envs[demos]'", name="minari")

from demos.collect import collect
from demos.dataset import describe, installed, load, make_env, plan_of
from demos.experts import make_expert
from demos.replay import replay
from demos.video import render

__all__ = ["collect", "describe", "installed", "load", "make_env", "make_expert", "plan_of", "render", "replay"]
