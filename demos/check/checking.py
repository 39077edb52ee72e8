"""Check a dataset for damage, and repair it: copy the undamaged episodes to a new dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import minari
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage
from rich.progress import Progress

from demos.check.integrity import shorten
from demos.check.metadata import OURS, data_digest_fault, metadata_digest_fault, read_metadata
from demos.check.problems import (
    Problem,
    changed_file_problems,
    content_problems,
    expected_episodes,
    layout_problems,
)
from demos.check.reexecution import environment_faults, reexecute
from demos.check.scan import ScanResult, scan
from demos.datasets.checksum import FILE_DIGESTS
from demos.datasets.data_file import DATA_FILE
from demos.datasets.loading import dataset_folder, find, load
from demos.datasets.metadata import HISTORY, PLAN, is_collected, plan_of
from demos.datasets.writing import check_writable, dataset_writer, derived_metadata
from demos.runtime.types import Metadata
from lam_envs.registration import is_lam_env

MAX_NOTES = 10
"""Largest number of notes on the infos of single episodes."""


@dataclass(frozen=True)
class CheckReport:
    """Result of a check.

    Attributes:
        problems: All problems.
        episodes: Number of episodes in the data file.
        undamaged_episodes: Indices of the undamaged episodes. An episode that the environment no longer reproduces is
            a problem, but not damaged.
        notes: Parts that could not be checked, with the reasons, and unusual properties that are not damage.
    """

    problems: tuple[Problem, ...]
    episodes: int
    undamaged_episodes: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def is_undamaged(self) -> bool:
        """True if there is no problem."""
        return not self.problems


def check(
    dataset: str | Path, root: str | Path | None = None, *, replay: int = 3, progress: bool = False
) -> CheckReport:
    """Check a dataset for damage.

    This finds: damaged files, by checksums; missing, additional and unreadable parts; types, shapes and lengths that
    differ from the spaces; values that are outside of the spaces or not finite; episodes without an end or with
    steps after it; and environments that no longer reproduce episodes. A separate process reads the episodes, because
    damage may crash it. Nothing is unpickled, and no code that a dataset names is imported.

    Args:
        dataset: Id or folder of a dataset, written by this package or another one.
        root: Folder of all datasets; Minari's own by default.
        replay: Number of undamaged episodes to re-execute, in environments of lam_envs.
        progress: Show a progress bar.

    Raises:
        FileNotFoundError: There is no such dataset.
        OSError: A file is locked or not readable.
        ValueError: ``replay`` is negative.
    """
    if replay < 0:
        raise ValueError(f"replay is {replay}; expected at least 0")
    return check_folder(find(dataset, root), replay=replay, progress=progress)


def check_folder(folder: Path, *, replay: int, progress: bool = False, isolated: bool = True) -> CheckReport:
    """Check the files of a dataset.

    Args:
        folder: Folder of the files.
        replay: Number of undamaged episodes to re-execute, in environments of lam_envs.
        progress: Show a progress bar.
        isolated: Read episodes in another process, because damage may crash or hang the reading one.

    Raises:
        OSError: A file is locked or not readable.
    """
    metadata, faults = read_metadata(folder)
    digest_fault = metadata_digest_fault(folder, metadata) if metadata else None
    result, data_problems = _data_problems(
        folder, metadata, metadata_damaged=digest_fault is not None, progress=progress, isolated=isolated
    )
    if digest_fault is None and metadata and FILE_DIGESTS not in metadata and _has_digests(result):
        digest_fault = f"lacks the file digests {FILE_DIGESTS!r}, although episodes have digests"
    faults += [*result.space_faults, *([digest_fault] if digest_fault else [])]
    if not faults and result.episodes:
        faults += _opening_faults(folder)
    problems = [Problem(METADATA_FILE_NAME, None, fault) for fault in faults]
    damaged = {problem.episode for problem in data_problems}
    undamaged_episodes = tuple(number for number in sorted(result.episodes) if number not in damaged)
    notes = _notes(metadata, result)
    if replay and (PLAN in metadata or "env_spec" in metadata) and undamaged_episodes:
        environment_problems, more_notes = _environment(
            folder, metadata, undamaged_episodes[:replay], metadata_damaged=bool(faults)
        )
        problems += environment_problems
        notes += more_notes
    return CheckReport((*problems, *data_problems), len(result.episodes), undamaged_episodes, tuple(notes))


def repair(
    dataset: str | Path,
    dataset_id: str,
    root: str | Path | None = None,
    *,
    report: CheckReport | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Copy the undamaged episodes of a dataset to a new one.

    Args:
        dataset: Id or folder of a dataset.
        dataset_id: Id of the new dataset.
        root: Folder of all datasets; Minari's own by default.
        report: Result of :func:`check`, which is called by default.
        overwrite: Replace a dataset of that id.
        progress: Show a progress bar.

    Returns:
        The new dataset. Its history lists the episodes that were left out.

    Raises:
        FileNotFoundError: There is no such dataset.
        FileExistsError: A dataset of that id exists.
        ValueError: No episode is undamaged, the metadata are damaged, or the new id is that of the dataset.
    """
    check_target(dataset, dataset_id, root, overwrite=overwrite)
    folder = find(dataset, root)
    report = report or check(folder, root, replay=0, progress=progress)
    faults = read_metadata(folder)[1]
    if faults or not report.undamaged_episodes:
        raise ValueError(
            f"the dataset at {folder} cannot be repaired ({METADATA_FILE_NAME}: {'; '.join(faults) or 'undamaged'}; "
            f"undamaged episodes: {len(report.undamaged_episodes)} of {report.episodes}). Collect it again."
        )
    source = _opened(folder)
    affected = {problem.episode for problem in report.problems if problem.episode is not None}
    step = {"step": "repair", "replays": True, "left_out": sorted(affected - set(report.undamaged_episodes))}
    with dataset_writer(
        dataset_id,
        source.observation_space,
        source.action_space,
        source.env_spec,
        derived_metadata(source, **step),
        root=root,
        jpeg=source.storage.jpeg_encoding,
        overwrite=overwrite,
    ) as writer:
        writer.copy(folder / DATA_FILE, report.undamaged_episodes)
    return load(dataset_id, root)


