"""Files of a LeRobot dataset, and the names of its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demos.formats.spaces import flat_names, is_image, leaf_spaces

VERSION = "v3.0"
INFO, STATS, TASKS_FILE = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE}.mp4"
EPISODES_PATH = f"meta/episodes/{FILE}.parquet"
PROVENANCE, REST = "meta/lam_envs/provenance.json", "meta/lam_envs/episodes.parquet"
LARGEST_MB = {"data_files_size_in_mb": 100, "video_files_size_in_mb": 200}
"""Size of a file after which another begins."""
SMALLEST_VIDEO = 16
"""Pixels; smaller pictures are arrays."""
STATE, IMAGES = "observation.state", "observation.images"
WHOLE = ("observation", "state")
"""Entries of dict observations that are LeRobot's state."""
MOST_AXES = 5
"""Of an array in LeRobot."""
DEFAULTS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64",
            "task_index": "int64"}  # fmt: skip
"""Columns that every dataset has."""
STEPWISE = {"next.reward": "rewards", "next.terminated": "terminations", "next.truncated": "truncations"}
"""Columns of parts of an episode."""


@dataclass(frozen=True)
class Layout:
    """Which column or film holds which array.

    Attributes:
        observations: Names in LeRobot by the way within an observation.
        films: Those of them that are films.
        infos: The same of infos.
    """

    observations: dict[str, str]
    films: tuple[str, ...]
    infos: dict[str, str]


def layout_of(observation_space: Any, infos: Any) -> Layout:
    """Return the names of the columns and videos that hold a dataset.

    Args:
        observation_space: Observation space of the dataset.
        infos: Paths of its infos.

    Raises:
        ValueError: Two observations would get the same name.
    """
    parts = leaf_spaces(observation_space)
    films = [entry for entry, space in parts.items() if is_image(space) and min(space.shape[:2]) >= SMALLEST_VIDEO]
    others = [entry for entry in parts if entry not in films]
    state = next((entry for entry in (*WHOLE, "") if entry in others), others[0] if len(others) == 1 else None)
    flat = flat_names(parts, ".")
    names = {
        entry: f"{IMAGES}.{flat[entry] or 'camera'}" if entry in films else f"observation.{flat[entry]}"
        for entry in parts
    }
    names.update({} if state is None else {state: STATE})
    if len(set(names.values())) != len(names):
        raise ValueError(f"two entries of the observations would have the same name in LeRobot: {names}")
    told = {entry: f"info.{name}" for entry, name in flat_names(infos, ".").items()}
    return Layout(names, tuple(films), told)
