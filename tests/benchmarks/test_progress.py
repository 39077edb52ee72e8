"""A run shows how much is done, what every worker is at, and what failed."""

from __future__ import annotations

import io
import re
import threading
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.runner.progress import ProgressBars, ProgressLines, progress_display
from demos.runtime.engines import Job

from .suites import written


def test_the_whole_and_every_job_that_runs_are_shown() -> None:
    one, two = Job("train bc", abs, (-1,)), Job("measure expert", abs, (-1,))
    console = Console(width=150)
    with ProgressBars("suite small", 5, "2 were there already") as shown, console.capture() as seen:
        shown.update(one, 0.0)
        shown.update(two, 0.25)
        shown.update(one, 0.5)
        console.print(shown.bar)
        shown.ended(one, failed=False)
        shown.ended(two, failed=True)
        console.print(shown.bar)
    before, after = seen.get().split("suite small")[1:]
    assert "0/5" in before
    assert "2 were there already" in before
    assert "train bc" in before
    assert "50%" in before
    assert "measure expert" in before
    assert "25%" in before
    assert "2/5, 1 failed" in after
    assert "FAILED measure expert" in after
    assert "train bc" not in after


class Output(io.StringIO):
    """Text file that reports when a line of running jobs is written."""

    def __init__(self) -> None:
        super().__init__()
        self.has_running = threading.Event()

    def write(self, text: str) -> int:
        if "running" in text:
            self.has_running.set()
        return super().write(text)


def test_lines_show_start_end_and_progress_of_jobs() -> None:
    output = Output()
    one, two = Job("train bc", abs, (-1,)), Job("measure [expert]", abs, (-1,))
    with ProgressLines("suite small", 5, "2 results are up to date", output=Console(file=output)) as shown:
        shown.print_running()
        shown.update(one, 0.0)
        shown.update(two, 0.0)
        shown.update(one, 0.5)
        shown.print_running()
        shown.ended(one, failed=False)
        shown.ended(two, failed=True)
        shown.print_running()
    lines = [line.partition(" ") for line in output.getvalue().splitlines()]
    assert all(re.fullmatch(r"\d+:\d\d:\d\d", elapsed) for elapsed, _, _ in lines)
    assert [text for _, _, text in lines] == [
        "suite small: 5 jobs, 2 results are up to date",
        "started train bc",
        "started measure [expert]",
        "running train bc 50%, measure [expert] (0/5 done)",
        "finished train bc (1/5 done)",
        "FAILED measure [expert] (2/5 done, 1 failed)",
    ]


def test_a_job_that_reports_nothing_is_in_a_line_again_and_again() -> None:
    output = Output()
    with ProgressLines("suite small", 1, seconds=0.01, output=Console(file=output)) as shown:
        shown.update(Job("train bc", abs, (-1,)), 0.0)
        for _ in range(2):
            output.has_running.clear()
            assert output.has_running.wait(60.0)
    assert output.getvalue().count("running train bc (0/1 done)") >= 2


def test_a_terminal_has_bars_and_other_output_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress_display("suite small", 1), ProgressLines)
    assert isinstance(progress_display("suite small", 1, disable=True), ProgressBars)
    monkeypatch.setattr("benchmarks.runner.progress.console", Console(force_terminal=True))
    assert isinstance(progress_display("suite small", 1), ProgressBars)


def test_the_output_of_a_run_in_a_file_has_its_jobs_and_no_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    none = ("videos", "periodic_eval", "training_seeds", "demonstrations", "demonstration_seed")
    file = written(tmp_path, agents=["random"], **dict.fromkeys(none))
    done = CliRunner().invoke(app, ["run", file, "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert re.search(r"^0:\d\d:\d\d suite small: 1 job$", done.output, re.MULTILINE)
    assert re.search(r"^0:\d\d:\d\d started LamReach-v0-random$", done.output, re.MULTILINE)
    assert re.search(r"^0:\d\d:\d\d finished LamReach-v0-random \(1/1 done\)$", done.output, re.MULTILINE)
    assert all(character.isprintable() or character == "\n" for character in done.output)
    again = CliRunner().invoke(app, ["run", file, "--workers", "1"])
    assert "suite small: 0 jobs, 1 results are up to date" in again.output
