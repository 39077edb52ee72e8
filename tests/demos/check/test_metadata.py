"""Damage of the metadata, other environments and third-party datasets are reported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import demos
from demos.datasets.checksum import write_file_digests
from demos.datasets.data_file import DATA_FILE
from demos.datasets.metadata import PLAN
from demos.datasets.writing import dataset_writer, derived_metadata

from .damage import METADATA, check_here, opened, problems_of, rewritten, signed_again


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[]", "is a list, expected a JSON object"),
        (b"{}", "lacks 'dataset_id'; lacks 'minari_version'"),
    ],
)
def test_metadata_that_are_none_are_reported(content: bytes, message: str, reach: Path) -> None:
    (reach / METADATA).write_bytes(content)
    report = check_here(reach)
    assert message in problems_of(report, METADATA, None)
    assert report.undamaged_episodes == (0, 1, 2, 3), "every episode has a digest"


def test_missing_metadata_are_reported(reach: Path) -> None:
    (reach / METADATA).unlink()
    assert "is missing" in problems_of(check_here(reach), METADATA, None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"description": "better"}, "was changed after it was written: its SHA-256 is .*, expected"),
        ({"total_episodes": "4"}, "total_episodes is a str, expected a int"),
        ({"total_steps": -1}, "total_steps is -1"),
        ({"dataset_id": "../x"}, "malformed dataset id"),
        ({"data_format": "arrow"}, "data_format is 'arrow', expected 'hdf5'"),
        ({"observation_space": "{}"}, "observation_space is not a valid space: KeyError"),
        ({"action_space": '{"type": "Unknown"}'}, "action_space is not a valid space"),
        ({"lam_envs_seal": None}, "lam_envs_seal is a NoneType, expected a dict; lacks the file digests"),
    ],
)
def test_changed_metadata_are_reported(values: dict[str, Any], message: str, reach: Path) -> None:
    rewritten(reach, **values)
    report = check_here(reach)
    assert re.search(message, problems_of(report, METADATA, None)), problems_of(report, METADATA, None)
    assert report.undamaged_episodes == (0, 1, 2, 3)


def test_a_count_beyond_all_counting_is_reported_at_once(reach: Path) -> None:
    rewritten(reach, total_episodes=10**15)
    assert "has 4 episodes, expected 1000000000000000" in problems_of(check_here(reach), DATA_FILE, None)
    with pytest.raises(ValueError, match="damaged or incomplete"):
        demos.load(reach)


def test_metadata_that_say_the_same_in_other_letters_are_reported(reach: Path) -> None:
    (reach / METADATA).write_text(json.dumps(json.loads((reach / METADATA).read_text()), indent=1))
    assert "with other formatting" in problems_of(check_here(reach), METADATA, None)


def test_a_seal_that_is_lost_is_reported(reach: Path) -> None:
    metadata = json.loads((reach / METADATA).read_text())
    (reach / METADATA).write_text(json.dumps({key: metadata[key] for key in metadata if "lam_envs" not in key}))
    assert "lacks the file digests 'lam_envs_seal', although episodes have digests" in problems_of(
        check_here(reach), METADATA, None
    )


def test_what_minari_cannot_open_is_reported(reach: Path) -> None:
    rewritten(reach, env_spec="{}")
    write_file_digests(reach)
    assert "cannot be opened" in problems_of(check_here(reach, replay=1), METADATA, None)


def with_plan(folder: Path, **values: Any) -> None:
    """Has the dataset name another environment, and seals that."""
    plan = json.loads((folder / METADATA).read_text())[PLAN]
    rewritten(folder, **{PLAN: {**plan, **values}})
    write_file_digests(folder)


def test_an_environment_of_other_spaces_is_reported(reach: Path) -> None:
    with_plan(reach, env_kwargs={"control": "ee_yaw"}, libraries={"numpy": "1.0"})
    report = check_here(reach, replay=1)
    assert "action_space of LamReach-v0 is now Box" in problems_of(report, METADATA, None)
    assert f"numpy was 1.0, is {np.__version__}" in problems_of(report, METADATA, None)
    assert report.undamaged_episodes == (0, 1, 2, 3)


def test_an_environment_that_cannot_be_made_is_reported(reach: Path) -> None:
    with_plan(reach, env_kwargs={"robot": "none"})
    assert "LamReach-v0 cannot be made with {'robot': 'none'}" in problems_of(
        check_here(reach, replay=1), METADATA, None
    )


def test_what_is_no_longer_given_is_reported(reach: Path) -> None:
    with opened(reach) as file:
        file["episode_1/actions"][3, 0] += 0.01
        signed_again(file["episode_1"])
    write_file_digests(reach)
    report = check_here(reach, replay=2)
    assert problems_of(report, DATA_FILE, 1).startswith("differs in observations after re-execution; ")
    assert check_here(reach, replay=1).is_undamaged
    assert report.undamaged_episodes == (0, 1, 2, 3), "it is as it was written"


def test_no_environment_of_others_is_made(reach: Path) -> None:
    with_plan(reach, env_id="os:system-v0")
    report = check_here(reach, replay=1)
    assert report.is_undamaged
    assert report.notes == ("no episode was re-executed: 'os:system-v0' is not an environment of lam_envs",)


def test_episodes_that_were_changed_are_not_re_executed(reach: Path, tmp_path: Path) -> None:
    source = demos.load(reach)
    with dataset_writer(
        "made-v0",
        source.observation_space,
        source.action_space,
        source.env_spec,
        derived_metadata(source, step="stretch", replays=False),
        root=tmp_path,
    ) as writer:
        writer.copy(reach / DATA_FILE, [1, 2])
    report = check_here("made-v0", tmp_path, replay=1)
    assert report.is_undamaged
    assert report.notes == ("no episode was re-executed: they were changed by stretch",)


def test_a_dataset_of_others_is_checked_by_its_structure(others: Path) -> None:
    report = check_here(others, replay=1)
    assert report.problems == ()
    assert report.notes == (
        "this dataset has no digests: only its structure was checked",
        "no episode was re-executed: 'CartPole-v1' is not an environment of lam_envs",
    )
    assert demos.load(others).total_episodes == 3
    with opened(others) as file:
        file["episode_1/observations"][0, 0] = np.nan
        file["episode_2/actions"][0] = 2
    report = check_here(others, replay=1)
    assert "has nan at (0, 0)" in problems_of(report, DATA_FILE, 1)
    assert "has 2 at (0,), expected it in [0, 1]" in problems_of(report, DATA_FILE, 2)
    assert report.undamaged_episodes == (0,)
