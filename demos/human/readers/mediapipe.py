"""Dumps of MediaPipe's results as JSON: Tasks and legacy solutions, Python and JavaScript, hands and holistic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from demos.human.readers.reader import ReadOptions, Recording
from demos.human.track import HANDS, MAX_FRAMES, POINTS, Floats, Hand, HandTrack, make_track

MAX_HANDS = 20
"""Most hands of a frame."""
LISTS = ("hand_landmarks", "handLandmarks", "landmarks", "multi_hand_landmarks", "multiHandLandmarks")
"""Names of the list of hands in images."""
WORLD_LISTS = (
    "hand_world_landmarks", "handWorldLandmarks", "world_landmarks", "worldLandmarks",
    "multi_hand_world_landmarks", "multiHandWorldLandmarks", "left_hand_world_landmarks",
    "right_hand_world_landmarks", "leftHandWorldLandmarks", "rightHandWorldLandmarks",
)  # fmt: skip
"""Names of the points in meters. Their origin is the center of the hand, so they hold no path."""
LABELS = ("handedness", "handednesses", "multi_handedness", "multiHandedness")
HOLISTIC = {hand: (f"{hand}_hand_landmarks", f"{hand}HandLandmarks", f"{hand}_hand", f"{hand}Hand") for hand in HANDS}
"""Names of the points of one hand."""
SECONDS = {"timestamp": 1.0, "time": 1.0, "timestamp_s": 1.0, "timestamp_ms": 1e-3, "timestampMs": 1e-3,
           "timestamp_us": 1e-6}  # fmt: skip
"""Names of the time of a frame, and their unit in seconds."""


class MediaPipeReader:
    """JSON list of MediaPipe's results, one for each frame, or an object with ``frames``, ``fps``, ``width``..."""

    name = "MediaPipe JSON"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        known = {*LISTS, *WORLD_LISTS, *HOLISTIC["left"], *HOLISTIC["right"]}
        return any(isinstance(frame, dict) and known & set(frame) for frame in _frames(recording.json)[:1000])

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        content = recording.json
        frames = _frames(content)
        header = content if isinstance(content, dict) else {}
        if not 2 <= len(frames) <= MAX_FRAMES:
            recording.fail("", f"{len(frames)} frames; expected 2 to {MAX_FRAMES:,}")
        points = {hand: np.full((len(frames), POINTS, 3), np.nan) for hand in HANDS}
        certain = {hand: np.zeros(len(frames)) for hand in HANDS}
        times = np.full(len(frames), np.nan)
        for index, frame in enumerate(frames):
            if not isinstance(frame, dict):
                recording.fail(f"frame {index}", f"{type(frame).__name__}; expected an object")
            with recording.checking(f"frame {index}"):
                times[index] = _time(frame)
                for side, score, landmarks in _hands(frame, options.hand):
                    if score > certain[side][index]:
                        points[side][index] = landmarks
                        certain[side][index] = score
        if not any(scores.any() for scores in certain.values()):
            recording.fail("", _nothing_found(frames))
        fps = _positive(header.get("fps"))
        timed = bool(np.isfinite(times).all()) and options.fps is None
        seconds = times - times[0] if timed else options.frame_times(len(frames), fps)
        size = options.image_size
        if size is None and (width := _positive(header.get("width"))) and (height := _positive(header.get("height"))):
            size = (int(width), int(height))
        if size is None:
            recording.fail("", "normalized coordinates; give the size of the images (--image-size 1280x720)")
        note = "" if timed else options.rate_note(fps)
        result = []
        for hand in HANDS:
            if certain[hand].any():
                # z has the scale of x.
                pixels = points[hand] * np.array([size[0], size[1], size[0]], dtype=np.float64)
                with recording.checking(f"{hand} hand"):
                    result.append(
                        make_track(
                            seconds,
                            pixels,
                            "image",
                            hand,
                            confidence=certain[hand],
                            image_size=size,
                            source=f"MediaPipe{note}",
                        )
                    )
        return result


