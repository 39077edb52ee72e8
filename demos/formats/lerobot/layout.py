"""Layout of a LeRobot dataset: files, and names of features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from demos.formats.spaces import flat_names, is_image, leaf_spaces
from demos.runtime.types import Space

VERSION = "v3.0"
INFO, STATS, TASKS_FILE = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE}.mp4"
EPISODES_PATH = f"meta/episodes/{FILE}.parquet"
PROVENANCE, EXTRAS = "meta/lam_envs/provenance.json", "meta/lam_envs/episodes.parquet"
MAX_FILE_MB = {"data_files_size_in_mb": 100, "video_files_size_in_mb": 200}
"""Size of a file after which the next one begins, MB."""
SMALLEST_VIDEO = 16
"""Smallest height and width of a video, pixels; smaller images are arrays."""
STATE, IMAGES = "observation.state", "observation.images"
WHOLE = ("observation", "state")
"""Keys of dict observations that become ``observation.state``."""
MAX_AXES = 5
"""Largest number of axes of an array in LeRobot."""
DEFAULTS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64",
            "task_index": "int64"}  # fmt: skip
"""Columns that every dataset has."""
STEPWISE = {"next.reward": "rewards", "next.terminated": "terminations", "next.truncated": "truncations"}
"""Columns of the arrays with one value for each step."""
END_FLAGS = {"next.done": "done", "next.terminated": "terminated", "next.truncated": "truncated"}
"""Flags of the end of an episode by name of the column; datasets of LeRobot itself have only ``next.done``."""


@dataclass(frozen=True)
class Layout:
    """Names of the columns and videos that hold the arrays of an episode.

    Attributes:
        observations: Names by path within an observation.
        videos: Paths of the observations that are videos.
        infos: Names by path within the infos.
    """

    observations: dict[str, str]
    videos: tuple[str, ...]
    infos: dict[str, str]


def layout_of(observation_space: Space, infos: Iterable[str]) -> Layout:
    """Return the names of the columns and videos that hold a dataset.

    Args:
        observation_space: Observation space of the dataset.
        infos: Paths of its infos.

    Raises:
        ValueError: Two observations would get the same name.
    """
    parts = leaf_spaces(observation_space)
    videos = [entry for entry, space in parts.items() if is_image(space) and min(space.shape[:2]) >= SMALLEST_VIDEO]
    others = [entry for entry in parts if entry not in videos]
    state = next((entry for entry in (*WHOLE, "") if entry in others), others[0] if len(others) == 1 else None)
    flat = flat_names(parts, ".")
    names = {
        entry: f"{IMAGES}.{flat[entry] or 'camera'}" if entry in videos else f"observation.{flat[entry]}"
        for entry in parts
    }
    names.update({} if state is None else {state: STATE})
    if len(set(names.values())) != len(names):
        raise ValueError(
            f"two parts of the observations would have the same name in LeRobot: {names}; rename one of them"
        )
    info_names = {entry: f"info.{name}" for entry, name in flat_names(infos, ".").items()}
    return Layout(names, tuple(videos), info_names)
