"""Choose episodes: filter, split, subsample and merge datasets. What is chosen stays as it is, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np

from demos.datasets.checksum import digest_of
from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import QUALITY, STRATEGY, SUCCESS, Episode
from demos.datasets.loading import checked_id, load
from demos.datasets.metadata import (
    FORM,
    HISTORY,
    PLAN,
    WITH_OTHERS,
    history_of,
    is_collected,
    plan_of,
    rate_of,
    stores_jpeg,
)
from demos.datasets.reading import episodes_of
from demos.datasets.writing import Draft, derived_metadata, draft_of

NOTED = {QUALITY: "qualities", STRATEGY: "strategies"}
"""Infos that are numbers of lists in the plan."""


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
    """Keep the episodes that meet every condition.

    Args:
        dataset: Any dataset.
        dataset_id: Name of the new one.
        success: Whether it succeeded at its end.
        min_return: Least sum of rewards.
        max_return: Largest sum of rewards.
        min_length: Fewest steps.
        max_length: Most steps.
        demonstrator: Name of the demonstrator that acted, such as ``noisy``.
        strategy: Name of the strategy that the demonstrator followed, such as ``left``.
        root: The folder of all datasets; by default Minari's own.
        overwrite: Replace a dataset of that name.

    Raises:
        ValueError: No episode meets the conditions, or the dataset does not say what a condition asks for.
        FileExistsError: There is a dataset of that name.
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
    numbers = {
        info: _number(dataset, NOTED[info], name)
        for info, name in ((QUALITY, demonstrator), (STRATEGY, strategy))
        if name is not None
    }

    def is_kept(episode: Episode) -> bool:
        # An episode without the recorded value does not meet the condition.
        return (
            (success is None or episode.success is success)
            and min_return <= episode.total_return <= max_return
            and min_length <= len(episode) <= (len(episode) if max_length is None else max_length)
            and all(info in episode.infos and episode.infos[info][-1] == number for info, number in numbers.items())
        )

    indices = [int(index) for index in dataset.episode_indices]
    chosen = []
    records_success = False
    for index, episode in zip(indices, episodes_of(dataset), strict=True):
        records_success |= episode.success is not None
        if is_kept(episode):
            chosen.append(index)
    if success is not None and not records_success:
        raise ValueError(
            f"the episodes of {dataset.id} do not record success: they have none of the infos "
            f"{', '.join(SUCCESS)}. Filter by --min-return instead"
        )
    asked = {name: value for name, value in conditions.items() if value is not None}
    if not chosen:
        raise ValueError(f"none of the {len(indices)} episodes of {dataset.id} meets {asked}")
    return _chosen(dataset, dataset_id, chosen, {"step": "filter", **asked}, root, overwrite=overwrite)


