"""Markers of motion capture by name: C3D and TRC files."""

from __future__ import annotations

import importlib.util
import io
import re
import warnings
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from demos.human.readers.reader import ReadOptions, Recording, parse_table
from demos.human.track import MAX_FRAMES, POINT_NAMES, POINTS, Floats, Hand, HandTrack, Vector, make_track

UNITS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "inches": 0.0254, "meters": 1.0, "millimeters": 1e-3}
MAX_MARKERS = 10_000
HAND_MARKERS = {
    "wrist": r"WR|WRI|WRIST|WRA|WRB|WR[IMLU]|WRIST(LAT|MED|IN|OUT|RAD|ULN)|RSP|USP|WRT|WRP|STY?L.*|(RAD|ULN).*STY.*",
    "index_1": r"FIN|FINGER|KNUCKLE|INDEX1|IDX1|INDEXMCP|IDXMCP|(HAND|HND|HAN|PALM)(TOP|BACK|MID|LAT|MED|IN|OUT)?\d?"
    r"|(HM|H|MC|MH|MCP|META|METAC|METACARPAL|KNU)2(D|DIST|H|HEAD)?|2(MC|MCP|MH)",
    "pinky_1": r"PINKY1|PINKYMCP|(HM|H|MC|MH|MCP|META|METAC|METACARPAL|KNU)5(D|DIST|H|HEAD)?|5(MC|MCP|MH)",
    "thumb_tip": r"THUMB|THM|THMB|TH|THU|THUM|THUMBTIP|THMTIP|THTIP|TTIP|TIPTHUMB|THUMB4|THUMB3",
    "index_tip": r"INDEX|IDX|IND|INDX|INDEXTIP|ITIP|IDXTIP|INDTIP|TIPINDEX|(INDEX|POINTER)FINGER(TIP)?|INDEX4|INDEX3",
    "middle_tip": r"MIDDLE|MID|MDL|MIDDLETIP|MIDTIP|MTIP|MIDDLEFINGER(TIP)?",
    "ring_tip": r"RING|RNG|RINGTIP|RTIP|RINGFINGER(TIP)?",
    "pinky_tip": r"PINKY|PNK|PINK|LITTLE|PINKYTIP|PTIP|(LITTLE|PINKY)(FINGER)?(TIP)?",
}
"""Patterns of marker names, without the side, in laboratories' marker sets such as Plug-in Gait."""
OBJECT_WORDS = (
    "box", "object", "cube", "cup", "mug", "bottle", "block", "ball", "crate", "carton", "container", "brick",
    "target", "parcel", "package", "boite", "caisse", "objet", "kiste", "karton", "objekt", "wuerfel", "caja",
    "scatola", "doos",
)  # fmt: skip
"""Words in the names of markers on objects, in the languages of laboratories; longer words may contain them."""
WHOLE_OBJECT_WORDS = ("obj", "can", "tool", "item", "load", "bloc", "balle", "tasse", "glass")
"""Words that must be whole, since others contain them."""
BODY_MARKERS, BODY_HEIGHT = 10, 1.0
"""Fewest markers and smallest extent, meters, of a standing person."""
UP_ASSUMED = ", up not in the file and assumed (--up)"
"""Note on the up direction for the description of the source."""
SAME_BODY = 0.02
"""Largest standard deviation of the distance of two markers of one body, meters."""


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
            screen = _parameter(reader, "POINT:Y_SCREEN")
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
        scale = _unit(recording, unit or "mm", options)
        up = _up(screen) if screen else _up_of_body(positions * scale)
        form = "C3D" if screen else f"C3D{UP_ASSUMED}"
        return _tracks(recording, labels, times, positions, scale, up, form, options)


def _parameter(reader: Any, name: str) -> str:
    parameter = reader.get(name)
    return str(parameter.string_value).strip() if parameter is not None else ""


def _up(axis: str) -> Vector:
    """Return the direction up in the frame from the axis that points up on screens, such as ``+Z``."""
    index = "XYZ".find(axis[-1:].upper() or "Z")
    vector = [0.0, 0.0, 0.0]
    vector[index if index >= 0 else 2] = -1.0 if axis.startswith("-") else 1.0
    return (vector[0], vector[1], vector[2])


def _up_of_body(positions: Floats, default: str = "Z") -> Vector:
    """Return the direction up from the markers of a standing person, the longest direction, or else the default."""
    if positions.shape[1] >= BODY_MARKERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            extents = np.nanmedian(np.nanmax(positions, axis=1) - np.nanmin(positions, axis=1), axis=0)
        order = np.argsort(extents)
        if extents[order[-1]] >= BODY_HEIGHT and extents[order[-1]] >= 1.4 * extents[order[-2]]:
            return _up("XYZ"[int(order[-1])])
    return _up(default)


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
        # The format does not say; OpenSim's files have y up.
        up = _up_of_body(positions * unit, "Y")
        return _tracks(recording, labels, times, positions, unit, up, f"TRC{UP_ASSUMED}", options)


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
    """Return the tracks of the hands that have markers, of each subject."""
    markers = Markers(labels, positions * unit)
    unknown = sorted({*options.markers} - {*POINT_NAMES})
    if unknown:
        recording.fail("markers", f"no hand point {', '.join(unknown)}; expected one of {', '.join(POINT_NAMES)}")
    with recording.checking("markers"):
        named = {point: markers.find(names) for point, names in options.markers.items()}
        objects = (
            markers.objects()
            if options.objects is None
            else {name: markers.find(names) for name, names in options.objects.items()}
        )
    used = {index for indices in objects.values() for index in indices}
    centers = {name: rigid_center(markers.positions[:, indices]) for name, indices in objects.items()}
    found = [
        (hand, subject, points)
        for subject in ([""] if named else markers.subjects)
        for hand, points in (
            {options.hand or "right": named} if named else markers.hands(subject, used, options.hand)
        ).items()
    ]
    result = []
    for hand, subject, chosen in found:
        points = np.full((len(times), POINTS, 3), np.nan)
        for point, indices in chosen.items():
            points[:, POINT_NAMES.index(point)] = rigid_center(markers.positions[:, indices])
        if np.isfinite(points).all(axis=2).any():
            parts = [form, *([f"subject {subject}"] if subject and len(markers.subjects) > 1 else [])]
            parts += [f"{name}={'+'.join(labels[index] for index in indices)}" for name, indices in chosen.items()]
            parts += [f"object {name}={'+'.join(labels[i] for i in indices)}" for name, indices in objects.items()]
            if not objects:
                parts.append(f"no object (--object box=NAME,NAME); {markers.listed}")
            with recording.checking(f"{hand} hand"):
                track = make_track(
                    times, points, "world", cast(Hand, hand), objects=centers, up=up, source=", ".join(parts)
                )
            result.append(track)
    if not result:
        advice = "give the markers of a hand (--marker index_tip=NAME --marker wrist=NAME,NAME --hand right)"
        recording.fail("markers", f"none with the name of a hand's marker; {advice}; {markers.listed}")
    return result


