"""Clutter: take the marked object out of a heap. The task, its shapes, heaps and grasps."""

from __future__ import annotations

from lam_envs.tasks.clutter.task import Clutter

__all__ = ["Clutter"]
