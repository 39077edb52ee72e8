"""Import of PyBullet without its message: it prints its build time once per process."""

from __future__ import annotations

from lam_envs.bullet.quiet import SuppressOutput

with SuppressOutput():
    import pybullet

__all__ = ["pybullet"]
