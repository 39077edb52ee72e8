"""Problems of a dataset, with file and episode, from the scan of its data file.

A fault is the description of a problem alone, as a scan of one part yields it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from minari.dataset.minari_storage import METADATA_FILE_NAME

from demos.check.integrity import shorten
from demos.check.scan import ScanResult
from demos.datasets.data_file import DATA_FILE
from demos.datasets.metadata import is_collected
from demos.runtime.types import Metadata

MAX_MISSING = 1000
"""Largest number of missing episodes that are listed."""


@dataclass(frozen=True)
class Problem:
    """Problem of a dataset.

    Attributes:
        file: File name.
        episode: Number of the episode; None if the problem is not that of one episode.
        what: Description: what was found and what was expected.
    """

    file: str
    episode: int | None
    what: str

    def __str__(self) -> str:
        """Return the problem in one line."""
        return f"{self.file}{'' if self.episode is None else f', episode {self.episode}'}: {self.what}"


def expected_episodes(metadata: Metadata) -> int:
    """Return the number of episodes in the metadata; 0 if unknown."""
    episodes = metadata.get("total_episodes")
    return max(episodes, 0) if isinstance(episodes, int) else 0


def content_problems(result: ScanResult, metadata: Metadata) -> Iterator[Problem]:
    """Yield the problems of the episodes of a data file, and of their number.

    Args:
        result: Scan of the data file.
        metadata: Metadata of the dataset; empty if unreadable.
    """
    yield from (Problem(DATA_FILE, None, fault) for fault in result.faults)
    for number, findings in sorted(result.episodes.items()):
        yield from (Problem(DATA_FILE, number, fault) for fault in findings.faults)
    if result.episodes or not result.faults:
        yield from _count_problems(result, metadata)
    if is_collected(metadata) or not metadata:
        yield from layout_problems(result)
    yield from _copies(result)
    yield from _without_digest(result, metadata)


def _count_problems(result: ScanResult, metadata: Metadata) -> Iterator[Problem]:
    numbers, promised = result.episodes.keys(), expected_episodes(metadata)
    if "total_episodes" in metadata and len(numbers) != promised:
        yield Problem(
            DATA_FILE, None, f"has {len(numbers)} episodes, expected {promised} (total_episodes of the metadata)"
        )
    # Without metadata, expect all episodes up to the last one.
    expected = range(promised if "total_episodes" in metadata else max(numbers, default=-1) + 1)
    for number in itertools.islice((number for number in expected if number not in numbers), MAX_MISSING):
        yield Problem(DATA_FILE, number, "is missing")
    steps = [findings.steps for findings in result.episodes.values()]
    total = metadata.get("total_steps")
    if isinstance(total, int) and len(numbers) == promised and sum(count or 0 for count in steps) != total:
        yield Problem(
            DATA_FILE, None, f"has {sum(count or 0 for count in steps)} steps, expected {total} (total_steps)"
        )


def layout_problems(result: ScanResult) -> Iterator[Problem]:
    """Yield the infos of unverified episodes that differ from those of most episodes."""
    layouts = Counter(tuple(sorted(findings.infos.items())) for findings in result.episodes.values())
    usual = dict(layouts.most_common(1)[0][0]) if layouts else {}
    for number, findings in result.episodes.items():
        if findings.verified or not findings.infos:
            continue
        for name in sorted(usual.keys() | findings.infos.keys()):
            actual, expected = findings.infos.get(name, "absent"), usual.get(name, "absent")
            if actual != expected:
                yield Problem(
                    DATA_FILE, number, f"infos/{shorten(name)} is {actual}, expected {expected} as in most episodes"
                )


def _copies(result: ScanResult) -> Iterator[Problem]:
    """Yield episodes that share one group of the file."""
    addresses: dict[int, int] = {}
    for number, findings in sorted(result.episodes.items()):
        if findings.address is not None:
            first = addresses.setdefault(findings.address, number)
            if first != number:
                yield Problem(DATA_FILE, number, f"is the same group as episode {first}, expected its own group")


def _without_digest(result: ScanResult, metadata: Metadata) -> Iterator[Problem]:
    """Yield episodes without a digest where others have one, if there are no metadata."""
    with_digest = [number for number, findings in result.episodes.items() if findings.digest is not None]
    if not metadata and with_digest:
        for number, findings in result.episodes.items():
            if findings.digest is None and not findings.faults:
                yield Problem(DATA_FILE, number, f"has no digest, and {len(with_digest)} others have one")


def changed_file_problems(
    result: ScanResult, broken: str, *, is_explained: bool, metadata_damaged: bool
) -> Iterator[Problem]:
    """Yield the problems of a changed data file beyond those of its episodes.

    Args:
        result: Scan of the data file.
        broken: Difference between the digests.
        is_explained: True if problems of episodes explain the change.
        metadata_damaged: True if the metadata, which hold the digest, were also changed.
    """
    digests: dict[str, int] = {}
    for number, findings in sorted(result.episodes.items()):
        if findings.digest is not None and digests.setdefault(findings.digest, number) != number:
            yield Problem(DATA_FILE, number, f"is a copy of episode {digests[findings.digest]}")
            is_explained = True
    if is_explained:
        return
    verified = all(findings.verified for findings in result.episodes.values())
    changed = "bytes outside of the episodes" if verified else "bytes outside of the episodes, or in unverified ones,"
    what = f"{changed} changed after it was written: {broken}; every episode is undamaged"
    if metadata_damaged:
        what = f"differs from its digest: {broken}; the digest is in {METADATA_FILE_NAME}, which was changed"
    yield Problem(DATA_FILE, None, what)
