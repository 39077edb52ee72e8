"""Monitors are measured under the conditions of the suite robustness; invalid arguments are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_measurement_is_written_with_a_reliability_diagram(tmp_path: Path) -> None:
    out = tmp_path / "monitors.json"
    arguments = ["--env", "LamGrasp-v0", "--episodes", "4", "--root", str(tmp_path), "--out", str(out)]
    done = CliRunner().invoke(app, ["monitors", *arguments])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    figures = {figure["what"]: figure["value"] for figure in content["figures"]}
    assert 0.0 <= figures["LamGrasp-v0, AUROC of the predicted failure, highest so far"] <= 1.0
    assert 0.0 < figures["LamGrasp-v0, share of episodes that failed"] < 1.0
    assert (tmp_path / "monitors-LamGrasp-v0.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "LamFly-v0"], "unknown environment 'LamFly-v0'"),
        (["--episodes", "1"], "episodes is 1; expected at"),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["monitors", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
