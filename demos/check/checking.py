"""Check a dataset for damage, and make a new one of the episodes that are sound."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minari
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage
from rich.progress import Progress

from demos.check.integrity import shown
from demos.check.metadata import OURS, broken_data_seal, broken_metadata_seal, read_metadata
from demos.check.problems import (
    Problem,
    changed_file_problems,
    content_problems,
    layout_problems,
    promised_episodes,
)
from demos.check.reexecution import environment_faults, reexecuted
from demos.check.scan import ScanResult, scan
from demos.datasets.checksum import SEAL
from demos.datasets.data_file import DATA_FILE
from demos.datasets.loading import dataset_folder, find, load
from demos.datasets.metadata import HISTORY, PLAN, is_collected, plan_of
from demos.datasets.writing import check_writable, dataset_writer, derived_metadata
from lam_envs.registration import is_lam_env

MOST_NOTES = 10
"""Largest number of notes on the infos of single episodes."""


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        problems: Everything that is wrong.
        episodes: How many there are in the data file.
        sound: Numbers of the episodes that are whole and as they were written. That the environment no longer gives
            one is a problem, and does not make it unsound.
        notes: What could not be checked, and why.
    """

    problems: tuple[Problem, ...]
    episodes: int
    sound: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check(
    dataset: str | Path, root: str | Path | None = None, *, replay: int = 3, progress: bool = False
) -> CheckReport:
    """Look for everything that can be wrong with a dataset.

    That is: damaged files, by checksums; missing, additional and unreadable parts; types, shapes and lengths that
    are not those of the spaces; values outside of them, and what is no finite number; episodes that end too early
    or go on after their end; and an environment that no longer gives them. Episodes are read in a process of its
    own, which damage may crash. Nothing is unpickled, and no code that a dataset names is imported.

    Args:
        dataset: An id, or the folder of one, written by this package or another.
        root: The folder of all datasets; by default Minari's own.
        replay: How many of the sound episodes are re-executed, where the environment is one of lam_envs.
        progress: Show a bar.

    Raises:
        FileNotFoundError: There is no such dataset.
        OSError: A file is locked or may not be read, which is not damage.
        ValueError: A negative number of episodes to re-execute.
    """
    if replay < 0:
        raise ValueError(f"replay is {replay}; expected at least 0")
    return check_folder(find(dataset, root), replay=replay, progress=progress)


def check_folder(folder: Path, *, replay: int, progress: bool = False, isolated: bool = True) -> CheckReport:
    """Check the files of a dataset.

    Args:
        folder: With the files.
        replay: How many of the sound episodes are re-executed, where the environment is one of lam_envs.
        progress: Show a bar.
        isolated: Read episodes in another process; in this one, damage may crash or hang it.

    Raises:
        OSError: A file is locked or may not be read, which is not damage.
    """
    metadata, faults = read_metadata(folder)
    seal_fault = broken_metadata_seal(folder, metadata) if metadata else None
    found, data_problems = _data_problems(
        folder, metadata, in_doubt=seal_fault is not None, progress=progress, isolated=isolated
    )
    if seal_fault is None and metadata and SEAL not in metadata and _is_signed(found):
        seal_fault = f"lacks its seal {SEAL!r}, and the episodes are signed"
    faults += [*found.space_faults, *([seal_fault] if seal_fault else [])]
    if not faults and found.episodes:
        faults += _opening_faults(folder)
    problems = [Problem(METADATA_FILE_NAME, None, fault) for fault in faults]
    unsound = {problem.episode for problem in data_problems}
    sound = tuple(number for number in sorted(found.episodes) if number not in unsound)
    notes = _notes(metadata, found)
    if replay and (PLAN in metadata or "env_spec" in metadata) and sound:
        environment_problems, more_notes = _environment(folder, metadata, sound[:replay], in_doubt=bool(faults))
        problems += environment_problems
        notes += more_notes
    return CheckReport((*problems, *data_problems), len(found.episodes), sound, tuple(notes))


