"""Results: one JSON file for each cell, written completely or not at all, and checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path

from pydantic import Field, TypeAdapter

from agents.evaluation import evaluation
from agents.evaluation.episode import EpisodeResult
from agents.evaluation.evaluation import Evaluation
from agents.registry import is_remote
from agents.types import JsonObject, Keywords
from benchmarks.runner.cache_keys import SERVER, Provenance, adaptation_provenance, encoder_provenance, provenance_of
from benchmarks.runner.trained import TrainingJob
from benchmarks.runner.training import Training
from benchmarks.suite.fields import problem_of
from benchmarks.suite.suite import Cell, PeriodicEvaluation, Suite, VideoSettings
from demos.collection.versions import major_versions
from demos.runtime.files import write_atomically, write_json

CELLS = "cells"
VIDEOS = "videos"
FAILURES = "failures"
SUITE_FILE = "suite.json"
RECORDED_EPISODES = ("median", "worst")
"""Episodes of which videos are recorded, by success and then by return."""
DAMAGE = (OSError, ValueError, KeyError, TypeError, ArithmeticError, AttributeError, RecursionError)
"""Errors that reading a damaged file can raise."""


@dataclass(frozen=True)
class CellResult:
    """Result of a cell.

    Attributes:
        cell: Cell that was measured.
        evaluation: Outcomes of the episodes.
        provenance: Versions, settings, libraries and code that decide it, besides the cell.
        training: Cost of the training; None for an agent that does not learn.
        evaluation_seconds: Wall time of the evaluation.
    """

    cell: Cell
    evaluation: Evaluation
    provenance: Provenance
    training: Training | None
    evaluation_seconds: float = field(compare=False)

    @property
    def key(self) -> str:
        """Cache key under which it was measured."""
        return key_of(self.cell, self.provenance)

    @property
    def training_seconds(self) -> float | None:
        """Wall time of the training; None for an agent that does not learn."""
        return None if self.training is None else self.training.seconds

    @property
    def training_cpu_seconds(self) -> float | None:
        """CPU time of the training; None for an agent that does not learn."""
        return None if self.training is None else self.training.cpu_seconds

    @property
    def outcomes(self) -> tuple[bool, ...]:
        """Success of each episode."""
        return tuple(episode.success for episode in self.evaluation.episodes)


@dataclass(frozen=True)
class PlannedCell:
    """A cell with all that decides its result; computed once, when a suite is planned, and handed to the jobs.

    Attributes:
        cell: Cell to measure.
        provenance: Provenance that its result will have.
        key: Cache key of its result.
        training: Training of its agent; None for an agent that does not learn.
    """

    cell: Cell
    provenance: Provenance
    key: str
    training: TrainingJob | None

    @classmethod
    def of(cls, cell: Cell) -> PlannedCell:
        """Return the plan of a cell, with the current versions and settings."""
        trained = _trained(cell)
        versions = cell.perturbation.versions(cell.environment.rpartition(":")[2])
        measured = replace(trained, versions={**trained.versions, **versions, "evaluation": evaluation.VERSION})
        return cls(cell, measured, key_of(cell, measured), _training(cell, trained))

    @property
    def is_identified(self) -> bool:
        """True if an equal key means an equal policy; False for a policy server that reports no version."""
        return not is_remote(self.cell.agent) or SERVER in self.provenance.sources


def _training(cell: Cell, trained: Provenance) -> TrainingJob | None:
    """Return the training of a cell, with the one that it adapts."""
    job = TrainingJob.of(cell, trained)
    if job is None or cell.adaptation is None:
        return job
    before = replace(cell, adaptation=None)
    return replace(job, base=TrainingJob.of(before, _trained(before)))


def _trained(cell: Cell) -> Provenance:
    """Return the provenance of a cell's training, or of the actions of an agent that does not learn."""
    learns = cell.training_seed is not None
    learned: list[tuple[str, Keywords, str | None]] = [
        (each.environment, each.env, each.demonstrator) for each in cell.mixture
    ] or [(cell.environment, cell.trained_env, cell.demonstrator)]
    parts = [
        provenance_of(
            cell.agent, environment, cell.settings, env_kwargs=keywords, demonstrator=demonstrator, learns=learns
        )
        for environment, keywords, demonstrator in learned
    ]
    versions = {name: version for each in parts for name, version in each.versions.items()}
    sources = {name: source for each in parts for name, source in each.sources.items()}
    settings = parts[0].settings
    if cell.pretraining is not None:
        encoder = encoder_provenance(cell.pretraining)
        versions |= encoder.versions
        settings = {**settings, "pretraining": encoder.settings}
    if cell.adaptation is not None:
        keywords = {**cell.trained_env, **cell.adaptation.env}
        adapted = adaptation_provenance(cell.adaptation, cell.environment, keywords)
        versions |= adapted.versions
        settings = {**settings, "adaptation": adapted.settings}
    return replace(parts[0], versions=versions, settings=settings, sources=sources)


