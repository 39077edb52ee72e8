"""Damaged and foreign results are found, reported by name, and never taken for measured ones."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.reports import report as reports
from benchmarks.runner import results as results_module
from benchmarks.runner import runner
from benchmarks.runner.results import read_cell, read_results
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from .suites import written


def complaint(folder: Path) -> str | None:
    """Return the problem of a folder of results; None without one."""
    try:
        # Most wrong files end the report while it reads them; drawing the others takes long.
        read_results(folder)
        reports.report(folder)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    return None


def test_a_damaged_or_foreign_result_is_measured_again_with_the_same_outcome(results: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    path = folder / "cells" / "LamReach-v0-expert.json"
    whole = path.read_text()
    before = read_cell(path)
    path.write_text(whole[:200])
    with pytest.raises(ValueError, match="is damaged"):
        read_results(folder)
    runner.run(read_suite(written(tmp_path)), folder, LocalEngine(1))
    assert read_cell(path) == before
    episodes = json.loads(whole)["episodes"]
    other = "has the key of another cell"
    for change, problem in (
        ({"versions": {}}, other),
        ({"versions": {"environment": "one"}}, "versions.environment is 'one': Input should be a valid integer"),
        ({"settings": {"epochs": 1}}, other),
        ({"sources": {"agent": 7}}, "sources.agent is 7: Input should be a valid string"),
        ({"step_seconds": "fast"}, "step_seconds is 'fast': Input should be a valid number"),
        ({"episodes": {**episodes, "jerk": ["much"] * 6}}, "jerk is 'much': Input should be a valid number"),
        ({"episodes": {**episodes, "seed": [1] * 6}}, "its episodes do not have the seeds of its cell"),
        (
            {"episodes": {name: column[:5] for name, column in episodes.items()}},
            "its episodes do not have the seeds of its cell",
        ),
        (
            {"cell": {**json.loads(whole)["cell"], "episodes": 10**12}},
            "its episodes do not have the seeds of its cell",
        ),
        ({"success_rate": 0.123}, "its success rate differs from that of its episodes"),
        ({"key": "0" * 32}, other),
    ):
        content = {**json.loads(whole), **change}
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"is damaged .*its checksum does not match"):
            read_results(folder)
        # Whoever takes the trouble to mend the checksum is found out by what does not fit together.
        path.write_text(json.dumps({**content, "checksum": results_module.checksum_of(content)}))
        with pytest.raises(ValueError, match=problem):
            read_results(folder)
    path.write_text(json.dumps({**json.loads(whole), "inference_latency_ms": float("nan")}))
    with pytest.raises(ValueError, match=r"is damaged .*not JSON compliant"):
        read_results(folder)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="is damaged"):
        read_results(folder)
    path.write_text(whole)


@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_corruptions_of_results_are_found_and_nothing_is_overwritten(
    count: int, results: Path, tmp_path: Path
) -> None:
    """Bytes that are lost, doubled or changed, in what was measured and in what says what the folder holds."""
    folder = Path(shutil.copytree(results, tmp_path / "copy", ignore=shutil.ignore_patterns("agents", "datasets")))
    sound = read_results(folder)
    files = [*sorted((folder / "cells").glob("*.json")), folder / "suite.json"]
    rng = np.random.default_rng(0)
    for number in range(count):
        path = files[number % len(files)]
        whole = path.read_bytes()
        at, kind, length = int(rng.integers(len(whole))), int(rng.integers(4)), int(rng.integers(1, 9))
        noise = bytes(int(byte) for byte in rng.integers(0, 256, length))
        damaged = (
            whole[:at] + whole[at + length :],
            whole[:at] + noise + whole[at + length :],
            whole[: at + length] + whole[at:],
            whole[:at],
        )[kind]
        path.write_bytes(damaged)
        problem = complaint(folder)
        if problem is None:
            # Space between words, or what the suite says of what is not measured.
            results_read = read_results(folder)[1]
            assert [result for result in results_read if result not in sound[1]] == []
        else:
            assert str(folder) in problem
        assert path.read_bytes() == damaged
        path.write_bytes(whole)
    assert read_results(folder) == sound


def test_a_result_that_was_copied_over_another_is_found(results: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(results, tmp_path / "copy", ignore=shutil.ignore_patterns("agents", "datasets")))
    shutil.copy(folder / "cells" / "LamReach-v0-expert.json", folder / "cells" / "LamReach-v0-random.json")
    with pytest.raises(ValueError, match=r"LamReach-v0-random\.json is of LamReach-v0-expert"):
        read_results(folder)


def test_a_measurement_in_other_episodes_than_the_rest_is_named(results: Path, tmp_path: Path) -> None:
    content = json.loads((results / "suite.json").read_text())
    content["cells"][1]["first_seed"] += 1
    (tmp_path / "suite.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"suite\.json is damaged: .* has other episodes than the suite"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"videos": "x"}, {"conditions": []}, {"conditions": {"a": 3}}, {"evaluation": {"first_seed": math.inf}}],
    ids=str,
)
def test_a_damaged_description_of_a_suite_is_reported(change: dict[str, Any], results: Path, tmp_path: Path) -> None:
    content = json.loads((results / "suite.json").read_text())
    (tmp_path / "suite.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=r"suite\.json is damaged"):
        read_results(tmp_path)
