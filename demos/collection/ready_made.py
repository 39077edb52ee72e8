"""The datasets that published results rest on: made anew anywhere, they have the published checksum."""

from __future__ import annotations

import json
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import minari

from demos.collection.collect import collect
from demos.datasets.checksum import checksum
from demos.datasets.loading import dataset_folder, load
from demos.datasets.metadata import plan_of
from demos.runtime.files import write_json

PUBLISHED = "published.json"


TASKS = ("LamReach", "LamPush", "LamGrasp", "LamPickPlace", "LamStack", "LamInsert")
DISCRETE = ("LamReachDiscrete", "LamGraspDiscrete")
COUNTS = (10, 25, 50, 100, 200)
"""Episodes from which it is measured how success grows."""


def _plan(task: str, episodes: int, seed: int, **other: Any) -> tuple[str, dict[str, Any]]:
    """The name of a dataset, and what it is made of."""
    parts = [task, *other.values(), str(episodes), *([f"seed{seed}"] if seed else [])]
    return "-".join(parts), {"env_id": f"{task}-v0", "episodes": episodes, "seed": seed, **other}


PLANS: dict[str, dict[str, Any]] = dict(
    [
        *(_plan(task, 100, 0) for task in TASKS),
        # For results: on demonstrations of seed 0 settings were tuned.
        *(_plan(task, count, 1) for task in (*TASKS, *DISCRETE) for count in COUNTS),
        *(_plan(task, 300, 1) for task in ("LamStack", "LamInsert")),
        *(
            _plan(task, 100, 1, demonstrator=demonstrator)
            for task in TASKS
            for demonstrator in ("noisy", "novice", "mixed")
        ),
        _plan("LamPush", 200, 1, demonstrator="noisy"),
    ]
)
"""The arguments of :func:`demos.collect` for each published dataset."""


def published() -> dict[str, dict[str, Any]]:
    """Return each published dataset by name: its id, the arguments of :func:`demos.collect`, and its checksum."""
    content: dict[str, dict[str, Any]] = json.loads(
        resources.files("demos.collection").joinpath(PUBLISHED).read_text()
    )
    return content


def fetch_or_make(
    name: str, *, workers: int = 1, root: str | Path | None = None, progress: bool = False
) -> minari.MinariDataset:
    """Open a published dataset if it is here, else collects it; either way its checksum is the published one.

    Args:
        name: One of :func:`published`.
        workers: Processes that record.
        root: The folder of all datasets; by default Minari's own.
        progress: Show a bar.

    Raises:
        ValueError: There is no such dataset, or what is here or was made has another checksum.
    """
    known = published()
    if name not in known:
        raise ValueError(f"unknown dataset {name!r}; published are {', '.join(known)}")
    entry = known[name]
    if dataset_folder(entry["id"], root).exists():
        dataset = load(entry["id"], root)
    else:
        dataset = collect(**entry["plan"], dataset_id=entry["id"], workers=workers, root=root, progress=progress)
    found = checksum(dataset)
    if found != entry["checksum"]:
        raise ValueError(
            f"{name} at {dataset.storage.data_path} has the checksum {found}; published is {entry['checksum']}, made "
            f"with {entry['libraries']}. Other versions or another processor give other episodes; python -m demos "
            f"check {entry['id']} tells whether it is damaged"
        )
    return dataset


def publish(path: Path) -> None:
    """Collect every published dataset and writes down what came out.

    Args:
        path: The file that :func:`published` reads.
    """
    entries = {}
    with tempfile.TemporaryDirectory() as root:
        for name, plan in PLANS.items():
            made = collect(**plan, root=root, progress=True)
            libraries = plan_of(made)["libraries"]
            entries[name] = {"id": made.id, "plan": plan, "checksum": checksum(made), "libraries": libraries}
    write_json(path, entries)


if __name__ == "__main__":
    publish(Path(__file__).with_name(PUBLISHED))