def _nothing_found(frames: list[dict[str, Any]]) -> str:
    """Return why a recording has no hand in its images."""
    if any(_first(frame, LISTS) for frame in frames):
        return "only hands with the score 0; expected scores up to 1: remove them if they have no meaning"
    world = next((name for frame in frames for name in WORLD_LISTS if frame.get(name)), None)
    if world is None:
        return "no hand in any frame"
    return (
        f"only {world}, whose origin is the center of the hand: they hold no path of the hand. Record the "
        f"landmarks in the image as well, such as {LISTS[0]}"
    )


def _frames(content: Any) -> list[Any]:
    frames = content.get("frames", content.get("results")) if isinstance(content, dict) else content
    return frames if isinstance(frames, list) else []


def _positive(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < 1e6 else None  # type: ignore[operator,arg-type]


def _time(frame: dict[str, Any]) -> float:
    for name, unit in SECONDS.items():
        value = frame.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value) * unit
    return math.nan


def _first(frame: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((frame[name] for name in names if frame.get(name)), None)


def _hands(frame: dict[str, Any], default: Hand | None) -> Iterator[tuple[Hand, float, Floats]]:
    """Yield hand, score and points of each hand of a frame."""
    for hand in HANDS:
        landmarks = _first(frame, HOLISTIC[hand])
        if landmarks is not None:
            yield hand, 1.0, _landmarks(landmarks, f"{hand} hand")
    hands, labels = _first(frame, LISTS), _first(frame, LABELS)
    if hands is None:
        return
    if not isinstance(hands, list) or len(hands) > MAX_HANDS:
        raise ValueError(f"hands: expected a list of at most {MAX_HANDS}")
    for index, landmarks in enumerate(hands):
        side, score = _label(labels, index)
        side = side or default
        if side is None:
            raise ValueError(f"hand {index} has no handedness; give it (--hand right)")
        yield side, score, _landmarks(landmarks, f"hand {index}")


def _label(labels: Any, index: int) -> tuple[Hand | None, float]:
    """Return hand and score of the entry of a list of labels."""
    entry = labels[index] if isinstance(labels, list) and index < len(labels) else None
    if isinstance(entry, dict) and isinstance(entry.get("classification"), list):
        entry = entry["classification"]
    if isinstance(entry, dict) and isinstance(entry.get("categories"), list):
        entry = entry["categories"]
    if isinstance(entry, list) and entry:
        entry = entry[0]
    if isinstance(entry, str):
        entry = {"label": entry}
    if not isinstance(entry, dict):
        return None, 1.0
    name = str(_first(entry, ("category_name", "categoryName", "label", "display_name", "displayName")) or "").lower()
    return next((hand for hand in HANDS if hand == name), None), _score(entry.get("score"))


def _score(value: object) -> float:
    """Return a score in [0, 1]; 1 if it is missing."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
        return 1.0
    return min(max(float(value), 0.0), 1.0)


def _landmarks(value: Any, what: str) -> Floats:
    """Return the points of one hand, shape (21, 3), as a fraction of width, height and width.

    Raises:
        ValueError: They are invalid.
    """
    if isinstance(value, dict):
        value = value.get("landmark", value.get("landmarks"))
    if not isinstance(value, list) or len(value) != POINTS:
        raise ValueError(f"{what} has {len(value) if isinstance(value, list) else 'no'} points; expected {POINTS}")
    rows = []
    for number, point in enumerate(value):
        row = [point.get(axis, 0.0) for axis in "xyz"] if isinstance(point, dict) else point
        if (
            not isinstance(row, list)
            or len(row) not in (2, 3)
            or not all(
                isinstance(part, (int, float)) and not isinstance(part, bool) and abs(part) < 1e9 for part in row
            )
        ):
            raise ValueError(f"{what} point {number} is {str(point)[:60]}; expected x, y and z")
        rows.append([*row, 0.0][:3])
    return np.array(rows, dtype=np.float64)
