"""What is imported when: commands start at once, and the core needs nothing of the layers above."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATE = ("torch", "scipy.stats", "matplotlib", "rliable", "stable_baselines3", "imitation", "pyarrow", "av")
"""Takes long to import, and only some commands need it."""


@pytest.mark.parametrize("module", ["demos.__main__", "agents.__main__", "benchmarks.__main__"])
def test_a_command_starts_without_what_only_some_commands_need(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {LATE} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
