"""Filter, split, subsample and merge datasets.

Episodes stay bit-identical, also images that are stored as JPEG; a merge only renumbers demonstrators and strategies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import minari
import numpy as np

from demos.datasets.checksum import digest_of, episode_digest
from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import DIGEST, QUALITY, STRATEGY, SUCCESS, Episode
from demos.datasets.loading import load, validate_id
from demos.datasets.metadata import (
    HISTORY,
    PLAN,
    SCHEMA,
    WITH_OTHERS,
    changes_of,
    history_of,
    is_collected,
    plan_of,
    rate_of,
    stores_jpeg,
)
from demos.datasets.reading import episodes_of
from demos.datasets.writing import DatasetWriter, check_writable, dataset_writer, derived_metadata
from demos.runtime.types import JsonObject, Metadata

PLAN_KEYS = {QUALITY: "qualities", STRATEGY: "strategies"}
"""Key of the plan whose list an info indexes."""


def filter_episodes(
    dataset: minari.MinariDataset,
    dataset_id: str,
    *,
    success: bool | None = None,
    min_return: float = -np.inf,
    max_return: float = np.inf,
    min_length: int = 0,
    max_length: int | None = None,
    demonstrator: str | None = None,
    strategy: str | None = None,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> minari.MinariDataset:
    """Select the episodes that meet all conditions.

    Args:
        dataset: Minari dataset.
        dataset_id: Id of the new dataset.
        success: Success at the last step.
        min_return: Minimum return.
        max_return: Maximum return.
        min_length: Minimum number of steps.
        max_length: Maximum number of steps.
        demonstrator: Name of the demonstrator that acted, such as ``noisy``.
        strategy: Name of the strategy that the demonstrator followed, such as ``left``.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace a dataset of that id.

    Raises:
        ValueError: No episode meets the conditions, or the dataset does not record the value of a condition.
        FileExistsError: A dataset of that id exists.
    """
    conditions = {
        "success": success,
        "min_return": None if min_return == -np.inf else min_return,
        "max_return": None if max_return == np.inf else max_return,
        "min_length": min_length or None,
        "max_length": max_length,
        QUALITY: demonstrator,
        STRATEGY: strategy,
    }
    indices_in_plan = {
        info: _index_in_plan(dataset, info, name)
        for info, name in ((QUALITY, demonstrator), (STRATEGY, strategy))
        if name is not None
    }

    def matches(episode: Episode) -> bool:
        # An episode without the recorded value does not meet the condition.
        return (
            (success is None or episode.success is success)
            and min_return <= episode.total_return <= max_return
            and min_length <= len(episode) <= (len(episode) if max_length is None else max_length)
            and all(
                info in episode.infos and episode.infos[info][-1] == number
                for info, number in indices_in_plan.items()
            )
        )

    indices = [int(index) for index in dataset.episode_indices]
    selected = []
    records_success = False
    for index, episode in zip(indices, episodes_of(dataset), strict=True):
        records_success |= episode.success is not None
        if matches(episode):
            selected.append(index)
    if success is not None and not records_success:
        raise ValueError(
            f"the episodes of {dataset.id} do not record success: they have none of the infos "
            f"{', '.join(SUCCESS)}. Filter by --min-return instead"
        )
    given = {name: value for name, value in conditions.items() if value is not None}
    if not selected:
        raise ValueError(f"none of the {len(indices)} episodes of {dataset.id} meets {given}")
    return _select(dataset, dataset_id, selected, {"step": "filter", **given}, root, overwrite=overwrite)


def subsample(
    dataset: minari.MinariDataset,
    dataset_id: str,
    count: int,
    *,
    seed: int = 0,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> minari.MinariDataset:
    """Select random episodes; with the same seed, a smaller subset is part of a larger one.

    Args:
        dataset: Minari dataset.
        dataset_id: Id of the new dataset.
        count: Number of episodes to select.
        seed: Seed of the random choice.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace a dataset of that id.

    Raises:
        ValueError: The dataset has fewer episodes.
        FileExistsError: A dataset of that id exists.
    """
    if not 1 <= count <= dataset.total_episodes:
        raise ValueError(
            f"invalid count {count}; expected 1 to {dataset.total_episodes}, the number of episodes of {dataset.id}"
        )
    selected = sorted(_shuffled(dataset, seed)[:count])
    step = {"step": "subsample", "count": count, "seed": seed}
    return _select(dataset, dataset_id, selected, step, root, overwrite=overwrite)


def split(
    dataset: minari.MinariDataset,
    parts: Mapping[str, float],
    *,
    seed: int = 0,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, minari.MinariDataset]:
    """Split a dataset into random, disjoint sets of episodes.

    Args:
        dataset: Minari dataset.
        parts: Fraction of the episodes by name of the part, such as ``{"train": 0.9, "test": 0.1}``; at most 1 in
            total. Each part becomes a dataset: ``lam/x-v0`` gives ``lam/x-train-v0`` and ``lam/x-test-v0``.
        seed: Seed of the random choice.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace datasets of these ids.

    Returns:
        The datasets by name of the part.

    Raises:
        ValueError: The fractions are invalid, or a part gets no episode.
        FileExistsError: A dataset of one of these ids exists.
    """
    shares = list(parts.values())
    if not shares or not min(shares) > 0.0 or not sum(shares) <= 1.0 + 1e-9:
        raise ValueError(f"invalid parts {dict(parts)}; expected fractions above 0 with a sum of at most 1")
    shuffled = _shuffled(dataset, seed)
    ends = [round(float(end) * len(shuffled)) for end in np.cumsum(shares)]
    starts = [0, *ends[:-1]]
    stem, _, version = dataset.id.rpartition("-v")
    ids = {name: validate_id(f"{stem}-{name}-v{version}") for name in parts}
    for name, start, end in zip(parts, starts, ends, strict=True):
        if start == end:
            raise ValueError(
                f"the part {name} gets none of the {len(shuffled)} episodes of {dataset.id}; expected at least one"
            )
    for dataset_id in ids.values():
        check_writable(dataset_id, root, overwrite=overwrite)
    result = {}
    for name, start, end in zip(parts, starts, ends, strict=True):
        step = {"step": "split", "part": name, "shares": dict(parts), "seed": seed}
        selected = sorted(shuffled[start:end])
        result[name] = _select(dataset, ids[name], selected, step, root, overwrite=overwrite)
    return result


def merge(
    datasets: Sequence[minari.MinariDataset],
    dataset_id: str,
    *,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> minari.MinariDataset:
    """Merge datasets of the same environment.

    Args:
        datasets: At least two datasets with equal spaces, and equal environments if recorded.
        dataset_id: Id of the new dataset.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace a dataset of that id.

    Raises:
        ValueError: There are fewer than two datasets; their spaces, rates, features or environments differ; or two of
            them hold the same episode.
        FileExistsError: A dataset of that id exists.
    """
    if len(datasets) < 2:
        raise ValueError(f"{len(datasets)} datasets to merge; expected at least 2")
    first = datasets[0]
    for other in datasets[1:]:
        for name in ("observation_space", "action_space"):
            if getattr(first, name) != getattr(other, name):
                raise ValueError(f"{first.id} and {other.id} differ in their {name}; expected equal ones")
        if stores_jpeg(first) != stores_jpeg(other):
            raise ValueError(f"only one of {first.id} and {other.id} stores images as JPEG; expected equal formats")
        _check_compatible(first, other)
    plan = _merge_plans(datasets)
    _check_disjoint(datasets)
    metadata = derived_metadata(
        first,
        step="merge",
        replays=not any(changes_of(dataset) for dataset in datasets),
        datasets=[
            {
                "id": dataset.id,
                "episodes": dataset.total_episodes,
                "plan": _plan(dataset),
                HISTORY: history_of(dataset),
            }
            for dataset in datasets
        ],
    )
    # The histories of the merged datasets are part of this step.
    metadata[HISTORY] = metadata[HISTORY][-1:]
    metadata.pop(PLAN, None)
    if plan is not None:
        metadata[PLAN] = plan
    with_spec = next((dataset for dataset in datasets if dataset.env_spec is not None), first)
    with _new_dataset(with_spec, dataset_id, metadata, root, overwrite=overwrite) as writer:
        for dataset in datasets:
            _append(writer, dataset, plan)
    return load(dataset_id, root)


def _select(
    dataset: minari.MinariDataset,
    dataset_id: str,
    indices: list[int],
    step: dict[str, object],
    root: str | Path | None,
    *,
    overwrite: bool,
) -> minari.MinariDataset:
    metadata = derived_metadata(dataset, replays=True, **step)
    with _new_dataset(dataset, dataset_id, metadata, root, overwrite=overwrite) as writer:
        writer.copy(dataset.storage.data_path / DATA_FILE, indices)
    return load(dataset_id, root)


def _new_dataset(
    dataset: minari.MinariDataset,
    dataset_id: str,
    metadata: Metadata,
    root: str | Path | None,
    *,
    overwrite: bool,
) -> AbstractContextManager[DatasetWriter]:
    if dataset_id == dataset.id and overwrite:
        raise ValueError(f"{dataset_id} cannot replace its own source; choose another id")
    return dataset_writer(
        dataset_id,
        dataset.observation_space,
        dataset.action_space,
        dataset.env_spec,
        metadata,
        root=root,
        jpeg=dataset.storage.jpeg_encoding,
        overwrite=overwrite,
    )


def _shuffled(dataset: minari.MinariDataset, seed: int) -> list[int]:
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected at least 0")
    order = np.random.default_rng(seed).permutation(dataset.episode_indices)
    return [int(index) for index in order]


def _plan(dataset: minari.MinariDataset) -> JsonObject | None:
    plan = dataset.storage.read_raw_metadata(dataset.storage.data_path).get(PLAN)
    return plan if isinstance(plan, dict) else None


def _index_in_plan(dataset: minari.MinariDataset, info: str, name: str) -> int:
    """Return the index of a demonstrator or strategy in the plan of a dataset."""
    known = (_plan(dataset) or {}).get(PLAN_KEYS[info]) or []
    kind = "demonstrator" if info == QUALITY else info
    if name not in known:
        raise ValueError(f"{dataset.id} has no {kind} {name!r}; it has {', '.join(known) or 'none recorded'}")
    return int(known.index(name))


def _merge_plans(datasets: Sequence[minari.MinariDataset]) -> JsonObject | None:
    """Return the common part of the plans with all demonstrators and strategies."""
    known = [plan for plan in map(_known_plan, datasets) if plan is not None]
    for key in ("env_id", "env_kwargs"):
        values = [plan.get(key) for plan in known]
        if any(value != values[0] for value in values):
            raise ValueError(f"the datasets differ in {key}: {values}; expected equal ones")
    if not known:
        return None
    joined = {key: value for key, value in known[0].items() if all(plan.get(key) == value for plan in known)}
    if not all(is_collected(dataset.storage.metadata) for dataset in datasets):
        joined[WITH_OTHERS] = True
    for names in PLAN_KEYS.values():
        joined[names] = list(dict.fromkeys(name for plan in known for name in plan.get(names, [])))
    return joined


def _check_compatible(first: minari.MinariDataset, other: minari.MinariDataset) -> None:
    """Check that numbers of equal spaces have equal meanings.

    Raises:
        ValueError: The rates or features differ, where both are known.
    """
    rates = rate_of(first), rate_of(other)
    if None not in rates and rates[0] != rates[1]:
        raise ValueError(
            f"{first.id} has {rates[0]:g} steps per second and {other.id} has {rates[1]:g}; expected equal "
            "rates: resample one of them first"
        )
    schemas = [dataset.storage.read_raw_metadata(dataset.storage.data_path).get(SCHEMA) for dataset in (first, other)]
    if None not in schemas and schemas[0].get("columns") != schemas[1].get("columns"):
        raise ValueError(f"{first.id} and {other.id} differ in their features; expected equal ones")


def _known_plan(dataset: minari.MinariDataset) -> JsonObject | None:
    """Return the plan, or its environment alone; None if the dataset records neither."""
    try:
        return plan_of(dataset)
    except ValueError:
        return None


def _check_disjoint(datasets: Sequence[minari.MinariDataset]) -> None:
    """Check that no episode is in two datasets."""
    seen: dict[str, int] = {}
    for number, dataset in enumerate(datasets):
        with open_data(dataset.storage.data_path / DATA_FILE) as file:
            for index in dataset.episode_indices:
                # Within one dataset, episodes may be equal.
                first = seen.setdefault(digest_of(file[f"episode_{index}"]), number)
                if first != number:
                    raise ValueError(
                        f"episode {index} of {dataset.id} is also in {datasets[first].id}; expected different "
                        "episodes"
                    )


def _append(writer: DatasetWriter, dataset: minari.MinariDataset, plan: JsonObject | None) -> None:
    """Add the episodes of a dataset; renumber demonstrators and strategies as in the merged plan."""
    own = _plan(dataset)
    numbers = {
        info: [plan[names].index(name) for name in own.get(names, [])]
        for info, names in PLAN_KEYS.items()
        if plan is not None and own is not None
    }
    first = writer.episodes
    writer.copy(dataset.storage.data_path / DATA_FILE, map(int, dataset.episode_indices))
    if all(numbering == list(range(len(numbering))) for numbering in numbers.values()):
        return
    with h5py.File(writer.data_file, "a") as file:
        for index in range(first, writer.episodes):
            episode = file[f"episode_{index}"]
            for name, numbering in numbers.items():
                if f"infos/{name}" in episode:
                    info = episode[f"infos/{name}"]
                    info[...] = np.asarray(numbering)[info[()]]
            episode.attrs[DIGEST] = episode_digest(episode)
