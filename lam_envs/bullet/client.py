"""PyBullet, imported without its greeting (it prints its build time, once a process).

Only ``simulation.py``, ``cameras.py``, ``egl.py`` and ``robots`` of ``lam_envs`` use it.
"""

from __future__ import annotations

from lam_envs.bullet.quiet import Silenced

with Silenced():
    import pybullet

__all__ = ["pybullet"]
