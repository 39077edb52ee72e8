"""Functions that damage datasets, and checks in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from demos.check import CheckReport
from demos.check.checking import check_folder
from demos.datasets.checksum import episode_digest
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import DIGEST
from demos.datasets.loading import find


def check_here(dataset: str | Path, root: Path | None = None, *, replay: int = 0) -> CheckReport:
    """Return the result of :func:`demos.check` in this process."""
    return check_folder(find(dataset, root), replay=replay, isolated=False)


METADATA = "metadata.json"
EPISODES = 4


@contextmanager
def opened(folder: Path) -> Iterator[h5py.File]:
    with h5py.File(folder / DATA_FILE, "r+", libver="latest") as file:
        yield file


def rewritten(folder: Path, **values: Any) -> None:
    metadata = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps({**metadata, **values}))


def replaced(group: h5py.Group, name: str, values: Any) -> None:
    del group[name]
    group[name] = values


def signed_again(group: h5py.Group) -> None:
    group.attrs[DIGEST] = episode_digest(group)


def problems_of(report: CheckReport, file: str, episode: int | None) -> str:
    """Return the problems of a file or episode in a report; fail if there are none."""
    found = [problem.what for problem in report.problems if (problem.file, problem.episode) == (file, episode)]
    assert found, [str(problem) for problem in report.problems]
    return "; ".join(found)


def flip(path: Path, bits: list[int]) -> None:
    content = bytearray(path.read_bytes())
    for bit in bits:
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
