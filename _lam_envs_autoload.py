"""Registers the ids of lam_envs when Gymnasium is imported, so that ``gym.make("LamGrasp-v0")`` needs no import.

Gymnasium loaded entry points itself up to 0.29, and stopped in 1.0. ``lam_envs.pth`` imports this module at the
start of Python; it must cost nothing there, so it only waits for Gymnasium. ``LAM_ENVS_AUTOLOAD=0`` turns it off.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Type checkers believe this; Python does not pay for the imports.
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any


class AfterGymnasium:
    """A finder that lets the others find Gymnasium, and registers the ids once it is imported."""

    asking_others = False

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """Finds ``gymnasium`` by the other finders; knows no other module."""
        if name != "gymnasium" or cls.asking_others:
            return None
        import importlib.util

        cls.asking_others = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            cls.asking_others = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            if cls in sys.meta_path:
                sys.meta_path.remove(cls)
            try:
                from lam_envs.registration import register_envs

                register_envs()
            except Exception as error:  # Gymnasium must stay usable for everyone else
                import warnings

                warnings.warn(f"lam_envs could not register its environments: {error!r}", stacklevel=2)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


if "gymnasium" not in sys.modules and os.environ.get("LAM_ENVS_AUTOLOAD") != "0":
    sys.meta_path.insert(0, AfterGymnasium)
