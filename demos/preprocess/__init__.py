"""Preprocessing: each step makes of a dataset another one, and is recorded in its metadata."""

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
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.relabel import Relabel
from demos.preprocess.resample import Resample
from demos.preprocess.schema import schema_of
from demos.preprocess.smooth import Smooth
from demos.preprocess.states_to_obs import StatesToObs

PREPROCESSORS: dict[str, type[Preprocessor]] = {
    kind.name: kind for kind in (CutIdle, Resample, Smooth, Relabel, Features, StatesToObs)
}
"""Every step by its name. A new one is a file here and a line in this table."""

__all__ = [
    "PREPROCESSORS",
    "CutIdle",
    "EpisodeTransform",
    "Features",
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
    """Does steps one after the other to every episode and writes what comes out.

    Args:
        dataset: Any dataset that says what the steps need to know.
        steps: What to do, in order.
        dataset_id: Name of the new one.
        root: The folder of all datasets; by default Minari's own.
        overwrite: Replace a dataset of that name.
        progress: Show a bar.

    Returns:
        The new dataset. Its history (``demos.datasets.metadata.history_of``) lists the steps with their settings.

    Raises:
        ValueError: No step, one that cannot work on this dataset, or no episode is left.
        FileExistsError: There is a dataset of that name.
    """
    if not steps:
        raise ValueError(f"no step is given; expected some of {', '.join(PREPROCESSORS)}")
    if dataset_id == dataset.id and overwrite:
        raise ValueError(f"{dataset_id} cannot replace what it is made of: give another id")
    schema = schema_of(dataset)
    with ExitStack() as stack:
        running: list[EpisodeTransform] = []
        for step in steps:
            running.append(step.begin(schema))
            stack.callback(running[-1].close)
            schema = running[-1].schema
        metadata: dict[str, Any] = {}
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
                made = _through(running, episode)
                if made is not None:
                    writer.add(made)
            told = [{**_settings(step), **one.notes()} for step, one in zip(steps, running, strict=True)]
            metadata |= {**derived_metadata(dataset), **schema.metadata()}
            metadata[HISTORY] = [*metadata[HISTORY][:-1], *({**settings, "of": dataset.id} for settings in told)]
    return load(dataset_id, root)


def _through(running: Sequence[EpisodeTransform], episode: Episode) -> Episode | None:
    result: Episode | None = episode
    for one in running:
        if result is None:
            return None
        result = one.apply(result)
    return result


def _settings(step: Preprocessor) -> dict[str, Any]:
    """A step with its settings, as the history records it."""
    return {"step": step.name, "replays": step.executes, "executes": step.executes, **asdict(cast(Any, step))}
