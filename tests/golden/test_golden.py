"""Behavior is fixed: canonical runs give the recorded output, unless a version was raised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agents.deployment.adaptation.methods import METHODS as ADAPTATION
from agents.pretraining.methods import METHODS as PRETRAINING
from agents.registry import AGENTS
from demos.collection.demonstrators import DEMONSTRATORS
from demos.collection.strategies import STRATEGIES
from demos.experts import EXPERTS
from lam_envs.control import CONTROLS
from lam_envs.registration import TASKS
from lam_envs.robots import ROBOTS
from tests.golden.case import Case, difference, message, path_of, recorded, unraised, update
from tests.golden.suite import all_cases

CASES = all_cases()
VARIANTS = {
    "agents: bc, mirrored and masked",
    "agents: bc-rnn, discrete",
    "agents: act, latent and ensembled",
    "agents: diffusion of noise",
    "agents: sac, hindsight",
    "demonstrations: successive commands",
    *(
        f"environments: {part} on {robot}"
        for parts in (TASKS, CONTROLS)
        for row, part in enumerate(parts)
        for column, robot in enumerate(ROBOTS)
        if row % len(ROBOTS) != column
    ),
}
"""Cases that only ``make test-all`` runs: the others have each part at least once."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=str(case), marks=[pytest.mark.slow] if str(case) in VARIANTS else []) for case in CASES],
)
def test_behavior_is_as_recorded(case: Case) -> None:
    entry = recorded(case.group)[case.name]
    if not unraised(case, entry):
        pytest.fail(f"{case}: a version was raised ({case.versions}); run make golden")
    changed = difference(entry["output"], json.loads(json.dumps(case.run())))
    assert changed is None, message(case, str(changed))


@pytest.mark.slow
def test_behavior_does_not_depend_on_the_processor() -> None:
    # With the sums of products of OpenBLAS for a processor without AVX; others round them differently.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", __file__, "-k", "behavior_is and not agents"],
        env={**os.environ, "OPENBLAS_CORETYPE": "Prescott"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_versioned_part_has_a_quick_golden_case() -> None:
    covered = {name for case in CASES if str(case) not in VARIANTS for name in case.versions}
    parts = {
        *(f"task {name}" for name in TASKS),
        *(f"robot {name}" for name in ROBOTS),
        *(f"control {name}" for name in CONTROLS),
        *(f"expert {name}" for name in EXPERTS),
        *(f"demonstrator {name}" for name in DEMONSTRATORS),
        *(f"strategy {name}" for name in STRATEGIES),
        *(f"agent {name}" for name in AGENTS),
        *(f"pretraining {name}" for name in PRETRAINING),
        *(f"adaptation {name}" for name in ADAPTATION),
        *("environment", "randomization", "images", "collection", "evaluation", "action noise", "shoves"),
    }
    assert parts <= covered


def test_nothing_is_recorded_that_no_case_gives() -> None:
    for group in {case.group for case in CASES}:
        assert recorded(group).keys() == {case.name for case in CASES if case.group == group}


def test_changed_behavior_is_recorded_only_with_a_raised_version(tmp_path: Path) -> None:
    case = Case("things", "one", {"part": 1}, lambda: {"numbers": [1.0, 2.0], "hash": "aa"})
    assert update([case], tmp_path) == []
    before = path_of("things", tmp_path).read_bytes()
    changed = replace(case, run=lambda: {"numbers": [1.0, 2.1], "hash": "aa"})
    (refusal,) = update([changed], tmp_path)
    assert "raise the version of the part that changed (part)" in refusal
    assert path_of("things", tmp_path).read_bytes() == before
    raised = replace(changed, versions={"part": 2})
    assert update([raised], tmp_path) == []
    assert recorded("things", tmp_path) == {"one": {"versions": {"part": 2}, "output": changed.run()}}


def test_an_interrupted_recording_changes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    case = Case("things", "one", {"part": 1}, lambda: 1.0)
    other = replace(case, name="two")
    assert update([case, other], tmp_path) == []
    before = path_of("things", tmp_path).read_bytes()
    raised = replace(case, versions={"part": 2}, run=lambda: 2.0)
    with pytest.raises(KeyboardInterrupt):
        update([raised, replace(other, run=interrupted)], tmp_path)
    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        update([raised, other], tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_other_digits_of_another_processor_are_no_change(tmp_path: Path) -> None:
    case = Case("things", "one", {"part": 1}, lambda: [1.0, 200.0])
    update([case], tmp_path)
    before = path_of("things", tmp_path).read_bytes()
    assert update([replace(case, run=lambda: [1.00001, 200.001])], tmp_path) == []
    assert path_of("things", tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    ("expected", "found", "at"),
    [
        ([1.0, 2.0], [1.0, 2.001], "output[1] was 2.0 and is 2.001"),
        ({"a": [1.0]}, {"a": [1.0, 1.0]}, "output.a was [1.0] and is [1.0, 1.0]"),
        ({"a": 1.0}, {"b": 1.0}, "output was {'a': 1.0} and is {'b': 1.0}"),
        ("aa", "ab", "output was 'aa' and is 'ab'"),
        ([True], [False], "output[0] was True and is False"),
        ([1], [2], "output[0] was 1 and is 2"),
    ],
)
def test_a_difference_is_named(expected: object, found: object, at: str) -> None:
    assert difference(expected, found) == at
    assert difference(expected, expected) is None