def repair(
    dataset: str | Path,
    dataset_id: str,
    root: str | Path | None = None,
    *,
    report: CheckReport | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Make a new dataset of the sound episodes of a damaged one, which stays as it is.

    Args:
        dataset: An id, or the folder of one.
        dataset_id: Name of the new one.
        root: The folder of all datasets; by default Minari's own.
        report: What :func:`check` found just now; by default it is asked.
        overwrite: Replace a dataset of that name.
        progress: Show a bar.

    Returns:
        The new dataset. Its history names the episodes that were left out.

    Raises:
        FileNotFoundError: There is no such dataset.
        FileExistsError: There is a dataset of that name.
        ValueError: No episode is sound, or the metadata are unreadable, or the new dataset would replace the old.
    """
    check_target(dataset, dataset_id, root, overwrite=overwrite)
    folder = find(dataset, root)
    report = report or check(folder, root, replay=0, progress=progress)
    faults = read_metadata(folder)[1]
    if faults or not report.sound:
        raise ValueError(
            f"the dataset at {folder} cannot be repaired ({METADATA_FILE_NAME}: {'; '.join(faults) or 'sound'}; "
            f"sound episodes: {len(report.sound)} of {report.episodes}). Make it anew."
        )
    source = _opened(folder)
    there = {problem.episode for problem in report.problems if problem.episode is not None}
    step = {"step": "repair", "replays": True, "left_out": sorted(there - set(report.sound))}
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
        writer.copy(folder / DATA_FILE, report.sound)
    return load(dataset_id, root)


def check_target(
    dataset: str | Path, dataset_id: str, root: str | Path | None = None, *, overwrite: bool = False
) -> None:
    """Refuse an id under which no repaired dataset may be written.

    Args:
        dataset: An id, or the folder of one.
        dataset_id: Name of the new one.
        root: The folder of all datasets; by default Minari's own.
        overwrite: A dataset of that name may be replaced.

    Raises:
        FileNotFoundError: There is no dataset to repair.
        FileExistsError: There is something under that name.
        ValueError: The id is malformed, or that of the dataset to repair.
    """
    if find(dataset, root).resolve() == dataset_folder(dataset_id, root).resolve():
        raise ValueError(f"{dataset_id} cannot replace what it is made of: give another id")
    check_writable(dataset_id, root, overwrite=overwrite)


def _opened(folder: Path) -> minari.MinariDataset:
    """Open a dataset of which episodes may be missing.

    Raises:
        ValueError: The metadata are damaged.
    """
    try:
        return minari.MinariDataset(MinariStorage.read(folder))
    except Exception as error:  # Minari trusts what it reads: anything may come of it.
        raise ValueError(f"the metadata of {folder} are damaged ({error}). Make the dataset anew.") from error


def _opening_faults(folder: Path) -> list[str]:
    """What Minari says against metadata in which nothing else is wrong."""
    try:
        _opened(folder)
    except ValueError as error:
        return [shown(f"cannot be opened: {error.__cause__}")]
    return []


def _is_signed(found: ScanResult) -> bool:
    return any(findings.digest is not None for findings in found.episodes.values())


def _surveyed(data_file: Path, metadata: dict[str, Any], *, progress: bool, isolated: bool) -> ScanResult:
    collected = is_collected(metadata)
    with Progress(disable=not progress) as bar:
        shown_bar = bar.add_task("checking", total=promised_episodes(metadata) or None)
        return scan(
            data_file,
            observation_space=metadata.get("observation_space"),
            action_space=metadata.get("action_space"),
            # Minari's own default.
            jpeg=bool(metadata.get("jpeg_encoding", True)),
            ours=collected,
            seeded=collected and not metadata.get(HISTORY),
            tells_success=collected and is_lam_env(metadata[PLAN].get("env_id")),
            episodes=promised_episodes(metadata),
            isolated=isolated,
            advance=lambda: bar.advance(shown_bar),
        )


def _data_problems(
    folder: Path, metadata: dict[str, Any], *, in_doubt: bool, progress: bool, isolated: bool
) -> tuple[ScanResult, list[Problem]]:
    """Return what was found in the data file, and what is wrong with it."""
    if not (folder / DATA_FILE).is_file():
        return ScanResult(), [Problem(DATA_FILE, None, "is missing")]
    found = _surveyed(folder / DATA_FILE, metadata, progress=progress, isolated=isolated)
    problems = list(content_problems(found, metadata))
    broken = broken_data_seal(folder, metadata)
    if broken is not None:
        problems += changed_file_problems(found, broken, is_explained=bool(problems), in_doubt=in_doubt)
    return found, problems


def _notes(metadata: dict[str, Any], found: ScanResult) -> list[str]:
    notes = []
    ours = any(name.startswith(OURS) for name in metadata)
    if metadata and SEAL not in metadata and not ours and not _is_signed(found):
        notes.append("this dataset was never signed or sealed: only its structure was checked")
    counts = Counter(note for findings in found.episodes.values() for note in findings.notes)
    notes += [f"{_episodes(count)}: {note}" for note, count in counts.items()]
    if metadata and not is_collected(metadata):
        notes += [f"episode {problem.episode}: {problem.what}" for problem in layout_problems(found)][:MOST_NOTES]
    return notes


def _episodes(count: int) -> str:
    return f"{count} episode{'s' * (count != 1)}"


def _environment(
    folder: Path, metadata: dict[str, Any], numbers: tuple[int, ...], *, in_doubt: bool
) -> tuple[list[Problem], list[str]]:
    """Compare the current environment with the recorded one; differences of third-party datasets are notes."""
    if in_doubt:
        return [], [f"nothing was re-executed: {METADATA_FILE_NAME}, which names the environment, is damaged"]
    dataset = _opened(folder)
    try:
        env_id = plan_of(dataset)["env_id"]
    except ValueError as error:
        return [], [shown(f"nothing was re-executed: {error}")]
    if not is_lam_env(env_id):
        return [], [f"nothing was re-executed: {shown(repr(env_id))} is not an environment of lam_envs"]
    problems = [Problem(METADATA_FILE_NAME, None, fault) for fault in environment_faults(dataset)]
    notes: list[str] = []
    if not problems:
        differences, note = reexecuted(dataset, numbers)
        problems = [Problem(DATA_FILE, number, what) for number, what in differences]
        notes += [note] if note else []
    if is_collected(metadata):
        return problems, notes
    return [], [*notes, *map(str, problems)]
