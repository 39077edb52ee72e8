"""TorchRL, RLlib, d3rlpy and Stable-Baselines3 use the environments and datasets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import demos

ROOT = Path(__file__).parents[2]
OTHERS = ROOT / ".venv-others"
"""TorchRL and d3rlpy, which are not dependencies."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_other_libraries_read_environments_infos_and_datasets(tmp_path: Path) -> None:
    assert (OTHERS / ".installed").exists(), "this test needs make .venv-others/.installed"
    dataset = demos.collect("LamReach-v0", episodes=3, seed=0, root=tmp_path / "datasets")
    ran = subprocess.run(
        [sys.executable, str(ROOT / "tests/lam_envs/other_libraries.py"), str(tmp_path / "datasets"), dataset.id],
        env={**os.environ, "PYTHONPATH": f"{OTHERS}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout.partition("SEEN")[2])
    types = {"is_success": "torch.bool", "terminated": "torch.bool", "reward": "torch.float32"}
    assert seen["torchrl"] == dict.fromkeys(("LamReach-v0", "LamReachDiscrete-v0", "LamReachGoal-v0"), types)
    assert seen["torchrl_named"] == [5]
    assert seen["torchrl_vector"] == [2, 5]
    assert seen["rllib"] == {"steps": [40, 40], "flags": ["bool"]}
    assert seen["d3rlpy"]["episodes"] == 3
    assert seen["d3rlpy"]["observations"] == [40, 18]
    assert seen["stable_baselines3"] == {"episodes": 2, "successes": 2}
