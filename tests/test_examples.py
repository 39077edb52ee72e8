"""The scripts of ``examples`` run one after the other, in one process and an empty folder, and are short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = (
    "make_environment.py",
    "collect_demonstrations.py",
    "train_bc.py",
    "evaluate_policy.py",
    "own_agent.py",
    "own_task.py",
)
RUN = """
import runpy, sys

for script in sys.argv[1:]:
    print(f"== {script}", flush=True)
    runpy.run_path(script, run_name="__main__")
sys.argv = ["benchmarks", "run", "own_agent.yaml", "--out", "runs/own-agent", "--workers", "1"]
runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
"""


def test_every_example_is_listed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SCRIPTS)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"]({name})" in listed for name in SCRIPTS)
    assert "](examples/README.md)" in (EXAMPLES.parent / "README.md").read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short_and_says_what_it_shows(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    assert len(lines) < 40
    assert lines[0].startswith('"""')


@pytest.mark.timeout(600)  # imports torch twice
def test_the_examples_run_one_after_the_other(tmp_path: Path) -> None:
    for name in (*SCRIPTS, "own_agent.yaml"):
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    paths = os.pathsep.join([str(EXAMPLES.parent), str(tmp_path)])
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(tmp_path / "datasets"), "PYTHONPATH": paths}
    command = [sys.executable, "-c", RUN, *SCRIPTS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    rates = {line.split()[0]: line.split()[3] for line in done.stdout.splitlines() if "success rate" in line}
    assert rates["expert"] == "100%"
    assert rates["random"] == "0%"
    assert int(rates["bc"].rstrip("%")) >= 50
    assert "success: True" in done.stdout
    assert (tmp_path / "grasp.png").stat().st_size > 0
    assert (tmp_path / "runs" / "own-agent" / "report.html").is_file()
