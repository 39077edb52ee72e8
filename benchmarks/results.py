"""Results: one JSON file a cell, written at once or not at all, and read back with checks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from agents.evaluation import EpisodeResult, Evaluation
from agents.provenance import versions
from benchmarks.suite import Cell, Suite
from benchmarks.training import Curve, Training
from demos.files import write_atomically, write_json

CELLS = "cells"
VIDEOS = "videos"
FAILURES = "failures"
SUITE_FILE = "suite.json"


@dataclass(frozen=True)
class CellResult:
    """What was measured in one cell, and with what.

    Attributes:
        cell: What was to be measured.
        evaluation: What came out.
        versions: Of all that decides it.
        training: What the training took; None for an agent that does not learn.
        evaluation_seconds: Wall time of the evaluation.
    """

    cell: Cell
    evaluation: Evaluation
    versions: dict[str, str]
    training: Training | None
    evaluation_seconds: float = field(compare=False)

    @property
    def training_seconds(self) -> float | None:
        """Wall time of the training; None for an agent that does not learn."""
        return None if self.training is None else self.training.seconds

    @property
    def training_cpu_seconds(self) -> float | None:
        """Its time on the processor; None likewise."""
        return None if self.training is None else self.training.cpu_seconds


def cell_path(folder: Path, cell: Cell) -> Path:
    """Where a cell's result is."""
    return folder / CELLS / f"{cell.name}.json"


def video_path(folder: Path, environment: str) -> Path:
    """Where an environment's video is."""
    return folder / VIDEOS / f"{environment}.mp4"


def filming_path(folder: Path, environment: str) -> Path:
    """Where it is written down what an environment's video shows."""
    return folder / VIDEOS / f"{environment}.json"


def failure_path(folder: Path, name: str) -> Path:
    """Where the traceback of a cell, or of a film, that failed is."""
    return folder / FAILURES / f"{name}.txt"


def write_cell(folder: Path, result: CellResult) -> Path:
    """Writes a result; a kill leaves either all of it or nothing."""
    content = {
        "cell": asdict(result.cell),
        "versions": result.versions,
        "training": None if result.training is None else asdict(result.training),
        "evaluation_seconds": result.evaluation_seconds,
        "step_seconds": result.evaluation.step_seconds,
        "decision_ms": round(result.evaluation.decision_ms, 4),
        "success_rate": result.evaluation.success_rate,
        "interval": list(result.evaluation.interval),
        "episodes": {},
    }
    # A line for each thing that is told of the episodes: files stay small, and their changes readable.
    columns = [
        f"  {json.dumps(part.name)}: {json.dumps([getattr(each, part.name) for each in result.evaluation.episodes])}"
        for part in fields(EpisodeResult)
    ]
    text = json.dumps(content, indent=1).removesuffix("{}\n}") + "{\n" + ",\n".join(columns) + "\n }\n}\n"
    return write_atomically(cell_path(folder, result.cell), text)


def read_cell(path: Path) -> CellResult:
    """Reads a result.

    Raises:
        ValueError: The file is damaged, or its rate is not that of its episodes.
    """
    try:
        content = json.loads(path.read_text())
        columns = [content["episodes"][part.name] for part in fields(EpisodeResult)]
        episodes = tuple(EpisodeResult(*row) for row in zip(*columns, strict=True))
        result = CellResult(
            Cell(**content["cell"]),
            Evaluation(episodes, float(content["step_seconds"]), float(content["decision_ms"])),
            dict(content["versions"]),
            _training(content["training"]),
            float(content["evaluation_seconds"]),
        )
        _check_types(result)
        consistent = abs(result.evaluation.success_rate - float(content["success_rate"])) < 1e-12
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        raise ValueError(f"the result {path} is damaged ({error!r}): remove it and run the suite again") from error
    if not consistent:
        raise ValueError(f"the result {path} states a success rate that its episodes do not have")
    seeds = [episode.seed for episode in episodes]
    if seeds != list(range(result.cell.first_seed, result.cell.first_seed + result.cell.episodes)):
        raise ValueError(f"the result {path} does not have the episodes that it says: remove it")
    return result


def _check_types(result: CellResult) -> None:
    """Refuses what JSON can hold and a result cannot.

    Raises:
        TypeError: A part is of another kind.
    """
    cell = result.cell
    texts = [cell.environment, cell.agent, cell.label, result.versions["code"], *result.versions.values()]
    wholes = [cell.first_seed, cell.episodes]
    numbers = [result.evaluation.step_seconds, result.evaluation.decision_ms]
    perhaps: list[Any] = [cell.training_seed, cell.demonstrations]
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


def _training(told: Any) -> Training | None:
    """Reads what a training took.

    Raises:
        KeyError: A part is missing.
        TypeError: A part is of another kind.
        ValueError: Likewise.
    """
    if told is None:
        return None
    curve = told["curve"]
    read = None
    if curve is not None:
        done, success = (tuple(map(float, curve[name])) for name in ("done", "success"))
        read = Curve(str(curve["unit"]), int(curve["episodes"]), done, success)
        if len(done) != len(success) or not all(0.0 <= rate <= 1.0 for rate in success):
            raise ValueError(f"its curve is {curve}")
    return Training(int(told["environment_steps"]), read, float(told["seconds"]), float(told["cpu_seconds"]))


def versions_of(cell: Cell) -> dict[str, str]:
    """Versions of all that decides the result of a cell."""
    return versions(cell.agent, cell.environment.rpartition("-v")[0])


def is_done(folder: Path, cell: Cell, *, watched: bool = False) -> bool:
    """Whether a cell has a whole result of the same cell and the same versions.

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
    return found.cell == cell and found.versions == versions_of(cell) and not lacks_curve


def write_suite(folder: Path, suite: Suite) -> Path:
    """Writes what the folder holds the results of."""
    return write_json(folder / SUITE_FILE, {**suite.as_json(), "cells": [asdict(cell) for cell in suite.cells()]})


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
        suite = dict(json.loads((base / SUITE_FILE).read_text()))
        cells = [Cell(**cell) for cell in suite["cells"]]
        missing = set(Suite.__dataclass_fields__) - set(suite)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        for entry in suite["agents"]:
            if not isinstance(entry["settings"], dict) or not isinstance(entry["label"], str):
                raise TypeError(f"an agent is {entry!r}")
        for cell in cells:
            if not isinstance(cell.label, str) or not isinstance(cell.environment, str):
                raise TypeError(f"a cell is {cell!r}")
        int(suite["evaluation"]["first_seed"]) + int(suite["evaluation"]["episodes"])
        list(suite["training_seeds"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{base / SUITE_FILE} is damaged: {error!r}") from error
    paths = dict.fromkeys(cell_path(base, cell) for cell in cells)
    found = [read_cell(path) for path in paths if path.is_file()]
    results = [result for result in found if result.cell in cells]
    if not results:
        raise FileNotFoundError(f"none of the {len(cells)} measurements in {base} is done: run the suite again")
    return suite, results
