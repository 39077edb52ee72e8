"""Results: one JSON file a measurement, written at once or not at all, and read back with checks."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from agents.evaluation import evaluation
from agents.evaluation.evaluation import EpisodeResult, Evaluation
from benchmarks.runner.cache_keys import Provenance, provenance_of
from benchmarks.runner.training import Training, training_from
from benchmarks.suite.suite import Cell, Suite, VideoSettings
from demos.collection.versions import major_versions
from demos.runtime.files import write_atomically, write_json

CELLS = "cells"
VIDEOS = "videos"
FAILURES = "failures"
SUITE_FILE = "suite.json"
RECORDED_EPISODES = ("median", "worst")
"""Which episodes are recorded."""


@dataclass(frozen=True)
class CellResult:
    """What was measured in one cell, and with what.

    Attributes:
        cell: What was to be measured.
        evaluation: What came out.
        provenance: Versions, settings, libraries and code that decide it, besides the cell.
        training: What the training took; None for an agent that does not learn.
        evaluation_seconds: Wall time of the evaluation.
    """

    cell: Cell
    evaluation: Evaluation
    provenance: Provenance
    training: Training | None
    evaluation_seconds: float = field(compare=False)

    @property
    def key(self) -> str:
        """The cache key under which it was measured."""
        return key_of(self.cell, self.provenance)

    @property
    def training_seconds(self) -> float | None:
        """Wall time of the training; None for an agent that does not learn."""
        return None if self.training is None else self.training.seconds

    @property
    def training_cpu_seconds(self) -> float | None:
        """Its time on the processor; None likewise."""
        return None if self.training is None else self.training.cpu_seconds

    @property
    def outcomes(self) -> tuple[bool, ...]:
        """Whether each episode ended in success."""
        return tuple(episode.success for episode in self.evaluation.episodes)


class StoredSuite(Suite):
    """The suite of a results folder, with its cells: reading it needs none of its agents."""

    planned: tuple[Cell, ...] = Field(alias="cells")


def cell_file(cell: Cell) -> str:
    """Where a cell's result is, in a results folder."""
    return f"{CELLS}/{cell.name}.json"


def cell_path(folder: Path, cell: Cell) -> Path:
    """The same with the folder."""
    return folder / cell_file(cell)


def failure_file(name: str) -> str:
    """Where the traceback of what failed is, in a results folder."""
    return f"{FAILURES}/{name}.txt"


def video_job_name(cell: Cell) -> str:
    """How the videos of a cell are called."""
    return f"videos-of-{cell.name}"


def video_file(cell: Cell, which: str) -> str:
    """Where a cell's video is, in a results folder."""
    return f"{VIDEOS}/{cell.name}-{which}.mp4"


def video_info_file(cell: Cell) -> str:
    """Where it is written down what a cell's videos show."""
    return f"{VIDEOS}/{cell.name}.json"


def write_cell(folder: Path, result: CellResult) -> Path:
    """Writes a result; a kill leaves either all of it or nothing."""
    content = {
        "cell": asdict(result.cell),
        "key": result.key,
        **result.provenance.as_json(),
        "training": None if result.training is None else asdict(result.training),
        "evaluation_seconds": result.evaluation_seconds,
        "step_seconds": result.evaluation.step_seconds,
        "inference_latency_ms": round(result.evaluation.inference_latency_ms, 4),
        "success_rate": result.evaluation.success_rate,
        "interval": list(result.evaluation.interval),
    }
    episodes = {
        part.name: [getattr(each, part.name) for each in result.evaluation.episodes] for part in fields(EpisodeResult)
    }
    content["checksum"] = _checksum({**content, "episodes": episodes})
    # A line for each thing that is told of the episodes: files stay small, and their changes readable.
    columns = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in episodes.items())
    text = json.dumps({**content, "episodes": {}}, indent=1).removesuffix("{}\n}") + "{\n" + columns + "\n }\n}\n"
    return write_atomically(cell_path(folder, result.cell), text)


def _checksum(content: dict[str, Any]) -> str:
    """Of all else that a file says."""
    told = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def cell_provenance(cell: Cell) -> Provenance:
    """Return the provenance that a measurement would have now."""
    learns = cell.training_seed is not None
    demonstrator = None if cell.dataset is None else cell.dataset.demonstrator
    found = provenance_of(cell.agent, cell.environment, cell.settings, demonstrator=demonstrator, learns=learns)
    met = cell.under.versions(cell.environment.rpartition(":")[2])
    return replace(found, versions={**found.versions, **met, "evaluation": evaluation.VERSION})


def key_of(cell: Cell, provenance: Provenance) -> str:
    """Return the cache key of a measurement, in which names that are only for reports do not count.

    Args:
        cell: Cell that is measured.
        provenance: Its provenance.
    """
    named = ("label", "condition", "settings")
    return provenance.key({name: value for name, value in asdict(cell).items() if name not in named})


def read_cell(path: Path) -> CellResult:
    """Reads a result.

    Raises:
        ValueError: The file is damaged, or says what does not fit together.
    """
    try:
        content = json.loads(path.read_text())
        if content["checksum"] != _checksum(content):
            raise ValueError("its checksum is of something else")
        columns = [content["episodes"][part.name] for part in fields(EpisodeResult)]
        episodes = tuple(EpisodeResult(*row) for row in zip(*columns, strict=True))
        result = CellResult(
            Cell(**content["cell"]),
            Evaluation(episodes, float(content["step_seconds"]), float(content["inference_latency_ms"])),
            Provenance(*(dict(content[part.name]) for part in fields(Provenance))),
            training_from(content["training"]),
            float(content["evaluation_seconds"]),
        )
        _check_types(result)
        consistent = abs(result.evaluation.success_rate - float(content["success_rate"])) < 1e-12
        found = result.key
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        raise ValueError(f"the result {path} is damaged ({error!r}): remove it and run the suite again") from error
    if not consistent:
        raise ValueError(f"the result {path} states a success rate that its episodes do not have: remove it")
    seeds = [episode.seed for episode in episodes]
    if seeds != list(range(result.cell.first_seed, result.cell.first_seed + result.cell.episodes)):
        raise ValueError(f"the result {path} does not have the episodes that it says: remove it")
    if content["key"] != found:
        raise ValueError(f"the result {path} has the key of another measurement: remove it and run the suite again")
    if path.stem != result.cell.name:
        raise ValueError(f"the result {path} is of {result.cell.name}: remove it")
    return result


