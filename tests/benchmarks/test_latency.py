"""The inference latency of agents is measured with real policies; invalid arguments are refused."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.speed.latency import CASES


def test_the_inference_latency_is_written_down(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    out = tmp_path / "latency.json"
    done = CliRunner().invoke(app, ["latency", "--calls", "2", "--rounds", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    assert content["calls"] == 2
    assert [figure["what"] for figure in content["figures"]] == [f"inference latency of {name}" for name in CASES]
    for figure in content["figures"]:
        assert len(figure["rounds"]) == 3
        # The published figures have bounds; here, other processes may use all cores.
        assert 0.0 < figure["value"] < 10_000.0
    assert torch.get_num_threads() == threads


def test_zero_rounds_are_refused() -> None:
    done = CliRunner().invoke(app, ["latency", "--rounds", "0"])
    assert done.exit_code == 2
    assert "rounds is 0" in done.output
