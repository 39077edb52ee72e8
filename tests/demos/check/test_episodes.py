"""Damage of the data file is found and named, and the undamaged episodes are listed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import demos
from demos.check import CheckReport, check
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import DIGEST

from .damage import check_here, flip, opened, problems_of, replaced


@pytest.mark.parametrize(("name", "asked"), [("reach", check), ("pixels", check_here), ("jpeg", check_here)])
def test_a_sound_dataset_is_sound(name: str, asked: Callable[..., CheckReport], collected: dict[str, Path]) -> None:
    report = asked(collected[name], replay=2)
    assert report.problems == ()
    assert report.undamaged_episodes == tuple(range(report.episodes))
    assert bool(report.notes) == (name == "jpeg"), "images stored as JPEG cannot be compared"


def test_a_missing_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no dataset 'lam/none-v0'"):
        check("lam/none-v0", tmp_path)


@pytest.mark.parametrize(
    ("left", "asked"), [(0, check_here), (50_000, check_here), pytest.param(50_000, check, marks=pytest.mark.slow)]
)
def test_a_truncated_file_is_named(left: int, asked: Callable[..., CheckReport], reach: Path) -> None:
    os.truncate(reach / DATA_FILE, left)
    report = asked(reach, replay=0)
    assert "cannot be opened" in problems_of(report, DATA_FILE, None)
    assert report.undamaged_episodes == ()


def test_a_missing_file_is_named(reach: Path) -> None:
    (reach / DATA_FILE).unlink()
    assert "is missing" in problems_of(check_here(reach), DATA_FILE, None)


def test_a_flipped_bit_is_found_in_its_episode(reach: Path) -> None:
    with h5py.File(reach / DATA_FILE) as file:
        place = file["episode_2/infos/state"].id.get_offset() + 100
    flip(reach / DATA_FILE, [8 * place])
    report = check_here(reach)
    assert "has the SHA-256" in problems_of(report, DATA_FILE, 2)
    assert report.undamaged_episodes == (0, 1, 3)


def test_bytes_outside_of_the_episodes_count(reach: Path) -> None:
    with (reach / DATA_FILE).open("ab") as file:
        file.write(b"more")
    report = check_here(reach)
    assert "bytes outside of the episodes changed" in problems_of(report, DATA_FILE, None)
    assert report.undamaged_episodes == (0, 1, 2, 3)
    assert not report.is_undamaged


DAMAGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda group: group.pop("rewards"), "lacks rewards"),
    (lambda group: group["infos"].pop("is_success"), "lacks infos/is_success"),
    (lambda group: group.pop("infos"), "lacks infos"),
    (lambda group: group.create_dataset("options", data=1), "additional part 'options'"),
    (lambda group: group.create_group("infos/more"), "infos/more is an empty group"),
    (lambda group: group["infos"].create_dataset("more", data=np.ones(41)), "infos/more is float64"),
    (
        lambda group: replaced(group, "observations", group["observations"][:20]),
        "expected 41 rows for 40 steps",
    ),
    (lambda group: replaced(group, "actions", group["actions"][()].astype(float)), "actions is float64"),
    (lambda group: replaced(group, "actions", group["actions"][:, :2]), r"expected float32 of shape \(any, \*"),
    (lambda group: replaced(group, "truncations", np.zeros(40, np.int8)), "truncations is int8"),
    (lambda group: replaced(group, "truncations", np.zeros(40, bool)), "without a termination or truncation"),
    (lambda group: group["truncations"].__setitem__(7, True), "has steps after its end: step 7 of 40"),
    (lambda group: group["observations"].__setitem__((5, 1), np.nan), r"observations has nan at \(5, 1\)"),
    (lambda group: group["rewards"].__setitem__(3, np.inf), r"rewards has inf at \(3,\)"),
    (lambda group: group["infos/state"].__setitem__((0, 0), np.nan), r"infos/state has nan at \(0, 0\)"),
    (
        lambda group: group["actions"].__setitem__((9, 3), 1.5),
        r"actions has 1.5 at \(9, 3\), expected it in \[-1",
    ),
    (lambda group: group["observations"].__setitem__((9, 3), -99), r"observations has -99.0 at \(9, 3\)"),
    (lambda group: group.attrs.pop("total_steps"), "lacks the attribute 'total_steps'"),
    (lambda group: group.attrs.pop("seed"), "lacks the attribute 'seed'"),
    (lambda group: group.attrs.pop(DIGEST), "lacks the attribute 'sha256'"),
    (lambda group: group.attrs.modify("seed", 12), "has the SHA-256"),
    (lambda group: group.attrs.create("seed", -12), "seed -12"),
    (lambda group: group.attrs.create("seed", "12"), "'seed' is of type .*, expected an integer"),
    (lambda group: group.attrs.create("total_steps", 39), "expected 40 rows"),
    (lambda group: group.attrs.create("note", np.zeros(7_000)), "'note' has 56000 bytes, expected at most"),
    (lambda group: group.attrs.create("note", 1), "additional attribute 'note'"),
    (lambda group: group["actions"].attrs.create("note", 1), r"actions has attributes \(\['note'\]\)"),
    (lambda group: group.__setitem__("infos/more", h5py.ExternalLink("/etc/hosts", "/")), "is a ExternalLink"),
    (lambda group: group.__setitem__("infos/more", group), "nested deeper than 16 groups"),
    (lambda group: group["infos"].create_dataset("more", (2**40,), "f4", chunks=(1,)), "claims 4398046511104"),
    (lambda group: group["infos"].create_dataset("more", (41, 2**40), "i1", external="x"), "in another file"),
]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> CheckReport:
    """Return the check of a dataset with one of the damages in each episode, and an undamaged last one."""
    dataset = demos.collect("LamReach-v0", episodes=len(DAMAGES) + 1, root=tmp_path_factory.mktemp("damaged"))
    folder = Path(dataset.storage.data_path)
    with opened(folder) as file:
        for number, (damage, _) in enumerate(DAMAGES):
            damage(file[f"episode_{number}"])
    return check_here(folder, replay=1)


@pytest.mark.parametrize(("number", "message"), [(number, message) for number, (_, message) in enumerate(DAMAGES)])
def test_damage_within_an_episode_is_reported(number: int, message: str, damaged: CheckReport) -> None:
    said = problems_of(damaged, DATA_FILE, number)
    assert re.search(message, said), said


def test_damage_within_episodes_concerns_no_other(damaged: CheckReport) -> None:
    assert damaged.undamaged_episodes == (len(DAMAGES),)
    assert all(problem.episode is not None for problem in damaged.problems if "total_steps" not in problem.what)


def test_lost_additional_and_renamed_episodes_are_reported(reach: Path) -> None:
    with opened(reach) as file:
        del file["episode_0"]
        file.move("episode_1", "episode_7")
        file["notes"] = 1
    report = check_here(reach)
    assert problems_of(report, DATA_FILE, 0) == "is missing"
    assert problems_of(report, DATA_FILE, 1) == "is missing"
    assert "has the id 1, expected 7" in problems_of(report, DATA_FILE, 7)
    assert "has 'notes', which is not an episode" in problems_of(report, DATA_FILE, None)
    assert "has 3 episodes, expected 4" in problems_of(report, DATA_FILE, None)
    assert report.undamaged_episodes == (2, 3)


def test_swapped_and_copied_episodes_are_reported(reach: Path) -> None:
    with opened(reach) as file:
        file.move("episode_0", "aside")
        file.move("episode_1", "episode_0")
        file.move("aside", "episode_1")
        del file["episode_3"]
        file.copy("episode_2", "episode_3")
        file["episode_3"].attrs["id"] = 3
    report = check_here(reach)
    assert "it was moved, copied or renamed" in problems_of(report, DATA_FILE, 0)
    assert "it was moved, copied or renamed" in problems_of(report, DATA_FILE, 1)
    assert problems_of(report, DATA_FILE, 3) == "is a copy of episode 2"
    assert report.undamaged_episodes == (2,)
