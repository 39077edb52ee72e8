"""A small suite that the tests of the runner carry out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.runner.results import CELLS, SUITE_FILE, CellResult, read_cell, read_results
from demos.runtime.files import write_json

SMALL: dict[str, Any] = {
    "name": "small",
    "environments": ["LamReach-v0"],
    "agents": ["random", "expert", {"agent": "bc", "settings": {"epochs": 5}}],
    "demonstrations": 8,
    "demonstration_seed": 0,
    "training_seeds": [0, 1],
    "evaluation": {"first_seed": 1000, "episodes": 6},
    "videos": {"agent": "bc", "size": 16},
    "periodic_eval": {"evaluations": 4, "episodes": 2},
}

EXPERTS = (
    "experts",
    "experts-conditions",
    "experts-clutter",
    "experts-clutter-conditions",
    "experts-table",
    "experts-chains",
)
"""Suites of the scripted experts."""
CLONE = "LamReach-v0-bc-8-expert-seed0"


def written(folder: Path, **changes: Any) -> str:
    path = folder / "small.yaml"
    content = {name: value for name, value in {**SMALL, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


PUBLISHED = Path(__file__).parents[2] / "results"
CORE = PUBLISHED / "core"


@cache
def published(suite: str) -> tuple[dict[str, Any], list[CellResult]]:
    """Read the results of a published suite, not to be changed: once, as it takes seconds."""
    return read_results(PUBLISHED / suite)


def part_of_core(folder: Path, measured: Collection[tuple[str, str]]) -> Path:
    """Copy the published results of some agents, by label and environment: all of them take seconds to read."""
    suite = json.loads((CORE / SUITE_FILE).read_text())
    suite["cells"] = [cell for cell in suite["cells"] if (cell["label"], cell["environment"]) in measured]
    (folder / CELLS).mkdir(parents=True)
    write_json(folder / SUITE_FILE, suite)
    for label, environment in measured:
        # The name of a file begins like its cell: the others need not be read.
        for path in (CORE / CELLS).glob(f"{environment}-{label}*.json"):
            cell = json.loads(path.read_text())["cell"]
            if (cell["label"], cell["environment"]) == (label, environment):
                shutil.copy(path, folder / CELLS)
    return folder


def finished(folder: Path) -> dict[str, Any]:
    """Return the content of the result files without times."""
    outcomes = {}
    for path in sorted((folder / "cells").glob("*.json")):
        result = read_cell(path)
        outcomes[path.name] = (result.cell, result.evaluation.episodes, result.provenance, result.training)
    return outcomes
