"""The speed of learning is measured, beside what it is built on, with its conditions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app


@pytest.mark.slow
def test_learning_is_measured_and_written_with_its_conditions(tmp_path: Path) -> None:
    out = tmp_path / "learning.json"
    command = ["learning", "--episodes", "4", "--epochs", "1", "--rounds", "1", "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    assert (content["episodes"], content["epochs"], content["rounds"]) == (4, 1, 1)
    assert content["versions"]["torch"]
    values = [figure["value"] for figure in content["figures"]]
    assert len(values) == 29
    assert all(value > 0.0 for value in values)
    ours, theirs, ratio, *_ = values
    assert abs(ratio - ours / theirs) < 1e-9
    figures = {figure["what"]: (figure["value"], figure["unit"]) for figure in content["figures"]}
    for agent in ("bc", "act"):
        for source in ("memory", "files", "JPEG files", "the frame cache of JPEG files"):
            assert figures[f"training throughput of {agent} on images from {source}"][1] == "samples/s"
            assert figures[f"peak memory of {agent} on images from {source}"][1] == "MB"


def test_nonsense_is_refused() -> None:
    done = CliRunner().invoke(app, ["learning", "--epochs", "0"])
    assert done.exit_code == 2
