"""Page that plays a recording of a person beside an episode of the robot that imitates it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import minari
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from demos.collection.video import Frame, state_frames
from demos.datasets.episode import KEPT_DEVIATION, PATH_DISTANCE, STATE
from demos.datasets.reading import episodes_of
from demos.human.calibration.camera import frame_of_up
from demos.human.events import Events
from demos.human.signals import runs
from demos.human.track import Floats, HandTrack
from demos.human.video import VideoFrame
from demos.report.positions import own_env
from demos.runtime.files import write_atomically
from demos.runtime.types import Array, JsonObject

MAX_FRAMES = 240
"""Most frames of the recording on a page."""
SIZE = 384
"""Width and height of the robot's images, pixels."""
STRIDE = 2
"""Steps of the robot from one image to the next."""
VIDEO_WIDTH = 480
"""Largest width of the person's images, pixels."""
EVENT_METHODS = {
    "object": "from the motion of the object",
    "aperture": "from thumb and index finger",
    "given": "given by you",
    "none": "none found",
}
"""Text on the page for each method by which events are found."""
EXTENT = 1000
"""Width and height of the drawing of a hand."""


def write_recording_page(
    track: HandTrack,
    events: Events,
    dataset: minari.MinariDataset,
    path: str | Path,
    *,
    video: Iterable[VideoFrame] | None = None,
) -> Path:
    """Write an HTML page without external resources: the recording left, the robot's first episode right.

    Both play between the same events: the start, the grasp, the release and the end.

    Args:
        track: The recording.
        events: Its grasp and release.
        dataset: Dataset of :func:`demos.collect` that imitates the recording.
        path: HTML file to write.
        video: Frames of the video that the track is from, with times as in the track; without them the page draws
            the hand.

    Returns:
        The path.

    Raises:
        ValueError: The dataset has no states.
    """
    episode = next(episodes_of(dataset, dataset.episode_indices[:1]))
    if STATE not in episode.infos:
        raise ValueError(f"dataset {dataset.id} holds no states; expected one that demos human adapt recorded")
    env = own_env(dataset, obs="state", render_mode="rgb_array", render_width=SIZE, render_height=SIZE)
    try:
        robot = [_jpeg(frame) for frame in state_frames(env, episode.infos[STATE][::STRIDE])]
    finally:
        env.close()
    step = max(-(-len(track.times) // MAX_FRAMES), 1)
    content: JsonObject = {
        "times": np.round(track.times[::step] - track.times[0], 3).tolist(),
        "hands": _drawing(track)[::step],
        "person": [] if video is None else _images_at(track.times[::step], video),
        "robot": robot,
        "person_events": [
            0.0,
            *(round(time - float(track.times[0]), 3) for time in (events.grasp, events.release) if time is not None),
            round(float(track.times[-1] - track.times[0]), 3),
        ],
        "robot_events": _robot_events(np.asarray(episode.actions)[::STRIDE], len(robot), events),
        "stride": STRIDE,
        "names": ["start", "grasp", *(["release"] if events.release is not None else []), "end"],
    }
    distance = 1000 * float(np.median(episode.infos[PATH_DISTANCE][1:]))
    facts = {
        "recording": f"{track.source}, {track.hand} hand",
        "events": EVENT_METHODS[events.method],
        "deviation kept": f"{100 * float(episode.infos[KEPT_DEVIATION][-1]):.0f}%",
        "distance from the person's path": f"{distance:.0f} mm (median)",
        "episode": "succeeded" if episode.success else "failed",
    }
    return write_atomically(Path(path), _page(content, dataset.id, facts))


def _images_at(times: Floats, video: Iterable[VideoFrame]) -> list[str]:
    """Return for each of the increasing times the image of the nearest video frame; nothing for an empty video."""
    images: list[str] = []
    last = None
    for frame in video:
        if last is not None:
            # Times before the middle between two frames are nearer to the first one.
            count = int(np.searchsorted(times, (last.time + frame.time) / 2)) - len(images)
            images += [_jpeg(last.image)] * count if count > 0 else []
        last = frame
    return images if last is None else images + [_jpeg(last.image)] * (len(times) - len(images))


def _robot_events(actions: Array, count: int, events: Events) -> list[int]:
    """Return the steps of the robot at the start, the grasp, the release and the end.

    The last number of an action is the opening of the gripper; a control without it has evenly spaced events.
    """
    wanted = 1 if events.release is None else 2
    marks: list[int] = []
    if actions.ndim == 2:
        closed = runs(np.asarray(actions[:, -1] < -0.9))
        if closed:
            first, last = max(closed, key=lambda run: run[1] - run[0])
            marks = [first, last + 1][:wanted]
    if len(marks) < wanted:
        marks = [round(count * (number + 1) / (wanted + 1)) for number in range(wanted)]
    return [0, *(min(mark, count - 1) for mark in marks), count - 1]


def _drawing(track: HandTrack) -> list[list[list[int]] | None]:
    """Return the points of each frame in a square of EXTENT, or None where no point is seen.

    Metric recordings are seen from the side on which they extend most, with z up.
    """
    if track.frame == "image":
        flat = track.points[:, :, :2]
    else:
        points = track.points @ frame_of_up(track.up or (0.0, 0.0, 1.0))[:3, :3].T
        known = points[np.isfinite(points).all(axis=2)]
        axis = int(np.argmax(np.ptp(known[:, :2], axis=0)))
        flat = np.stack([points[:, :, axis], -points[:, :, 2]], axis=2)
    known = flat[np.isfinite(flat).all(axis=2)]
    low = known.min(axis=0)
    scale = 0.9 * EXTENT / max(float(np.ptp(known, axis=0).max()), 1e-9)
    return [_points((frame - low) * scale + 0.05 * EXTENT) for frame in flat]


def _points(frame: Floats) -> list[list[int]] | None:
    if not np.isfinite(frame).any():
        return None
    return [[round(x), round(y)] if np.isfinite(x) else [] for x, y in frame.tolist()]


def _jpeg(frame: Frame) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((VIDEO_WIDTH, VIDEO_WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _page(content: JsonObject, title: str, facts: dict[str, str]) -> str:
    templates = Environment(
        loader=PackageLoader("demos.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    loader = cast(PackageLoader, templates.loader)
    style = loader.get_source(templates, "report.css")[0] + loader.get_source(templates, "recording.css")[0]
    script = loader.get_source(templates, "recording.js")[0]
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)
    )
    # The page may only run and show its own content.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return (
        templates.get_template("recording.html.jinja").render(
            title=title,
            facts=facts,
            policy=policy,
            style=Markup(style),  # noqa: S704  (our own file)
            script=Markup(script),  # noqa: S704
            data=Markup(data),  # noqa: S704  (escaped above)
        )
        + "\n"
    )
