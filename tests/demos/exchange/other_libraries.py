"""Reads exports with the libraries themselves, from their own environment: they ask for other versions than ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

READERS = Path(__file__).parents[3] / ".venv-readers"


def read_by(script: str, *arguments: str) -> Any:
    """Return what a library in another environment reads."""
    assert (READERS / ".installed").exists(), "these tests need make .venv-readers/.installed"
    out = Path(arguments[1])
    command = [sys.executable, str(Path(__file__).parent / "readers" / script), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(READERS)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stderr
    return np.load(out)
