"""The overhead of remote policies is measured with a real server; invalid arguments are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app


@pytest.mark.slow
def test_the_overhead_of_remote_policies_is_written_down(tmp_path: Path) -> None:
    out = tmp_path / "remote.json"
    done = CliRunner().invoke(app, ["remote", "--calls", "20", "--rounds", "2", "--out", str(out)])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    assert content["calls"] == 20
    assert [figure["what"].partition(",")[0] for figure in content["figures"]] == [
        "overhead of a remote decision",
        "overhead of a remote decision",
        "time to connect",
    ]
    for figure in content["figures"]:
        assert len(figure["rounds"]) == 2
        # The published figures have bounds; here, other processes may use all cores.
        assert 0.0 < figure["value"] < 100.0


def test_zero_calls_are_refused() -> None:
    done = CliRunner().invoke(app, ["remote", "--calls", "0"])
    assert done.exit_code == 2
    assert "calls is 0" in done.output
