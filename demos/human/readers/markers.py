"""Markers of motion capture by name: C3D and TRC files."""

from __future__ import annotations

import importlib.util
import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from demos.human.readers.reader import ReadOptions, Recording, parse_table
from demos.human.track import MAX_FRAMES, POINT_NAMES, POINTS, Floats, Hand, HandTrack, Vector, make_track

UNITS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "inches": 0.0254, "meters": 1.0, "millimeters": 1e-3}
MAX_MARKERS = 10_000
HAND_MARKERS = {
    "wrist": r"WR|WRI|WRIST|WRA|WRB|WRIST(LAT|MED|IN|OUT)|RSP|USP|WRT|WRP|STYLOID.*",
    "index_1": r"FIN|FINGER|HM2|H2|MC2|(HAND|HND|HAN|PALM)(TOP|BACK|MID|LAT|MED|IN|OUT)?\d?|KNUCKLE|INDEX1|IDX1",
    "pinky_1": r"HM5|H5|MC5|PINKY1",
    "thumb_tip": r"THUMB|THM|THMB|THUMBTIP|THTIP|TTIP|THUMB4|THUMB3",
    "index_tip": r"INDEX|IDX|INDEXTIP|ITIP|IDXTIP|INDEX4|INDEX3",
    "middle_tip": r"MIDDLE|MID|MIDDLETIP|MTIP",
    "ring_tip": r"RING|RINGTIP|RTIP",
    "pinky_tip": r"PINKY|LITTLE|PINKYTIP|PTIP",
}
"""Patterns of marker names, without the side, in laboratories' marker sets such as Plug-in Gait."""
OBJECT = re.compile(
    r"(box|obj|object|cube|cup|mug|bottle|block|ball|can|tool|target|crate|carton|container|item|load|brick)", re.I
)
"""Words in the names of markers on objects."""