def check_target(
    dataset: str | Path, dataset_id: str, root: str | Path | None = None, *, overwrite: bool = False
) -> None:
    """Check that a repaired dataset may be written under an id.

    Args:
        dataset: Id or folder of a dataset.
        dataset_id: Id of the new dataset.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Allow to replace a dataset of that id.

    Raises:
        FileNotFoundError: There is no dataset to repair.
        FileExistsError: The folder exists and must not be replaced.
        ValueError: The id is malformed, or is that of the dataset to repair.
    """
    if find(dataset, root).resolve() == dataset_folder(dataset_id, root).resolve():
        raise ValueError(f"{dataset_id} cannot replace its own source; choose another id")
    check_writable(dataset_id, root, overwrite=overwrite)


def _opened(folder: Path) -> minari.MinariDataset:
    """Open a dataset that may miss episodes.

    Raises:
        ValueError: The metadata are damaged.
    """
    try:
        return minari.MinariDataset(MinariStorage.read(folder))
    except Exception as error:  # Minari trusts its files: damage may cause any exception.
        raise ValueError(f"the metadata of {folder} are damaged ({error}). Collect the dataset again.") from error


def _opening_faults(folder: Path) -> list[str]:
    """Return the error of Minari for metadata without other problems."""
    try:
        _opened(folder)
    except ValueError as error:
        return [shorten(f"cannot be opened: {error.__cause__}")]
    return []


def _has_digests(result: ScanResult) -> bool:
    return any(findings.digest is not None for findings in result.episodes.values())


def _scan_file(data_file: Path, metadata: Metadata, *, progress: bool, isolated: bool) -> ScanResult:
    collected = is_collected(metadata)
    with Progress(disable=not progress) as bar:
        task = bar.add_task("checking", total=expected_episodes(metadata) or None)
        return scan(
            data_file,
            observation_space=metadata.get("observation_space"),
            action_space=metadata.get("action_space"),
            # Minari's own default.
            jpeg=bool(metadata.get("jpeg_encoding", True)),
            is_collected=collected,
            seeded=collected and not metadata.get(HISTORY),
            records_success=collected and is_lam_env(metadata[PLAN].get("env_id")),
            episodes=expected_episodes(metadata),
            isolated=isolated,
            advance=lambda: bar.advance(task),
        )


def _data_problems(
    folder: Path, metadata: Metadata, *, metadata_damaged: bool, progress: bool, isolated: bool
) -> tuple[ScanResult, list[Problem]]:
    """Return the scan of the data file, and its problems."""
    if not (folder / DATA_FILE).is_file():
        return ScanResult(), [Problem(DATA_FILE, None, "is missing")]
    result = _scan_file(folder / DATA_FILE, metadata, progress=progress, isolated=isolated)
    problems = list(content_problems(result, metadata))
    broken = data_digest_fault(folder, metadata)
    if broken is not None:
        problems += changed_file_problems(
            result, broken, is_explained=bool(problems), metadata_damaged=metadata_damaged
        )
    return result, problems


def _notes(metadata: Metadata, result: ScanResult) -> list[str]:
    notes = []
    is_own = any(name.startswith(OURS) for name in metadata)
    if metadata and FILE_DIGESTS not in metadata and not is_own and not _has_digests(result):
        notes.append("this dataset has no digests: only its structure was checked")
    counts = Counter(note for findings in result.episodes.values() for note in findings.notes)
    notes += [f"{_episodes(count)}: {note}" for note, count in counts.items()]
    if metadata and not is_collected(metadata):
        notes += [f"episode {problem.episode}: {problem.what}" for problem in layout_problems(result)][:MAX_NOTES]
    return notes


def _episodes(count: int) -> str:
    return f"{count} episode{'s' * (count != 1)}"


def _environment(
    folder: Path, metadata: Metadata, numbers: tuple[int, ...], *, metadata_damaged: bool
) -> tuple[list[Problem], list[str]]:
    """Compare the environment with the recorded one; for third-party datasets, differences are notes."""
    if metadata_damaged:
        return [], [f"no episode was re-executed: {METADATA_FILE_NAME}, which names the environment, is damaged"]
    dataset = _opened(folder)
    try:
        env_id = plan_of(dataset)["env_id"]
    except ValueError as error:
        return [], [shorten(f"no episode was re-executed: {error}")]
    if not is_lam_env(env_id):
        return [], [f"no episode was re-executed: {shorten(repr(env_id))} is not an environment of lam_envs"]
    problems = [Problem(METADATA_FILE_NAME, None, fault) for fault in environment_faults(dataset)]
    notes: list[str] = []
    if not problems:
        differences, note = reexecute(dataset, numbers)
        problems = [Problem(DATA_FILE, number, what) for number, what in differences]
        notes += [note] if note else []
    if is_collected(metadata):
        return problems, notes
    return [], [*notes, *map(str, problems)]
