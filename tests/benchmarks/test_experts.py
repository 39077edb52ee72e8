"""The measurement of the experts: complete, resumable, the same whatever the number of workers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import experts
from benchmarks.__main__ import app
from benchmarks.suite.conditions import NoisyActions
from demos.runtime.engines import Job, LocalEngine


class Counting:
    """Run jobs here, and counts them; stops after some, as a kill would."""

    def __init__(self, until: int | None = None) -> None:
        self.until = until
        self.names: list[str] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Any]]:
        for job in jobs:
            if self.until is not None and len(self.names) == self.until:
                raise KeyboardInterrupt
            self.names.append(job.name)
            yield job, job.function(*job.arguments)


def run(out: Path, engine: Any, robots: Sequence[str] = ("panda", "iiwa")) -> experts.Measurements:
    return experts.run(out, engine, tasks=["reach"], robots=robots, episodes=3, first=7)


def test_every_robot_is_measured_by_default_and_one_under_harder_conditions() -> None:
    cells = experts.cells(["reach"], ["panda", "iiwa"])
    assert ("reach", "iiwa", "ee") in cells
    assert ("reach", "iiwa", "joint") not in cells
    assert len(cells) == len(experts.CONDITIONS) + 1


@pytest.mark.parametrize(
    ("robots", "until"),
    # Of the robots, panda alone is measured under every condition.
    [(("xarm6", "iiwa"), 3), pytest.param(("panda", "iiwa"), 5, marks=pytest.mark.slow)],
    ids=["default condition", "every condition"],
)
def test_an_interrupted_measurement_is_completed_and_equals_an_uninterrupted_one(
    robots: tuple[str, str], until: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experts, "CHUNK", 2)
    whole, broken = tmp_path / "whole.json", tmp_path / "broken.json"
    first = Counting()
    run(whole, first, robots)
    with pytest.raises(KeyboardInterrupt):
        run(broken, Counting(until=until), robots)
    rest = Counting()
    run(broken, rest, robots)
    assert len(rest.names) == len(first.names) - until
    assert json.loads(broken.read_text())["rows"] == json.loads(whole.read_text())["rows"]
    again = Counting()
    run(broken, again, robots)
    assert again.names == []


def test_what_an_interrupted_measurement_holds_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts, "CHUNK", 2)
    out = tmp_path / "experts.json"
    with pytest.raises(KeyboardInterrupt):
        run(out, Counting(until=3))
    rows = json.loads(out.read_text())["rows"]
    # What concerns every robot comes first.
    held = [(row["robot"], row["condition"], row["episodes"]) for row in rows]
    assert held == [("iiwa", "ee", 2), ("panda", "ee", 3)]
    assert all(row["successes"] == row["episodes"] - len(row["failed_seeds"]) for row in rows)


def test_a_short_measurement_replaces_nothing_longer(tmp_path: Path) -> None:
    out = tmp_path / "experts.json"
    before = run(out, Counting(), ["iiwa"]).rows
    after = experts.run(out, Counting(), tasks=["reach"], robots=["iiwa"], episodes=1, first=7).rows
    assert after == before


def test_other_seeds_are_measured_again_only_where_that_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "experts.json"
    run(out, Counting(), ["iiwa"])
    before = out.read_bytes()
    other = Counting()
    settings: Any = {"tasks": ["reach"], "robots": ["iiwa"], "episodes": 3, "first": 8}
    with pytest.raises(ValueError, match=r"measured with another first_seed: .* --overwrite"):
        experts.run(out, other, **settings)
    assert out.read_bytes() == before
    experts.run(out, other, **settings, overwrite=True)
    assert len(other.names) == 1


def test_a_condition_that_changed_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "experts.json"
    run(out, Counting(), ["iiwa"])
    changed = {**experts.CONDITIONS, "ee, action noise 0.1": experts.Condition(action_noise=0.2)}
    monkeypatch.setattr(experts, "CONDITIONS", changed)
    with pytest.raises(ValueError, match="measured with another conditions"):
        run(out, Counting())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"mine": 1}', "holds no measurements"),
        (b"[]", "holds no measurements"),
        (b'{"pieces": null}', "holds no measurements"),
        (b'{"pieces": {"a": [1]}}', "holds no measurements"),
        (b"\xec\x00", "holds no measurements"),
        (b"{", "holds no measurements"),
    ],
)
def test_a_file_of_something_else_is_left_alone(content: bytes, problem: str, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    out.write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=rf"mine\.json {problem}"):
            experts.run(out, Counting(), robots=["panda"], overwrite=overwrite)
    assert out.read_bytes() == content


def test_two_measurements_do_not_share_a_file(tmp_path: Path) -> None:
    out = tmp_path / "experts.json"

    class Meanwhile(Counting):
        def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Any]]:
            with pytest.raises(ValueError, match="is being written by another process"):
                run(out, Counting(), ["iiwa"])
            return super().run(jobs)

    run(out, Meanwhile(), ["iiwa"])
    assert [file.name for file in tmp_path.iterdir()] == ["experts.json"]


def test_processes_give_what_one_gives(tmp_path: Path) -> None:
    here, there = (
        experts.run(tmp_path / name, engine, tasks=["reach"], robots=["xarm6"], episodes=4, first=3)
        for name, engine in (("here.json", Counting()), ("there.json", LocalEngine(2)))
    )
    assert here.rows == there.rows


def test_noisy_actions_have_the_noise_that_was_asked_for_and_repeat() -> None:
    env = NoisyActions(gym.make("LamReach-v0"), 0.1)
    zero = np.zeros(4, dtype=np.float32)
    env.reset(seed=5)
    noises = np.array([env.action(zero) for _ in range(2000)])
    assert noises.dtype == np.float32
    assert np.abs(noises.std(axis=0) - 0.1).max() < 0.01
    assert np.abs(noises.mean(axis=0)).max() < 0.01
    env.reset(seed=5)
    np.testing.assert_array_equal(env.action(zero), noises[0])
    env.close()


def test_bad_requests_and_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for arguments, message in (
        (["--task", "dance"], "unknown task 'dance'"),
        (["--episodes", "0"], "episodes is 0"),
        (["--task", "reach", "--episodes", "1", "--out", str(broken)], "holds no measurements of experts"),
        (["--task", "reach", "--episodes", "1", "--out", str(tmp_path)], "is a folder"),
    ):
        failed = CliRunner().invoke(app, ["experts", *arguments])
        assert failed.exit_code == 2, failed.stderr
        assert message in failed.stderr
