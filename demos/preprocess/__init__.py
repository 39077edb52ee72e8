"""Preprocessing: steps that transform the episodes of a dataset into a new dataset, which records them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import minari
from rich.progress import track

from demos.datasets.episode import Episode
from demos.datasets.loading import load
from demos.datasets.metadata import HISTORY, stores_jpeg
from demos.datasets.reading import episodes_of
from demos.datasets.writing import dataset_writer, derived_metadata
from demos.preprocess.features import Features
from demos.preprocess.idle import CutIdle
from demos.preprocess.interventions import Interventions
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.relabel import Relabel
from demos.preprocess.resample import Resample
from demos.preprocess.schema import schema_of
from demos.preprocess.smooth import Smooth
from demos.preprocess.states_to_obs import StatesToObs
from demos.runtime.types import JsonObject, Metadata

PREPROCESSORS: dict[str, type[Preprocessor]] = {
    kind.name: kind for kind in (CutIdle, Resample, Smooth, Relabel, Features, StatesToObs, Interventions)
}
"""Preprocessing steps by name. Add a new one as a file here and a line in this table."""

__all__ = [
    "PREPROCESSORS",
    "CutIdle",
    "EpisodeTransform",
    "Features",
    "Interventions",
    "Preprocessor",
    "Relabel",
    "Resample",
    "Smooth",
    "StatesToObs",
    "preprocess",
]


def preprocess(
    dataset: minari.MinariDataset,
    steps: Sequence[Preprocessor],
    dataset_id: str,
    *,
    root: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Apply preprocessing steps to every episode and write a new dataset.

    Images that are stored as JPEG are decoded and encoded again, which changes their pixels a little.

    Args:
        dataset: Minari dataset that records what the steps need.
        steps: Steps in their order.
        dataset_id: Id of the new dataset.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace a dataset of that id.
        progress: Show a progress bar.

    Returns:
        The new dataset. Its history (``demos.datasets.metadata.history_of``) lists the steps with their settings.

    Raises:
        ValueError: There is no step, a step cannot process this dataset, or no episode is left.
        FileExistsError: A dataset of that id exists.
    """
    if not steps:
        raise ValueError(f"no preprocessing steps; expected one or more of {', '.join(PREPROCESSORS)}")
    if dataset_id == dataset.id and overwrite:
        raise ValueError(f"{dataset_id} cannot replace its own source; choose another id")
    schema = schema_of(dataset)
    with ExitStack() as stack:
        transforms: list[EpisodeTransform] = []
        for step in steps:
            transforms.append(step.make_transform(schema))
            stack.callback(transforms[-1].close)
            schema = transforms[-1].schema
        metadata: Metadata = {}
        with dataset_writer(
            dataset_id,
            schema.observation_space,
            schema.action_space,
            schema.env_spec,
            metadata,
            root=root,
            jpeg=stores_jpeg(dataset),
            overwrite=overwrite,
        ) as writer:
            episodes = track(
                episodes_of(dataset), "preprocessing", total=dataset.total_episodes, disable=not progress
            )
            for episode in episodes:
                transformed = _apply_all(transforms, episode)
                if transformed is not None:
                    writer.add(transformed)
            records = [
                {**_settings(step), **transform.notes()} for step, transform in zip(steps, transforms, strict=True)
            ]
            metadata |= {**derived_metadata(dataset), **schema.metadata()}
            metadata[HISTORY] = [*metadata[HISTORY][:-1], *({**record, "of": dataset.id} for record in records)]
    return load(dataset_id, root)


def _apply_all(transforms: Sequence[EpisodeTransform], episode: Episode) -> Episode | None:
    result: Episode | None = episode
    for transform in transforms:
        if result is None:
            return None
        result = transform.apply(result)
    return result


def _settings(step: Preprocessor) -> JsonObject:
    """Return a step with its settings, as recorded in the history."""
    return {"step": step.name, "replays": step.executes, "executes": step.executes, **asdict(cast(Any, step))}