class Markers:
    """Markers by name.

    Args:
        labels: Names, with the subject before a colon if there is one.
        positions: Meters, shape (T, markers, 3).
    """

    def __init__(self, labels: list[str], positions: Floats) -> None:
        self.labels = labels
        self.positions = positions
        self.names = [label.rpartition(":")[2] for label in labels]
        self.subjects = list(dict.fromkeys(label.rpartition(":")[0] for label in labels))
        """Names of the subjects, in their order."""

    @property
    def listed(self) -> str:
        """Names of all markers, for errors."""
        return f"the file has {', '.join(self.labels)[:200]}"

    def find(self, names: Sequence[str]) -> list[int]:
        """Return the indices of markers by their names, with or without the subject.

        Raises:
            ValueError: There is no such marker, or there are several.
        """
        result = []
        for name in names:
            same = [index for index, label in enumerate(self.labels) if label == name]
            same = same or [index for index, short in enumerate(self.names) if short == name]
            if not same:
                raise ValueError(f"no marker {name}; {self.listed}")
            if len(same) > 1:
                raise ValueError(f"several markers {name}: {', '.join(self.labels[index] for index in same)}")
            result += same
        return result

    def objects(self) -> dict[str, list[int]]:
        """Return the markers of each object: those whose names have a word for an object, by bodies."""
        groups: dict[str, list[int]] = {}
        for index, label in enumerate(self.labels):
            word = _object_word(label)
            if word is not None and np.isfinite(self.positions[:, index]).any():
                groups.setdefault(word, []).append(index)
        result: dict[str, list[int]] = {}
        for word, indices in groups.items():
            for number, body in enumerate(_bodies(self.positions, indices), start=1):
                result[word if number == 1 else f"{word} {number}"] = body
        return result

    def hands(self, subject: str, used: set[int], side: str | None) -> dict[str, dict[str, list[int]]]:
        """Return the markers of each hand point of a subject's hands, by their names.

        Args:
            subject: Name of the subject.
            used: Markers that belong to objects.
            side: Side of markers whose names have none; right by default, if no name has one.
        """
        own = [
            index
            for index, label in enumerate(self.labels)
            if index not in used and label.rpartition(":")[0] == subject
        ]
        sides = ("left", "right")
        result = {hand: self._points(own, hand) for hand in sides}
        if not any(result.values()) or (side is not None and not result[side]):
            result[side or "right"] = self._points(own, None)
        return {hand: points for hand, points in result.items() if points}

    def _points(self, indices: list[int], hand: str | None) -> dict[str, list[int]]:
        """Return the markers of each hand point; without a hand, of names that have no side."""
        found: dict[str, list[int]] = {}
        for index in indices:
            point = hand_point(self.names[index], hand)
            if point is not None:
                found.setdefault(point, []).append(index)
        return found


def hand_point(name: str, hand: str | None) -> str | None:
    """Return the hand point of a marker's name; None if it is of another side, or of none."""
    rest = re.sub(r"[^A-Z0-9]", "", name.upper()) if hand is None else _without_side(name, hand)
    if rest is None:
        return None
    for point in POINT_NAMES:
        if point.replace("_", "").upper() == rest:
            return point
    return next((point for point, pattern in HAND_MARKERS.items() if re.fullmatch(pattern, rest)), None)


def _object_word(label: str) -> str | None:
    """Return the word for an object in a marker's name; None if there is none."""
    words: list[str] = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", label)
    for word in map(str.lower, words):
        if word in WHOLE_OBJECT_WORDS:
            return word
        for known in OBJECT_WORDS:
            if known in word:
                return known
    return None


def _bodies(positions: Floats, indices: list[int]) -> list[list[int]]:
    """Return the groups of markers that keep their distances, largest first."""
    bodies: list[list[int]] = []
    for index in indices:
        for body in bodies:
            # With all of them: the distance to a single one may be the same by chance.
            if all(_same_body(positions[:, index] - positions[:, other]) for other in body):
                body.append(index)
                break
        else:
            bodies.append([index])
    return sorted(bodies, key=len, reverse=True)


def _same_body(difference: Floats) -> bool:
    distances = np.linalg.norm(difference, axis=1)
    distances = distances[np.isfinite(distances)]
    return len(distances) < 2 or float(distances.std()) <= SAME_BODY


def _without_side(label: str, hand: str) -> str | None:
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