class C3dReader:
    """C3D file. The library c3d reads it: it is written in Python, so that damaged files cannot harm the process."""

    name = "C3D markers"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        # The first byte points to the parameters, the second is the format's key.
        return len(recording.head) > 512 and recording.head[1] == 0x50 and 2 <= recording.head[0] <= 64

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        if importlib.util.find_spec("c3d") is None:
            raise ModuleNotFoundError("C3D files need additional packages: pip install 'lam-envs[human]'", name="c3d")
        import c3d

        frames: list[Floats] = []
        with (
            recording.checking(
                "C3D", OSError, AssertionError, AttributeError, ArithmeticError, MemoryError, Exception
            ),
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("ignore")
            reader = c3d.Reader(io.BytesIO(recording.content))
            labels = [str(label).strip() for label in reader.point_labels]
            rate = float(reader.point_rate)
            unit = _parameter(reader, "POINT:UNITS").lower()
            up = _up(_parameter(reader, "POINT:Y_SCREEN"))
            expected = int(reader.frame_count)
            if not 2 <= expected <= MAX_FRAMES or len(labels) > MAX_MARKERS or expected * len(labels) > 50_000_000:
                raise ValueError(f"{expected} frames of {len(labels)} markers; expected 2 to {MAX_FRAMES:,} frames")
            for _, points, _ in reader.read_frames(copy=True):
                values = np.array(points[:, :3], dtype=np.float64)
                # A negative residual means that the marker was not seen.
                values[(points[:, 3] < 0) | ~np.isfinite(values).all(axis=1)] = np.nan
                frames.append(values)
            if len(frames) != expected or len({len(frame) for frame in frames}) != 1:
                raise ValueError(f"{len(frames)} frames are in the file; its header has {expected}")
        positions = np.stack(frames)[:, : len(labels)]
        if positions.shape[1] != len(labels) or not 1e-3 <= rate <= 1e5:
            recording.fail("C3D", f"{positions.shape[1]} markers at {rate} Hz, and {len(labels)} labels")
        times = options.frame_times(len(positions), rate)
        return _tracks(
            recording, labels, times, positions, _unit(recording, unit or "mm", options), up, "C3D", options
        )


def _parameter(reader: Any, name: str) -> str:
    parameter = reader.get(name)
    return str(parameter.string_value).strip() if parameter is not None else ""


def _up(axis: str) -> Vector:
    """Return the direction up in the frame from the axis that points up on screens, such as ``+Z``."""
    index = "XYZ".find(axis[-1:].upper() or "Z")
    vector = [0.0, 0.0, 0.0]
    vector[index if index >= 0 else 2] = -1.0 if axis.startswith("-") else 1.0
    return (vector[0], vector[1], vector[2])


class TrcReader:
    """TRC file: tab-separated text, as of OpenSim and Motion Analysis."""

    name = "TRC markers"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.head.startswith(b"PathFileType")

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        lines = recording.text.splitlines()
        if len(lines) < 7:
            recording.fail(f"line {len(lines)}", "the header is incomplete")
        with recording.checking("line 3"):
            header = dict(zip(lines[1].split(), lines[2].split(), strict=False))
            rate, count, frames = float(header["DataRate"]), int(header["NumMarkers"]), int(header["NumFrames"])
            if not 1e-3 <= rate <= 1e5 or not 1 <= count <= MAX_MARKERS:
                raise ValueError(f"{count} markers at {rate} Hz")
        labels = [name.strip() for name in lines[3].split("\t")[2:] if name.strip()]
        if len(labels) != count:
            recording.fail("line 4", f"{len(labels)} marker names; line 3 has {count}")
        table = parse_table(recording, lines[5:], 6, lambda line: line.split("\t"), 2 + 3 * count)
        if len(table) != frames:
            recording.fail("line 3", f"{frames} frames; the file has {len(table)}")
        times = table[:, 1] - table[0, 1] if options.fps is None else options.frame_times(len(table))
        positions = table[:, 2:].reshape(len(table), count, 3)
        unit = _unit(recording, header.get("Units", "mm").lower(), options)
        return _tracks(recording, labels, times, positions, unit, (0.0, 1.0, 0.0), "TRC", options)


def _unit(recording: Recording, name: str, options: ReadOptions) -> float:
    if options.unit is not None:
        return options.unit
    if name not in UNITS:
        recording.fail("units", f"unknown unit {name[:20]!r}; give its length in meters (--unit 0.001)")
    return UNITS[name]


def _tracks(
    recording: Recording,
    labels: list[str],
    times: Floats,
    positions: Floats,
    unit: float,
    up: Vector,
    form: str,
    options: ReadOptions,
) -> list[HandTrack]:
    """Return the tracks of the hands that have markers."""
    labels = [label.rpartition(":")[2] for label in labels]
    positions = positions * unit
    named = {point: names for point, names in options.markers.items() if point in POINT_NAMES}
    unknown = sorted({*options.markers} - {*POINT_NAMES})
    listed = sorted({name for names in named.values() for name in names} - {*labels})
    if unknown or listed:
        recording.fail("markers", f"no hand point or marker {', '.join(unknown + listed)}; {_names(labels)}")
    objects = {
        name: rigid_center(positions[:, [labels.index(marker) for marker in markers]])
        for name, markers in _objects(recording, labels, options).items()
    }
    used = {marker for markers in _objects(recording, labels, options).values() for marker in markers}
    result = []
    hands: tuple[Hand, ...] = ("left", "right")
    for hand in hands:
        if named and options.hand != hand:
            continue
        chosen = named or _hand_markers([label for label in labels if label not in used], hand, options.hand)
        points = np.full((len(times), POINTS, 3), np.nan)
        for point, markers in chosen.items():
            points[:, POINT_NAMES.index(point)] = rigid_center(positions[:, [labels.index(name) for name in markers]])
        if np.isfinite(points).all(axis=2).any():
            note = ", ".join(f"{point}={'+'.join(markers)}" for point, markers in chosen.items())
            with recording.checking(f"{hand} hand"):
                result.append(
                    make_track(times, points, "world", hand, objects=objects, up=up, source=f"{form} {note}")
                )
    if not result:
        advice = "give markers and hand (--marker wrist=NAME --hand right)"
        recording.fail("markers", f"none with the name of a hand's marker; {advice}; {_names(labels)}")
    return result


def _names(labels: list[str]) -> str:
    return f"the file has {', '.join(labels)[:200]}"


def _objects(recording: Recording, labels: list[str], options: ReadOptions) -> dict[str, list[str]]:
    """Return the markers of each object: as given, or those whose names contain the word for an object."""
    if options.objects is not None:
        missing = sorted({marker for markers in options.objects.values() for marker in markers} - {*labels})
        if missing:
            recording.fail("markers", f"no marker {', '.join(missing)}; {_names(labels)}")
        return {name: list(markers) for name, markers in options.objects.items()}
    found: dict[str, list[str]] = {}
    for label in labels:
        word = OBJECT.search(label)
        if word is not None:
            found.setdefault(word[1].lower(), []).append(label)
    return found


def _hand_markers(labels: list[str], hand: Hand, default: str | None) -> dict[str, list[str]]:
    """Return the markers of each hand point, by their names."""
    found: dict[str, list[str]] = {}
    for label in labels:
        rest = _without_side(label, hand)
        if rest is None and default == hand:
            rest = re.sub(r"[^A-Z0-9]", "", label.upper())
        if rest is None:
            continue
        exact = {name.replace("_", "").upper(): name for name in POINT_NAMES}
        point = exact.get(rest) or next(
            (name for name, pattern in HAND_MARKERS.items() if re.fullmatch(pattern, rest)), None
        )
        if point is not None:
            found.setdefault(point, []).append(label)
    return found


def _without_side(label: str, hand: Hand) -> str | None:
    """Return a name in upper case without side and separators; None if it is of another side, or of none."""
    side, letter = hand.upper(), hand[0].upper()
    # Words are separated by other characters, by case (HandR) or by digits.
    words = [word.upper() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", label)]
    if len(words) > 1 and (side in words or letter in words):
        words.remove(side if side in words else letter)
        return "".join(words)
    plain = "".join(words)
    for prefix in (side, letter):
        if plain.startswith(prefix):
            return plain[len(prefix) :]
    return None


def rigid_center(markers: Floats) -> Floats:
    """Return the center of markers on a rigid body, shape (T, 3), also where some of them are missing.

    The pose is the least-squares fit of the visible markers to those of the frame that shows most (Kabsch 1976).

    Args:
        markers: Positions, shape (T, markers, 3), NaN where missing.
    """
    seen = np.asarray(np.isfinite(markers).all(axis=2))
    center = np.full((len(markers), 3), np.nan)
    if not seen.any():
        return center
    template = markers[int(seen.sum(axis=1).argmax())]
    known = np.asarray(np.isfinite(template).all(axis=1))
    middle = template[known].mean(axis=0)
    complete = seen[:, known].all(axis=1)
    center[complete] = markers[complete][:, known].mean(axis=1)
    for frame in np.flatnonzero(~complete & (seen & known).any(axis=1)):
        center[frame] = _fit(template, markers[frame], seen[frame] & known, middle)
    return center


def _fit(template: Floats, markers: Floats, visible: Sequence[bool] | Any, middle: Floats) -> Floats:
    start, end = template[visible], markers[visible]
    rotation = np.eye(3)
    if len(start) >= 3:
        u, _, vt = np.linalg.svd((start - start.mean(axis=0)).T @ (end - end.mean(axis=0)))
        flip = np.sign(np.linalg.det(vt.T @ u.T)) or 1.0
        rotation = vt.T @ np.diag([1.0, 1.0, flip]) @ u.T
    return np.asarray(end.mean(axis=0) + rotation @ (middle - start.mean(axis=0)))
