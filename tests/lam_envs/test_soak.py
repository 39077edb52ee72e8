"""Memory, open files, threads, processes and temporary files do not accumulate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import soak

MEGABYTE = 2**20
MAX_GROWTH = 10 * MEGABYTE
PART = 1_000_000 // len(soak.MIXES)
"""Steps of one mix: together a million, with 20,000 resets."""


def check(what: str, amount: int, tmp_path: Path) -> None:
    """Run the script in a process with its own folder for temporary files."""
    done = subprocess.run(
        [sys.executable, "-m", soak.__name__, what, str(amount)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=Path(soak.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    course = json.loads(done.stdout)
    print(what, amount, [f"{held / MEGABYTE:.1f} MB" for held in course["bytes"]])  # noqa: T201  (seen with pytest -s)
    # The last measure is of a process that has closed all, the others are of one that has them open.
    assert max(course["bytes"]) - course["bytes"][0] < MAX_GROWTH, course
    assert course["children"][-1] == course["temporary"][-1] == 0, course
    for handles in ("files", "threads"):
        assert course[handles][-1] <= course[handles][0], course


@pytest.mark.parametrize(
    "mix",
    [pytest.param(mix, marks=[] if mix == "options" else [pytest.mark.slow]) for mix in soak.MIXES],
)
def test_ten_thousand_steps_leave_nothing_behind(mix: str, tmp_path: Path) -> None:
    check(mix, 10_000 // len(soak.MIXES), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("what", soak.OPENINGS)
def test_fifty_opened_environments_leave_nothing_behind(what: str, tmp_path: Path) -> None:
    check(what, soak.FIRST_OPENINGS[what] + 50, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mix", soak.MIXES)
def test_a_million_steps_leave_nothing_behind(mix: str, tmp_path: Path) -> None:
    check(mix, PART, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("what", "count"), [("openings", 2000), ("vectors", 300)])
def test_many_opened_environments_leave_nothing_behind(what: str, count: int, tmp_path: Path) -> None:
    check(what, soak.FIRST_OPENINGS[what] + count, tmp_path)