class StoredSuite(Suite):
    """The suite of a results folder, with its cells: reading it needs none of its agents."""

    planned: tuple[Cell, ...] = Field(alias="cells")


def cell_file(cell: Cell) -> str:
    """Return the file of a cell's result, relative to the results folder."""
    return f"{CELLS}/{cell.name}.json"


def cell_path(folder: Path, cell: Cell) -> Path:
    """Return the path of a cell's result."""
    return folder / cell_file(cell)


def failure_file(name: str) -> str:
    """Return the file of a failed job's traceback, relative to the results folder."""
    return f"{FAILURES}/{name}.txt"


def video_job_name(cell: Cell) -> str:
    """Return the name of the job that records the videos of a cell."""
    return f"videos-of-{cell.name}"


def video_file(cell: Cell, which: str) -> str:
    """Return the file of a cell's video, relative to the results folder."""
    return f"{VIDEOS}/{cell.name}-{which}.mp4"


def video_info_file(cell: Cell) -> str:
    """Return the file that describes a cell's videos, relative to the results folder."""
    return f"{VIDEOS}/{cell.name}.json"


def write_cell(folder: Path, result: CellResult) -> Path:
    """Write a result; if the process is killed, the file is complete or absent."""
    content = cell_content(result)
    episodes = content.pop("episodes")
    # One line for each column of the episodes keeps files small and differences readable.
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in episodes.items())
    text = json.dumps({**content, "episodes": {}}, indent=1).removesuffix("{}\n}") + "{\n" + lines + "\n }\n}\n"
    return write_atomically(cell_path(folder, result.cell), text)


def cell_content(result: CellResult) -> JsonObject:
    """Return a result as plain data with its checksum; the episodes are columns."""
    mean = result.evaluation.mean_inference_latency_ms
    content = {
        "cell": result.cell.as_json(),
        "key": result.key,
        **result.provenance.as_json(),
        "training": None if result.training is None else result.training.as_json(),
        "evaluation_seconds": result.evaluation_seconds,
        "step_seconds": result.evaluation.step_seconds,
        "inference_latency_ms": round(result.evaluation.inference_latency_ms, 4),
        **({} if mean is None else {"mean_inference_latency_ms": round(mean, 4)}),
        "success_rate": result.evaluation.success_rate,
        "interval": list(result.evaluation.interval),
    }
    columns = {
        part.name: [getattr(each, part.name) for each in result.evaluation.episodes] for part in fields(EpisodeResult)
    }
    episodes = {name: values for name, values in columns.items() if name != "completed" or None not in values}
    return {**content, "checksum": checksum_of({**content, "episodes": episodes}), "episodes": episodes}


def checksum_of(content: Mapping[str, object]) -> str:
    """Return the checksum of plain data without its own ``checksum``.

    Raises:
        ValueError: A number is not finite.
    """
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]


def cell_provenance(cell: Cell) -> Provenance:
    """Return the provenance that a result of a cell would have now."""
    return PlannedCell.of(cell).provenance


def key_of(cell: Cell, provenance: Provenance) -> str:
    """Return the cache key of a measurement, in which names that are only for reports do not count.

    Args:
        cell: Cell that is measured.
        provenance: Its provenance.
    """
    named = ("label", "condition", "settings")
    return provenance.key({name: value for name, value in cell.as_json().items() if name not in named})


@cache
def _results() -> TypeAdapter[CellResult]:
    return TypeAdapter(CellResult)


def parse_cell(content: JsonObject) -> CellResult:
    """Return the result of the plain data that :func:`cell_content` returns.

    Raises:
        ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError: The data are damaged or
            inconsistent: see :data:`DAMAGE`.
    """
    if content["checksum"] != checksum_of(content):
        raise ValueError("its checksum does not match")
    names = content["episodes"]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*names.values(), strict=True)]
    parts = {**content, "evaluation": {**content, "episodes": rows}, "provenance": content}
    result = _results().validate_json(json.dumps(parts), strict=True)
    if not abs(result.evaluation.success_rate - float(content["success_rate"])) < 1e-12:
        raise ValueError("its success rate differs from that of its episodes")
    seeds, expected = [episode.seed for episode in result.evaluation.episodes], result.cell.episodes
    # The length first: the number in a file can be too large for a list.
    if len(seeds) != expected or seeds != list(range(result.cell.first_seed, result.cell.first_seed + expected)):
        raise ValueError("its episodes do not have the seeds of its cell")
    if content["key"] != result.key:
        raise ValueError("it has the key of another cell")
    return result


