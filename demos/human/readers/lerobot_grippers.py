"""LeRobot datasets whose state or action has the position of a gripper that a person moved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from demos.human.readers.grippers import MAX_EPISODES, gripper_track
from demos.human.readers.reader import MAX_BYTES, ReadOptions, Recording
from demos.human.track import HANDS, MAX_FRAMES, Floats, Hand, HandTrack

LARGEST_WIDTH = 0.2
"""Largest opening of a gripper, meters: larger numbers are no meters."""
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 100.0), (0.0, 255.0), (0.0, 1000.0))
"""Ranges in which robots report the opening without a unit; the first that fits is taken."""
TOLERANCE = 0.1
"""Excess of numbers over their range, as a fraction of it."""
CHANGES = "delta|vel|rel"
"""Pattern of the names of deltas and velocities, which are not positions."""
OPENING = 0.08
"""Opening of a gripper that reports no meters, meters; events depend on its changes alone."""


class Gripper(NamedTuple):
    """Columns of a gripper in a feature."""

    hand: Hand
    position: list[int]
    """Indices of x, y and z."""
    opening: int | None
    """Index of the opening; None if there is none."""


class Opening(NamedTuple):
    """Conversion of the numbers of a gripper to its opening in meters."""

    offset: float
    factor: float
    note: str
    """Words about the conversion for the description of the source."""

    def widths(self, numbers: Floats) -> Floats:
        """Return openings in meters, shape (T,)."""
        return np.asarray(np.maximum(self.offset + self.factor * numbers, 0.0))


def opening_of(numbers: Floats, *, high_is_closed: bool) -> Opening:
    """Return the conversion of a gripper, whose range its numbers show.

    Args:
        numbers: Numbers of all episodes.
        high_is_closed: The gripper is closed where its number is high.

    Raises:
        ValueError: No range fits the numbers.
    """
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        raise ValueError("the gripper has no numbers")
    low, high = float(known.min()), float(known.max())
    if low >= -TOLERANCE * LARGEST_WIDTH and high <= LARGEST_WIDTH:
        return Opening(high, -1.0, ", closed where high") if high_is_closed else Opening(0.0, 1.0, "")
    for start, end in RANGES:
        size = end - start
        if low >= start - TOLERANCE * size and high <= end + TOLERANCE * size:
            closed, factor = (end, -OPENING / size) if high_is_closed else (start, OPENING / size)
            state = "open" if high_is_closed else "closed"
            return Opening(-factor * closed, factor, f", gripper from {start:g} ({state}) to {end:g}")
    listed = ", ".join(f"{start:g} to {end:g}" for start, end in RANGES)
    raise ValueError(
        f"the gripper's numbers go from {low:g} to {high:g}; expected meters up to {LARGEST_WIDTH}, or one of the "
        f"ranges {listed}"
    )


class LeRobotReader:
    """LeRobot dataset whose state or action has the position of a gripper, under names such as x, y, z, gripper."""

    name = "LeRobot gripper"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.is_folder and (recording.path / "meta" / "info.json").is_file()

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        info = Recording(recording.path / "meta" / "info.json").json
        with recording.checking("meta/info.json"):
            if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
                raise ValueError("expected an object with features")
            fps = float(info["fps"])
            column, grippers = _grippers(info["features"], options.hand or "right")
        root = recording.path.resolve()
        files = sorted((root / "data").rglob("*.parquet"))[:MAX_EPISODES]
        episodes: dict[int, list[Floats]] = {}
        for file in files:
            place = file.relative_to(root).as_posix()
            if not file.resolve().is_relative_to(root):
                recording.fail(place, "leads out of the folder")
            for episode, rows in _parquet_rows(recording, place, file, column).items():
                episodes.setdefault(episode, []).append(rows)
        if not episodes:
            recording.fail("data", "no parquet file with frames")
        name = f"LeRobot {column}{', positions assumed' if column.startswith('action') else ''}"
        tracks = []
        for hand, position, index in grippers:
            with recording.checking(column):
                opening = None
                if index is not None:
                    numbers = np.concatenate([rows[:, index] for parts in episodes.values() for rows in parts])
                    opening = opening_of(numbers, high_is_closed=options.high_is_closed)
            for episode, parts in sorted(episodes.items())[:MAX_EPISODES]:
                with recording.checking(f"episode {episode}"):
                    rows = np.concatenate(parts)
                    widths = np.zeros(len(rows)) if opening is None else opening.widths(rows[:, index])
                    times = options.frame_times(len(rows), fps)
                    source = f"{name}, episode {episode}{'' if opening is None else opening.note}"
                    points = rows[:, position] * (options.unit or 1.0)
                    tracks.append(gripper_track(times, points, widths, None, source, hand=hand))
        return tracks


def _grippers(features: dict[str, Any], hand: Hand) -> tuple[str, list[Gripper]]:
    """Return the feature with the positions of grippers, and the gripper of each hand.

    Args:
        features: Features of the dataset.
        hand: Hand of a gripper whose name does not include one.

    Raises:
        ValueError: There is none.
    """
    changes = ""
    for feature in ("observation.state", "action", *sorted(features)):
        names = features.get(feature, {}).get("names") if isinstance(features.get(feature), dict) else None
        if isinstance(names, dict):
            names = next((value for value in names.values() if isinstance(value, list)), None)
        if not isinstance(names, list):
            continue
        plain = [str(name).lower() for name in names]
        matches = [re.fullmatch(r"(|.*[ /._])x", name) for name in plain]
        prefixes = [match[1] for match in matches if match and {f"{match[1]}y", f"{match[1]}z"} <= {*plain}]
        positions = [prefix for prefix in prefixes if not re.search(CHANGES, f"{feature.lower()}.{prefix}")]
        if positions:
            return feature, _by_hand(plain, positions, hand)
        if prefixes:
            changes = changes or f": {feature} has only {prefixes[0]}x, a delta or a velocity"
    raise ValueError(
        f"no feature has the names x, y and z of a gripper's position{changes}; joint angles, deltas and "
        "velocities do not suffice"
    )


def _by_hand(names: list[str], prefixes: list[str], default: Hand) -> list[Gripper]:
    """Return the gripper of each hand in a feature, or a single gripper if the first position names no hand."""
    # Reversed: of several positions of one hand, the first one overwrites the others.
    sides = {hand: prefix for hand in HANDS for prefix in reversed(prefixes) if hand in prefix}
    if prefixes[0] not in sides.values():
        sides = {default: prefixes[0]}
    grippers = []
    for hand, prefix in sides.items():
        position = [names.index(f"{prefix}{axis}") for axis in "xyz"]
        others = [other for other in HANDS if other != hand and hand in prefix]
        openings = [
            index
            for index, name in enumerate(names)
            if index not in position
            and re.search("width|gripper", name)
            and not re.search("|".join([CHANGES, *others]), name)
        ]
        opening = next((i for i in openings if names[i].startswith(prefix)), openings[0] if openings else None)
        grippers.append(Gripper(hand, position, opening))
    return grippers


def _parquet_rows(recording: Recording, place: str, file: Path, column: str) -> dict[int, Floats]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with recording.checking(place, pa.ArrowException, OSError):
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        parquet = pq.ParquetFile(file)
        if parquet.metadata.num_rows > MAX_FRAMES:
            raise ValueError(f"more than {MAX_FRAMES:,} frames")
        table = parquet.read([column, "episode_index"])
        rows = np.array(table[column].to_pylist(), dtype=np.float64)
        episodes = np.array(table["episode_index"].to_pylist(), dtype=np.int64)
    return {int(episode): rows[episodes == episode] for episode in np.unique(episodes)}