def _check_types(result: CellResult) -> None:
    """Refuses what JSON can hold and a result cannot.

    Raises:
        TypeError: A part is of another kind.
        ValueError: A number is no number.
    """
    cell = result.cell
    provenance = result.provenance
    texts = [cell.environment, cell.agent, cell.label, cell.condition]
    texts += [*provenance.libraries.values(), *provenance.sources.values()]
    wholes = [cell.first_seed, cell.episodes, *provenance.versions.values()]
    numbers = [result.evaluation.step_seconds, result.evaluation.inference_latency_ms, result.evaluation_seconds]
    perhaps: list[Any] = [cell.training_seed, cell.demonstrations]
    texts += [] if cell.demonstrator is None else [cell.demonstrator]
    for episode in result.evaluation.episodes:
        wholes += [episode.seed, episode.length]
        numbers.append(episode.episode_return)
        perhaps += [episode.steps_to_success, episode.jerk, episode.peak_force]
        if not (isinstance(episode.success, bool) and isinstance(episode.ever_success, bool)):
            raise TypeError(f"success is {episode.success!r}")
    for kind, values in ((str, texts), (int, wholes), (int | float, numbers), (int | float | None, perhaps)):
        for value in values:
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"found {value!r}; expected {kind}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"found {value}; expected a number")


def outdated_by(result: CellResult) -> list[str]:
    """Return what changed since a cell was measured, in words; empty if it is up to date.

    Args:
        result: A measurement; empty is also returned if its third-party agent or environment is not installed.
    """
    try:
        now = cell_provenance(result.cell)
    except Exception:  # A third party's environment is imported, and may raise anything.
        return []
    if result.provenance.sources.keys() - now.sources.keys():
        return []
    found = []
    for what, before, after in (
        ("", result.provenance.versions, now.versions),
        ("setting ", result.provenance.settings, now.settings),
        ("major version of ", major_versions(result.provenance.libraries), major_versions(now.libraries)),
        ("code of the ", result.provenance.sources, now.sources),
    ):
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                found.append(f"{what}{name} was {before.get(name, 'absent')}, is {after.get(name, 'absent')}")
    return found


def is_done(folder: Path, cell: Cell, *, watched: bool = False) -> bool:
    """Return whether a cell has a complete result that is up to date.

    Args:
        folder: Of results.
        cell: What was to be measured.
        watched: Of a training, also how its success grew.
    """
    path = cell_path(folder, cell)
    if not path.is_file():
        return False
    try:
        found = read_cell(path)
    except ValueError:
        return False
    lacks_curve = watched and found.training is not None and found.training.curve is None
    return found.key == key_of(cell, cell_provenance(cell)) and not lacks_curve


def video_info(cell: Cell, videos: VideoSettings) -> dict[str, Any]:
    """Return the description of a cell's videos, with its cache key."""
    return {"cell": asdict(cell), "videos": videos.model_dump(), "key": key_of(cell, cell_provenance(cell))}


def is_recorded(folder: Path, cell: Cell, videos: VideoSettings) -> bool:
    """Whether there are videos of a cell as it is measured now."""
    if not all((folder / video_file(cell, which)).is_file() for which in RECORDED_EPISODES):
        return False
    try:
        shown = json.loads((folder / video_info_file(cell)).read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(shown, dict) and all(shown.get(name) == told for name, told in video_info(cell, videos).items())


def write_suite(folder: Path, suite: Suite) -> Path:
    """Writes what the folder holds the results of."""
    return write_json(
        folder / SUITE_FILE, {**suite.model_dump(mode="json"), "cells": [asdict(cell) for cell in suite.cells()]}
    )


def read_results(folder: str | Path) -> tuple[dict[str, Any], list[CellResult]]:
    """Reads the results of the suite that was last run in a folder, and no others that may lie there.

    Returns:
        The suite as plain data and the results of those of its cells that are measured.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: A file is damaged.
    """
    base = Path(folder)
    if not (base / SUITE_FILE).is_file():
        raise FileNotFoundError(f"no results in {base}. Make some: python -m benchmarks run quickstart")
    try:
        suite = StoredSuite.model_validate_json((base / SUITE_FILE).read_bytes())
        for cell in suite.planned:
            if (cell.first_seed, cell.episodes) != (suite.evaluation.first_seed, suite.evaluation.episodes):
                raise ValueError(f"{cell.name} is of other episodes than the suite")
    except (OSError, ValueError) as error:
        raise ValueError(f"{base / SUITE_FILE} is damaged: {error!r}") from error
    paths = dict.fromkeys(cell_path(base, cell) for cell in suite.planned)
    found = [read_cell(path) for path in paths if path.is_file()]
    results = [result for result in found if result.cell in suite.planned]
    if not results:
        raise FileNotFoundError(
            f"none of the {len(suite.planned)} measurements in {base} is done: run the suite again"
        )
    return suite.model_dump(mode="json", by_alias=True), results
