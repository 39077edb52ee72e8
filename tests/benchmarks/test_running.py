"""The overhead of the runner is measured on a real suite; invalid arguments are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app


@pytest.mark.slow
def test_the_cost_of_the_runner_is_written_down(tmp_path: Path) -> None:
    out = tmp_path / "running.json"
    command = ["running", "--trainings", "1", "--episodes", "2", "--rounds", "1", "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    own, alone, together, overhead, ratio = (figure["value"] for figure in content["figures"])
    assert 0.0 < own < alone
    assert overhead == pytest.approx(100.0 * (alone / own - 1.0))
    assert ratio == pytest.approx(alone / together)


def test_rounds_below_one_are_refused() -> None:
    done = CliRunner().invoke(app, ["running", "--rounds", "0"])
    assert done.exit_code == 2
