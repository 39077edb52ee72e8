"""Table: one scene with many objects, where the instruction alone says what to do."""

from __future__ import annotations

from lam_envs.tasks.table.task import Table

__all__ = ["Table"]
