"""A published figure that is not as expected is a line of the report, not the failure of a test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.analysis.expectations import Expectation, file_figures, suite_figures, unexpected
from benchmarks.analysis.tables import rows
from benchmarks.reports import report as reports
from benchmarks.runner.results import read_cell, write_cell
from demos.runtime.files import write_json

from .suites import part_of_core, published

AIRL = [("airl", "LamReach-v0")]


def test_a_broken_expectation_is_a_line_of_the_report_and_one_that_holds_is_none(tmp_path: Path) -> None:
    folder = part_of_core(tmp_path / "results", AIRL)
    reports.report(folder)
    for page in ("report.md", "report.html"):
        assert "unexpected" not in (folder / page).read_text()
    path = next((folder / "cells").glob("*.json"))
    result = read_cell(path)
    failed = tuple(dataclasses.replace(episode, success=False) for episode in result.evaluation.episodes)
    evaluation = dataclasses.replace(result.evaluation, episodes=failed)
    write_cell(folder, dataclasses.replace(result, evaluation=evaluation))
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert done.exit_code == 0
    line = "unexpected: success of airl in LamReach-v0 is 0.8, expected at least 0.9"
    assert line in done.output
    assert f"- {line}\n" in (folder / "report.md").read_text()
    assert f"<li>{line}</li>" in (folder / "report.html").read_text()


def test_a_suite_of_your_own_has_no_expectations(tmp_path: Path) -> None:
    folder = part_of_core(tmp_path / "results", AIRL)
    suite = json.loads((folder / "suite.json").read_text())
    write_json(folder / "suite.json", {**suite, "name": "core", "demonstration_seed": 2})
    for path in (folder / "cells").glob("*.json"):
        result = read_cell(path)
        failed = tuple(dataclasses.replace(episode, success=False) for episode in result.evaluation.episodes)
        write_cell(
            folder, dataclasses.replace(result, evaluation=dataclasses.replace(result.evaluation, episodes=failed))
        )
    assert "unexpected" not in reports.markdown(folder)


def test_bounds_are_of_every_figure_they_name_and_of_differences() -> None:
    figures = {"speed of a": 2.0, "speed of b": 3.0, "memory": 130.0, "memory before": 100.0}
    assert unexpected([Expectation("speed of *", at_least=2.0, at_most=3.0)], figures) == []
    assert unexpected([Expectation("speed of *", at_least=2.5)], figures) == [
        "speed of a is 2, expected at least 2.5"
    ]
    assert unexpected([Expectation("speed of *", at_most=1.5)], figures) == [
        "speed of a is 2, expected at most 1.5",
        "speed of b is 3, expected at most 1.5",
    ]
    assert unexpected([Expectation("memory", at_most=20.0, reference="memory before")], figures) == [
        "memory is 130, expected at most 120 (memory before: 100)"
    ]
    assert unexpected([Expectation("memory", at_most=30.0, reference="memory before")], figures) == []
    # Figures that are not measured yet give no line.
    assert unexpected([Expectation("memory", at_most=0.0, reference="no such figure")], figures) == []
    assert unexpected([Expectation("no such figure", at_most=0.0)], figures) == []


def test_the_mean_success_of_an_agent_is_over_all_its_environments() -> None:
    figures = suite_figures(rows(published("sequence")[1]))
    rates = [value for name, value in figures.items() if name.startswith("success of diffusion, mixed in ")]
    assert len(rates) == 6
    assert figures["mean success of diffusion, mixed"] == pytest.approx(sum(rates) / 6)
    # An agent in one environment has no mean.
    assert not any(name.startswith("mean ") for name in suite_figures(rows(published("language")[1])))


def test_of_measured_figures_by_the_same_name_the_first_counts() -> None:
    content = {
        "figures": [{"what": "the first over that", "value": 19.0}, {"what": "the first over that", "value": 10.0}]
    }
    assert file_figures(content) == {"the first over that": 19.0}