def read_cell(path: Path) -> CellResult:
    """Read a result.

    Raises:
        ValueError: The file is damaged or inconsistent.
    """
    try:
        result = parse_cell(json.loads(path.read_text()))
    except DAMAGE as error:
        problem = problem_of(error)
        raise ValueError(f"the result {path} is damaged ({problem}): remove it and run the suite again") from error
    if path.stem != result.cell.name:
        raise ValueError(f"the result {path} is of {result.cell.name}: remove it")
    return result


def outdated_by(result: CellResult) -> list[str]:
    """Return the changes since a result was computed, as text; empty if it is up to date.

    Args:
        result: A measurement; empty is also returned if its third-party agent or environment is not installed.
    """
    try:
        now = cell_provenance(result.cell)
    except Exception:  # A third party's environment is imported, and may raise anything.
        return []
    if result.provenance.sources.keys() - now.sources.keys():
        return []
    return changes(result.provenance, now)


def changes(before: Provenance, after: Provenance) -> list[str]:
    """Return the differences between two provenances as text."""
    found = []
    for what, old, new in (
        ("", before.versions, after.versions),
        ("setting ", before.settings, after.settings),
        ("major version of ", major_versions(before.libraries), major_versions(after.libraries)),
        ("code of the ", before.sources, after.sources),
    ):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                found.append(f"{what}{name} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}")
    return found


def is_done(folder: Path, planned: PlannedCell, curve: PeriodicEvaluation | None = None) -> bool:
    """Return True if a cell has a complete result that is up to date.

    Args:
        folder: Results folder.
        planned: Cell to measure.
        curve: Periodic evaluations whose learning curve the result of an agent that learns must have; None for none.
    """
    path = cell_path(folder, planned.cell)
    if not path.is_file():
        return False
    try:
        stored = read_cell(path)
    except ValueError:
        return False
    has_curve = stored.training is None or stored.training.has_curve_of(curve)
    return planned.is_identified and stored.key == planned.key and has_curve


def video_info(planned: PlannedCell, videos: VideoSettings) -> JsonObject:
    """Return the description of a cell's videos, with its cache key."""
    return {"cell": planned.cell.as_json(), "videos": videos.model_dump(), "key": planned.key}


def is_recorded(folder: Path, planned: PlannedCell, videos: VideoSettings) -> bool:
    """Return True if a cell has videos that are up to date."""
    cell = planned.cell
    if not all((folder / video_file(cell, which)).is_file() for which in RECORDED_EPISODES):
        return False
    try:
        stored = json.loads((folder / video_info_file(cell)).read_text())
    except (OSError, ValueError, RecursionError):
        return False
    # Lists are tuples before they are written.
    expected = json.loads(json.dumps(video_info(planned, videos)))
    is_same = isinstance(stored, dict) and planned.is_identified
    return is_same and all(stored.get(name) == value for name, value in expected.items())


def write_suite(folder: Path, suite: Suite) -> Path:
    """Write the suite of a results folder."""
    return write_json(
        folder / SUITE_FILE, {**suite.model_dump(mode="json"), "cells": [cell.as_json() for cell in suite.cells()]}
    )


def read_results(folder: str | Path) -> tuple[JsonObject, list[CellResult]]:
    """Read the results of the suite that was last run in a folder; other files there are ignored.

    Returns:
        The suite as plain data, and the results of its cells that are there.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: A file is damaged.
    """
    base = Path(folder)
    if not (base / SUITE_FILE).is_file():
        raise FileNotFoundError(f"no results in {base}: run a suite, such as python -m benchmarks run quickstart")
    try:
        suite = StoredSuite.model_validate_json((base / SUITE_FILE).read_bytes())
        for cell in suite.planned:
            if (cell.first_seed, cell.episodes) != (suite.evaluation.first_seed, suite.evaluation.episodes):
                raise ValueError(f"{cell.name} has other episodes than the suite")
    except (OSError, ValueError) as error:
        raise ValueError(f"{base / SUITE_FILE} is damaged: {problem_of(error)}") from error
    paths = dict.fromkeys(cell_path(base, cell) for cell in suite.planned)
    stored = [read_cell(path) for path in paths if path.is_file()]
    results = [result for result in stored if result.cell in suite.planned]
    if not results:
        raise FileNotFoundError(
            f"none of the {len(suite.planned)} measurements in {base} is done: run the suite again"
        )
    return suite.model_dump(mode="json", by_alias=True), results
