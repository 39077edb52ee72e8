"""What is wrong with a dataset, each with its place, from what was found in its data file."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minari.dataset.minari_storage import METADATA_FILE_NAME

from demos.check.integrity import shown
from demos.check.scan import ScanResult
from demos.datasets.data_file import DATA_FILE
from demos.datasets.metadata import is_collected

MAX_MISSING = 1000
"""Missing episodes that are named one by one."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a dataset.

    Attributes:
        file: Name of the file.
        episode: Number of the episode; None where it is not one's alone.
        what: What was found, and what was expected.
    """

    file: str
    episode: int | None
    what: str

    def __str__(self) -> str:
        """The problem in a line."""
        return f"{self.file}{'' if self.episode is None else f', episode {self.episode}'}: {self.what}"


def promised_episodes(metadata: dict[str, Any]) -> int:
    """How many episodes there should be; 0 where nobody knows."""
    episodes = metadata.get("total_episodes")
    return max(episodes, 0) if isinstance(episodes, int) else 0


def content_problems(found: ScanResult, metadata: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the episodes of a data file, and with their number.

    Args:
        found: In the data file.
        metadata: Of the dataset; empty where they are unreadable.
    """
    yield from (Problem(DATA_FILE, None, fault) for fault in found.faults)
    for number, findings in sorted(found.episodes.items()):
        yield from (Problem(DATA_FILE, number, fault) for fault in findings.faults)
    if found.episodes or not found.faults:
        yield from _count_problems(found, metadata)
    if is_collected(metadata) or not metadata:
        yield from layout_problems(found)
    yield from _copies(found)
    yield from _unsigned(found, metadata)


def _count_problems(found: ScanResult, metadata: dict[str, Any]) -> Iterator[Problem]:
    numbers, promised = found.episodes.keys(), promised_episodes(metadata)
    if "total_episodes" in metadata and len(numbers) != promised:
        yield Problem(
            DATA_FILE, None, f"has {len(numbers)} episodes, expected {promised} (total_episodes of the metadata)"
        )
    # Without the metadata, those up to the last must be there.
    expected = range(promised if "total_episodes" in metadata else max(numbers, default=-1) + 1)
    for number in itertools.islice((number for number in expected if number not in numbers), MAX_MISSING):
        yield Problem(DATA_FILE, number, "is missing")
    steps = [findings.steps for findings in found.episodes.values()]
    total = metadata.get("total_steps")
    if isinstance(total, int) and len(numbers) == promised and sum(count or 0 for count in steps) != total:
        yield Problem(
            DATA_FILE, None, f"has {sum(count or 0 for count in steps)} steps, expected {total} (total_steps)"
        )


def layout_problems(found: ScanResult) -> Iterator[Problem]:
    """Compare the infos of the episodes that no checksum vouches for with those of most episodes."""
    layouts = Counter(tuple(sorted(findings.infos.items())) for findings in found.episodes.values())
    usual = dict(layouts.most_common(1)[0][0]) if layouts else {}
    for number, findings in found.episodes.items():
        if findings.vouched or not findings.infos:
            continue
        for name in sorted(usual.keys() | findings.infos.keys()):
            there, expected = findings.infos.get(name, "absent"), usual.get(name, "absent")
            if there != expected:
                yield Problem(DATA_FILE, number, f"infos/{shown(name)} is {there}, and {expected} in most episodes")


def _copies(found: ScanResult) -> Iterator[Problem]:
    """Find episodes that are one and the same place of the file."""
    places: dict[int, int] = {}
    for number, findings in sorted(found.episodes.items()):
        if findings.place is not None:
            first = places.setdefault(findings.place, number)
            if first != number:
                yield Problem(DATA_FILE, number, f"is the same group as episode {first}, expected one of its own")


def _unsigned(found: ScanResult, metadata: dict[str, Any]) -> Iterator[Problem]:
    """Without metadata that tell whether each episode should be signed, all are or none."""
    signed = [number for number, findings in found.episodes.items() if findings.digest is not None]
    if not metadata and signed:
        for number, findings in found.episodes.items():
            if findings.digest is None and not findings.faults:
                yield Problem(DATA_FILE, number, f"is not signed, and {len(signed)} others are")


def changed_file_problems(found: ScanResult, broken: str, *, is_explained: bool, in_doubt: bool) -> Iterator[Problem]:
    """Yield what the broken seal of a data file tells beyond the problems of its episodes.

    Args:
        found: In the data file.
        broken: How the seal is broken.
        is_explained: Whether the episodes have problems, which are why.
        in_doubt: Whether the metadata, which hold the seal, were changed too.
    """
    digests: dict[str, int] = {}
    for number, findings in sorted(found.episodes.items()):
        if findings.digest is not None and digests.setdefault(findings.digest, number) != number:
            yield Problem(DATA_FILE, number, f"is a copy of episode {digests[findings.digest]}")
            is_explained = True
    if is_explained:
        return
    signed = all(findings.vouched for findings in found.episodes.values())
    where = "bytes outside of the episodes" if signed else "bytes outside of the episodes, or in unsigned ones,"
    what = f"{where} changed since it was sealed: {broken}; every episode is sound"
    if in_doubt:
        what = f"is not what its seal says: {broken}; that stands in {METADATA_FILE_NAME}, which was changed"
    yield Problem(DATA_FILE, None, what)
