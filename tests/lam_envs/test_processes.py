"""Other processes have the right episodes, and do not change those of this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("processes.py")
CASES = (
    "fork",
    pytest.param("fork tasks", marks=pytest.mark.slow),
    pytest.param("spawn tasks", marks=pytest.mark.slow),
    pytest.param("spawn", marks=pytest.mark.slow),
    pytest.param("forkserver", marks=pytest.mark.slow),
    pytest.param("data_loader", marks=pytest.mark.slow),
    pytest.param("subproc_vec_env_fork", marks=pytest.mark.slow),
    pytest.param("subproc_vec_env_forkserver", marks=pytest.mark.slow),  # the default of Stable-Baselines3
    pytest.param("subproc_vec_env_spawn", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("case", CASES)
def test_processes_that_begin_after_an_environment_have_its_episodes_and_leave_it_unharmed(case: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, str(SCRIPT), *case.split()], capture_output=True, text=True, timeout=240, env=environment
    )
    assert process.returncode == 0, process.stderr
    assert not process.stderr, "a warning or an error message of a library"
