"""PyBullet, imported without its greeting (it prints its build time, once a process).

Only ``lam_envs/simulation.py``, ``lam_envs/egl.py`` and ``lam_envs/robots`` use it.
"""

from __future__ import annotations

from lam_envs.quiet import Silenced

with Silenced():
    import pybullet

__all__ = ["pybullet"]