def subsample(
    dataset: minari.MinariDataset,
    dataset_id: str,
    count: int,
    *,
    seed: int = 0,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> minari.MinariDataset:
    """Keep some episodes, drawn at random: of one seed, fewer are always among more.

    Args:
        dataset: Any dataset.
        dataset_id: Name of the new one.
        count: How many, at most as many as there are.
        seed: Of the draw.
        root: The folder of all datasets; by default Minari's own.
        overwrite: Replace a dataset of that name.

    Raises:
        ValueError: There are fewer episodes.
        FileExistsError: There is a dataset of that name.
    """
    if not 1 <= count <= dataset.total_episodes:
        raise ValueError(f"{count} of {dataset.total_episodes} episodes of {dataset.id} are asked; expected 1 to all")
    chosen = sorted(_shuffled(dataset, seed)[:count])
    step = {"step": "subsample", "count": count, "seed": seed}
    return _chosen(dataset, dataset_id, chosen, step, root, overwrite=overwrite)


def split(
    dataset: minari.MinariDataset,
    parts: Mapping[str, float],
    *,
    seed: int = 0,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, minari.MinariDataset]:
    """Divide a dataset by episode, at random: no episode is in two parts.

    Args:
        dataset: Any dataset.
        parts: Share of the episodes by the name of the part, such as ``{"train": 0.9, "test": 0.1}``; at most 1 in
            all. Each becomes a dataset: of ``lam/x-v0``, ``lam/x-train-v0`` and ``lam/x-test-v0``.
        seed: Of the draw.
        root: The folder of all datasets; by default Minari's own.
        overwrite: Replace datasets of these names.

    Returns:
        The parts by name.

    Raises:
        ValueError: Shares that cannot be, or a part without an episode.
        FileExistsError: There is a dataset of one of these names.
    """
    shares = list(parts.values())
    if not shares or not min(shares) > 0.0 or not sum(shares) <= 1.0 + 1e-9:
        raise ValueError(f"the parts are {dict(parts)}; expected shares above 0 that sum to at most 1")
    shuffled = _shuffled(dataset, seed)
    ends = [round(float(end) * len(shuffled)) for end in np.cumsum(shares)]
    starts = [0, *ends[:-1]]
    stem, _, version = dataset.id.rpartition("-v")
    ids = {name: checked_id(f"{stem}-{name}-v{version}") for name in parts}
    for name, start, end in zip(parts, starts, ends, strict=True):
        if start == end:
            raise ValueError(f"{name} gets none of the {len(shuffled)} episodes of {dataset.id}")
    result = {}
    for name, start, end in zip(parts, starts, ends, strict=True):
        step = {"step": "split", "part": name, "shares": dict(parts), "seed": seed}
        chosen = sorted(shuffled[start:end])
        result[name] = _chosen(dataset, ids[name], chosen, step, root, overwrite=overwrite)
    return result


def merge(
    datasets: Sequence[minari.MinariDataset],
    dataset_id: str,
    *,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> minari.MinariDataset:
    """Join datasets of the same environment.

    Args:
        datasets: At least two, of equal spaces, and of equal environments where they say so.
        dataset_id: Name of the new one.
        root: The folder of all datasets; by default Minari's own.
        overwrite: Replace a dataset of that name.

    Raises:
        ValueError: Fewer than two, other spaces, rates, features or environments, or an episode that is in two of
            them.
        FileExistsError: There is a dataset of that name.
    """
    if len(datasets) < 2:
        raise ValueError(f"{len(datasets)} datasets are to be merged; expected at least 2")
    first = datasets[0]
    for other in datasets[1:]:
        for what in ("observation_space", "action_space"):
            if getattr(first, what) != getattr(other, what):
                raise ValueError(f"{first.id} and {other.id} differ in their {what}: they cannot be merged")
        if stores_jpeg(first) != stores_jpeg(other):
            raise ValueError(f"one of {first.id} and {other.id} stores pictures as JPEG, the other as they are seen")
        _check_alike(first, other)
    plan = _joined_plan(datasets)
    _check_different(datasets)
    metadata = derived_metadata(
        first,
        step="merge",
        replays=all(step.get("replays") for dataset in datasets for step in history_of(dataset)),
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
    # The histories stand with their datasets.
    metadata[HISTORY] = metadata[HISTORY][-1:]
    metadata.pop(PLAN, None)
    if plan is not None:
        metadata[PLAN] = plan
    with_spec = next((dataset for dataset in datasets if dataset.env_spec is not None), first)
    with _like(with_spec, dataset_id, metadata, root, overwrite=overwrite) as draft:
        for dataset in datasets:
            _append(draft, dataset, plan)
    return load(dataset_id, root)


def _chosen(
    dataset: minari.MinariDataset,
    dataset_id: str,
    indices: list[int],
    step: dict[str, Any],
    root: str | Path | None,
    *,
    overwrite: bool,
) -> minari.MinariDataset:
    metadata = derived_metadata(dataset, replays=True, **step)
    with _like(dataset, dataset_id, metadata, root, overwrite=overwrite) as draft:
        draft.copy(dataset.storage.data_path / DATA_FILE, indices)
    return load(dataset_id, root)


def _like(
    dataset: minari.MinariDataset,
    dataset_id: str,
    metadata: dict[str, Any],
    root: str | Path | None,
    *,
    overwrite: bool,
) -> Any:
    if dataset_id == dataset.id and overwrite:
        raise ValueError(f"{dataset_id} cannot replace what it is made of: give another id")
    return draft_of(
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


def _plan(dataset: minari.MinariDataset) -> dict[str, Any] | None:
    plan = dataset.storage.read_raw_metadata(dataset.storage.data_path).get(PLAN)
    return plan if isinstance(plan, dict) else None


def _number(dataset: minari.MinariDataset, names: str, wanted: str) -> int:
    """The number of a quality or strategy among those of a plan."""
    known = (_plan(dataset) or {}).get(names) or []
    if wanted not in known:
        raise ValueError(f"{dataset.id} has no {names[:-3]}y {wanted!r}; it has {', '.join(known) or 'none noted'}")
    return int(known.index(wanted))


def _joined_plan(datasets: Sequence[minari.MinariDataset]) -> dict[str, Any] | None:
    """Return what the plans have in common, with all qualities and strategies; None if none names its environment."""
    known = [plan for plan in map(_known_plan, datasets) if plan is not None]
    for key in ("env_id", "env_kwargs"):
        values = [plan.get(key) for plan in known]
        if any(value != values[0] for value in values):
            raise ValueError(f"the datasets have different {key}: {values}; they cannot be merged")
    if not known:
        return None
    joined = {key: value for key, value in known[0].items() if all(plan.get(key) == value for plan in known)}
    if not all(is_collected(dataset.storage.metadata) for dataset in datasets):
        joined[WITH_OTHERS] = True
    for names in NOTED.values():
        joined[names] = list(dict.fromkeys(name for plan in known for name in plan.get(names, [])))
    return joined


def _check_alike(first: minari.MinariDataset, other: minari.MinariDataset) -> None:
    """Refuse to join episodes of equal spaces whose numbers have different meanings.

    Raises:
        ValueError: The rates or features differ, where both are known.
    """
    rates = rate_of(first), rate_of(other)
    if None not in rates and rates[0] != rates[1]:
        raise ValueError(
            f"the steps per second of {first.id} are {rates[0]:g} and those of {other.id} {rates[1]:g}: they cannot "
            "be merged; resample one of them first"
        )
    forms = [dataset.storage.read_raw_metadata(dataset.storage.data_path).get(FORM) for dataset in (first, other)]
    if None not in forms and forms[0].get("columns") != forms[1].get("columns"):
        raise ValueError(f"{first.id} and {other.id} differ in their features: they cannot be merged")


def _known_plan(dataset: minari.MinariDataset) -> dict[str, Any] | None:
    """Return the plan, or its environment alone; None if the dataset records neither."""
    try:
        return plan_of(dataset)
    except ValueError:
        return None


def _check_different(datasets: Sequence[minari.MinariDataset]) -> None:
    """Refuse to count an episode twice."""
    seen: dict[str, str] = {}
    for dataset in datasets:
        with open_data(dataset.storage.data_path / DATA_FILE) as file:
            for index in dataset.episode_indices:
                digest = digest_of(file[f"episode_{index}"])
                if digest in seen:
                    raise ValueError(
                        f"episode {index} of {dataset.id} is in {seen[digest]} too: it would count twice"
                    )
                seen[digest] = dataset.id


def _append(draft: Draft, dataset: minari.MinariDataset, plan: dict[str, Any] | None) -> None:
    """Add the episodes, their notes renumbered where the plan has other numbers for them."""
    own = _plan(dataset)
    numbers = {
        info: [plan[names].index(name) for name in own.get(names, [])]
        for info, names in NOTED.items()
        if plan is not None and own is not None
    }
    if all(numbering == list(range(len(numbering))) for numbering in numbers.values()):
        draft.copy(dataset.storage.data_path / DATA_FILE, map(int, dataset.episode_indices))
        return
    for episode in episodes_of(dataset):
        infos = {
            name: np.asarray(numbers[name], dtype=values.dtype)[values] if name in numbers else values
            for name, values in episode.infos.items()
        }
        draft.add(replace(episode, infos=infos))
