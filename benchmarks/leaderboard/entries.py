"""Read results folders and submissions as entries of a leaderboard: an agent in an environment under a condition."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agents.registry import AGENTS, ARCHIVE
from agents.types import JsonObject, Keywords
from benchmarks.analysis.tables import Row, rows
from benchmarks.leaderboard.submission import FORMAT, MAX_BYTES, SubmittedAgent, check_episodes, read_submission
from benchmarks.leaderboard.verification import Verification, config_options, read_verification, verification_path
from benchmarks.reports.report import Video, command, recorded_videos
from benchmarks.runner.results import RECORDED_EPISODES, SUITE_FILE, CellResult, read_results, video_file
from benchmarks.suite.suite import Cell
from benchmarks.suite.suite_file import read_suite, suite_names
from lam_envs.registration import TASKS, VARIANTS, env_id

Status = Literal["measured", "submitted", "verified", "disputed"]
IDS = {env_id(task, variant): (task, keywords) for task in TASKS for variant, keywords in VARIANTS.items()}
"""Task and keywords of each environment id."""
OBSERVATIONS = {"pixels": "images"}
"""Names of observations that differ from the keyword ``obs``."""
UNKNOWN = "-"
BEGINNING = 4096
"""Bytes of a large file in which the format of a submission is searched."""


@dataclass(frozen=True)
class Source:
    """A results folder or a submission.

    Attributes:
        name: Name of the folder or of the file, without its ending.
        suite: Name of the suite.
        status: ``measured`` for a results folder; for a submission ``submitted``, or after a verification
            ``verified`` or ``disputed``.
        command: Command that measures it.
        results: Results of the cells.
        folder: Results folder; None for a submission.
        videos: Videos of the results folder.
        agent: Description of a submitted agent.
        verification: Verification of a submission, if there is one.
    """

    name: str
    suite: str
    status: Status
    command: str
    results: tuple[CellResult, ...]
    folder: Path | None = None
    videos: tuple[Video, ...] = ()
    agent: SubmittedAgent | None = None
    verification: Verification | None = None


@dataclass(frozen=True)
class Entry:
    """An agent in an environment under a condition, with all its training runs.

    Attributes:
        source: Results folder or submission that it is from.
        row: Summary over the training runs.
        results: Result of each training run, by training seed.
    """

    source: Source
    row: Row
    results: tuple[CellResult, ...]

    @property
    def cell(self) -> Cell:
        """Cell of the first training run."""
        return self.results[0].cell

    @property
    def _id(self) -> str:
        return self.cell.environment.removeprefix("lam_envs:")

    @property
    def keywords(self) -> Keywords:
        """Keywords of the environment in the evaluation."""
        changed = self.cell.changes.get("env")
        _, variant = IDS.get(self._id, ("", {}))
        return {**variant, **self.cell.env, **(changed if isinstance(changed, dict) else {})}

    @property
    def is_lam_env(self) -> bool:
        """True for an environment of this package; keywords of other packages are not interpreted."""
        return self._id in IDS

    @property
    def task(self) -> str:
        """Name of the task; for an environment of another package, its id."""
        return IDS[self._id][0] if self.is_lam_env else self.cell.environment

    @property
    def robot(self) -> str:
        """Name of the robot."""
        return str(self.keywords.get("robot", "panda")) if self.is_lam_env else UNKNOWN

    @property
    def control(self) -> str:
        """Name of the control."""
        return str(self.keywords.get("control", "ee")) if self.is_lam_env else UNKNOWN

    @property
    def observation(self) -> str:
        """Kind of the observations: ``state``, ``goal`` or ``images``, with ``instruction`` if they have one."""
        if not self.is_lam_env:
            return UNKNOWN
        given = str(self.keywords.get("obs", "state"))
        kind = OBSERVATIONS.get(given, given)
        return f"{kind}, instruction" if self.keywords.get("instruct") is True else kind

    @property
    def demonstrator(self) -> str:
        """Name of the demonstrator that it learns from.

        ``mixture`` for several datasets, ``reward`` without any, ``own`` for an agent that was trained elsewhere, and
        ``none`` for one that does not learn.
        """
        if self.cell.mixture:
            return "mixture"
        if self.cell.training_seed is None:
            return "none" if self.cell.agent in AGENTS else "own"
        return self.cell.demonstrator or "reward"

    @property
    def demonstrations(self) -> int:
        """Number of demonstrations that it learns from."""
        if self.cell.mixture:
            return sum(dataset.count for dataset in self.cell.mixture)
        return self.cell.demonstrations or 0

    @property
    def name(self) -> str:
        """Name that is unique among the entries of a source, and safe as part of a path."""
        return replace(self.cell, training_seed=None).name

    @property
    def verify_command(self) -> str:
        """Command that verifies the submission; the reader replaces ``AGENT``."""
        words = ["python -m benchmarks verify", shlex.quote(f"{self.source.name}.json"), "--agent AGENT"]
        words += [] if self.is_packaged else [f"--suite {self.source.suite}.yaml"]
        words += [config_options(self.cell.settings)] if self.cell.settings else []
        words += ["--allow-pickle"] if self.cell.agent.endswith(ARCHIVE) else []
        return " ".join(words)

    @property
    def is_packaged(self) -> bool:
        """True if the suite is in the package."""
        return self.source.suite in suite_names()

    @property
    def videos(self) -> list[Video]:
        """Videos of its training runs."""
        cells = [result.cell for result in self.results]
        files = {video_file(cell, which) for cell in cells for which in RECORDED_EPISODES}
        return [video for video in self.source.videos if video.file in files]


def is_source(path: Path) -> bool:
    """Return True for a results folder and for the file of a submission, damaged or not.

    Of a file that is too large for a submission, only the beginning is read.
    """
    if path.is_dir():
        return (path / SUITE_FILE).is_file()
    if path.suffix != ".json" or not path.is_file():
        return False
    is_large = path.stat().st_size > MAX_BYTES
    with path.open("rb") as file:
        content = file.read(BEGINNING if is_large else MAX_BYTES)
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return FORMAT.encode() in content
    return isinstance(parsed, dict) and parsed.get("format") == FORMAT


def read_source(path: Path) -> Source:
    """Read a results folder or a submission.

    Args:
        path: Path for which :func:`is_source` is true.

    Raises:
        FileNotFoundError: A results folder has no results.
        ValueError: A file is damaged, or a submission is not of the suite that it names.
    """
    return _folder(path) if path.is_dir() else _submission(path)


def _folder(path: Path) -> Source:
    suite, results = read_results(path)
    return Source(
        name=path.resolve().name,
        suite=suite["name"],
        status="measured",
        command=command(suite),
        results=tuple(results),
        folder=path,
        videos=tuple(recorded_videos(path, suite, results)),
    )


def _submission(path: Path) -> Source:
    read = read_submission(path)
    if read.suite in suite_names():
        try:
            check_episodes(read, read_suite(read.suite))
        except ValueError as error:
            raise ValueError(f"the submission {path} is not valid: {error}") from error
    status: Status = "submitted"
    verification = None
    if verification_path(path).is_file():
        verification = read_verification(verification_path(path))
        if verification.submission != read.checksum:
            raise ValueError(f"{verification_path(path)} is of another submission: verify {path} again")
        status = "verified" if verification.agrees else "disputed"
    return Source(
        name=path.stem,
        suite=read.suite,
        status=status,
        command=read.command,
        results=read.results,
        agent=read.agent,
        verification=verification,
    )


def entries(sources: Sequence[Source]) -> list[Entry]:
    """Return the entries of all sources by task, easy ones first, then by success; disputed ones come last."""
    found = []
    for source in sources:
        groups: dict[object, list[CellResult]] = {}
        for result in source.results:
            groups.setdefault(result.cell.group, []).append(result)
        for row in rows(source.results):
            own = sorted(groups[row.group], key=lambda result: result.cell.training_seed or 0)
            found.append(Entry(source, row, tuple(own)))
    tasks = [*TASKS]

    def order(entry: Entry) -> tuple[object, ...]:
        task = tasks.index(entry.task) if entry.task in tasks else len(tasks)
        # Disputed results must not rank above others.
        is_disputed = entry.source.status == "disputed"
        best = (-entry.row.success_rate, -entry.row.mean_return)
        return task, entry.row.environment, is_disputed, *best, entry.row.agent

    return sorted(found, key=order)


def versions(results: Sequence[CellResult]) -> dict[str, str]:
    """Return the versions of parts and libraries that results were measured with."""
    found: dict[str, set[str]] = {}
    for result in results:
        for name, version in {**result.provenance.versions, **result.provenance.libraries}.items():
            found.setdefault(name, set()).add(str(version))
        for name, source in result.provenance.sources.items():
            found.setdefault(f"hash of the {name}", set()).add(source)
    return {name: " and ".join(sorted(values)) for name, values in found.items()}


def episodes_table(results: Sequence[CellResult]) -> JsonObject:
    """Return the episodes of training runs as plain data: names of columns, and rows of each run."""
    columns = ("seed", "success", "steps_to_success", "episode_return", "length", "peak_force")
    return {
        "columns": ["seed", "success", "steps to success", "return", "steps", "peak force, N"],
        "runs": [
            {
                "name": "" if result.cell.training_seed is None else f"training seed {result.cell.training_seed}",
                "rows": [[_short(getattr(each, name)) for name in columns] for each in result.evaluation.episodes],
            }
            for result in results
        ],
    }


def _short(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value
