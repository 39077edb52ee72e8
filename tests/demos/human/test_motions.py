"""Files of motions: what was written is read, and damage is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.recordings.imitation import one_recording
from demos.human.motion.files import FOLDER, motion_names, read_motion, save_motion


def test_the_motion_of_the_package_is_that_of_the_recording_that_results_are_measured_on() -> None:
    assert motion_names() == ["carry_box"]
    assert read_motion("carry_box").as_json() == one_recording().as_json()


def test_a_motion_is_read_as_it_was_written(tmp_path: Path) -> None:
    motion = read_motion("carry_box")
    assert read_motion(str(save_motion(motion, tmp_path / "mine.json"))).as_json() == motion.as_json()
    with pytest.raises(ValueError, match=r"expected a name that ends in .json"):
        save_motion(motion, tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "no hand motion: format is 'other'"),
        ({"grasp": 2.5}, "expected whole numbers"),
        ({"grasp": 10**6}, "of 88 samples"),
        ({"points": [[1, 2], [3, 4]]}, r"expected \(N, 3\) finite numbers"),
        ({"points": [["a"]]}, "points, smoothness or speed"),
        ({"smoothness": 3}, "expected a number from -1 to 1"),
    ],
    ids=str,
)
def test_a_damaged_motion_is_reported_with_its_file(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = json.loads((FOLDER / "carry_box.json").read_text())
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps({**content, **changes}))
    with pytest.raises(ValueError, match=rf"damaged.json: .*{message}"):
        read_motion(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "expected a JSON object"), ("{", "Expecting"), ("[" * 10**5, "recursion"), (" " * 2**21, "larger than")],
    ids=["a list", "half a file", "deep", "large"],
)
def test_a_file_that_is_no_motion_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_motion(str(path))
