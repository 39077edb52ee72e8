"""The scripts of ``examples/adapters`` train agents of other libraries, which are not in our install."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADAPTERS = ROOT / "examples" / "adapters"
INSTALLED = ROOT / ".venv-adapters"
RUNS: dict[str, tuple[list[str], float]] = {
    "cleanrl_ppo_continuous_action.py": ([], 0.9),
    "d3rlpy_bc.py": ([], 0.9),
    "lerobot_act.py": ([], 0.8),
    "onnx_policy.py": ([], 0.9),
    "rllib_ppo.py": ([], 0.9),
    "sb3_contrib_recurrent_ppo.py": (["--steps", "1024", "--out", "recurrent.zip"], 0.0),
    "sb3_contrib_tqc.py": (["--out", "tqc.zip"], 0.9),
    "torchrl_bc.py": ([], 0.9),
}
"""Options and lowest success rate of each script. A recurrent PPO takes long to learn; this one saves and loads."""


def test_every_adapter_is_listed_and_run() -> None:
    assert {path.name for path in ADAPTERS.glob("*.py")} == set(RUNS)
    listed = (ADAPTERS / "README.md").read_text()
    assert all(f"]({name})" in listed for name in RUNS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", RUNS)
def test_an_adapter_trains_and_is_evaluated(name: str, tmp_path: Path) -> None:
    assert (INSTALLED / ".installed").exists(), "these tests need make .venv-adapters/.installed"
    options, lowest = RUNS[name]
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "huggingface"),
        "MINARI_DATASETS_PATH": str(tmp_path / "datasets"),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, INSTALLED))),
    }
    command = [sys.executable, str(ADAPTERS / name), *options]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1700)
    assert ran.returncode == 0, ran.stderr
    found = re.search(r"success rate: (\d+)%", ran.stdout)
    assert found is not None, ran.stdout
    assert int(found[1]) >= 100 * lowest
