"""The measurement of recordings: complete, resumable, with its controls, and equal to the committed results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.recordings import measurement
from benchmarks.recordings.accuracy import CONTROLS, accuracy, controlled, record, refusals
from benchmarks.recordings.imitation import FIRST_SCENE, MOTIONS, cells, imitate, motion_of
from demos.runtime.engines import Job

ROOT = Path(__file__).parents[2]


class Here:
    """Run jobs in this process; stop after some, as a kill would."""

    def __init__(self, until: int | None = None) -> None:
        self.until = until
        self.names: list[str] = []

    def run(self, jobs: Sequence[Job], **_: Any) -> Iterator[tuple[Job, Any]]:
        for job in jobs:
            if self.until is not None and len(self.names) == self.until:
                raise KeyboardInterrupt
            self.names.append(job.name)
            yield job, job.function(*job.arguments)


def run(out: Path, engine: Any, **changes: Any) -> measurement.Recordings:
    settings: dict[str, Any] = {"tasks": ["grasp"], "robots": ["panda"], "episodes": 1, "recordings": 2, **changes}
    return measurement.run(out, engine, **settings)


@pytest.mark.slow
def test_an_interrupted_measurement_is_completed_and_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.json", tmp_path / "broken.json"
    first, rest = Here(), Here()
    run(whole, first)
    with pytest.raises(KeyboardInterrupt):
        run(broken, Here(until=6))
    run(broken, rest)
    assert len(rest.names) == len(first.names) - 6
    assert json.loads(broken.read_text()) == json.loads(whole.read_text())
    again = Here()
    run(whole, again)
    assert again.names == []
    with pytest.raises(ValueError, match="other settings"):
        run(whole, Here(), recordings=3)


def test_no_episode_counts_twice_after_runs_with_other_numbers_of_episodes(tmp_path: Path) -> None:
    out, more, less = tmp_path / "recordings.json", Here(), Here()
    run(out, Here(), recordings=1)
    found = run(out, more, recordings=1, episodes=2)
    assert [name.rpartition(" | ")[2] for name in more.names] == ["1 from 1 on"] * 4
    assert [row["episodes"] for row in found.imitation] == [2] * 4
    assert run(out, less, recordings=1) == found
    assert less.names == []
    # Files of earlier versions have pieces that overlap.
    content = json.loads(out.read_text())
    content["pieces"]["grasp | panda | person | 2 from 0 on"] = imitate("grasp", "panda", "person", FIRST_SCENE, 2)
    out.write_text(json.dumps(content))
    assert run(out, Here(), recordings=1).imitation == found.imitation


def test_controls_are_measured_on_one_robot_and_a_straight_line_on_all() -> None:
    found = cells(["grasp"], ["panda", "iiwa"])
    assert [motion for _, robot, motion in found if robot == "panda"] == list(MOTIONS)
    assert [motion for _, robot, motion in found if robot == "iiwa"] == ["person", "straight line"]


def test_controls_keep_the_hand_and_lose_its_motion() -> None:
    _, track = record("front", 1)
    for control in CONTROLS:
        changed = controlled(track, control, np.random.default_rng(0))
        assert sorted(np.nan_to_num(changed.aperture).round(6)) == sorted(np.nan_to_num(track.aperture).round(6))
        assert refusals(control, 1, 2)["refused"] == 2
        assert len(motion_of(control).points) == len(motion_of("person").points)


def test_a_straight_line_succeeds_without_the_persons_deviation() -> None:
    person, line = (imitate("grasp", "panda", motion, 7, 1) for motion in ("person", "straight line"))
    assert person["failures"] == line["failures"] == {}
    assert person["kept"][0] > 0.9
    assert line["kept"][0] < 0.2
    assert person["distances"][0] < line["distances"][0]


def test_recordings_without_events_have_no_errors() -> None:
    assert accuracy("side", 3, 1)["frames_median"] is None or accuracy("side", 3, 1)["refused"] == 0


def test_the_committed_results_keep_what_the_document_promises() -> None:
    content = measurement.Recordings.model_validate_json((ROOT / "results" / "recordings.json").read_bytes())
    for row in content.accuracy[:2]:
        assert row["close"] >= 95
        assert len(row["wrong"]) <= 1
        assert row["millimeters_median"] <= 10
        assert row["millimeters_p90"] <= 20
    assert [row["refused"] for row in content.refusals] == [100, 100]
    text = (ROOT / "docs" / "teach_by_showing.md").read_text()
    for row in content.accuracy:
        assert f"| {row['view']} | {row['close']} of 100 | {row['refused']} | {len(row['wrong'])} |" in text


def test_the_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    for arguments, message in (
        (["--task", "fly"], "fly"),
        (["--episodes", "0"], "expected at least 1"),
        (["--out", str(tmp_path)], "holds no measurements of recordings"),
    ):
        failed = CliRunner().invoke(app, ["recordings", *arguments])
        assert failed.exit_code == 2
        assert message in failed.stderr
