"""Key points of people in images: OpenPose's folders of JSON, and the three forms of AlphaPose's JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from demos.human.readers.reader import DEFAULT_FPS, ReadOptions, Recording, RecordingError, floats, parse_json
from demos.human.track import HANDS, MAX_FRAMES, POINTS, Floats, Hand, HandTrack, make_track

KEYPOINTS = "_keypoints.json"
"""End of the names of OpenPose's files."""
MAX_PEOPLE = 100
"""Most people of a frame."""
LARGEST_NORMALIZED = 2.0
"""Largest normalized coordinate: hands may reach out of the image."""
MIN_RATE = 2.0
"""Lowest plausible frame rate: frame numbers that imply a lower one are timestamps, such as milliseconds."""
MIN_BELOW_ZERO = 0.1
"""Smallest coordinate below zero that shows the scale -1..1: smaller ones may be points outside of the image."""
LARGEST_STEP = 0.25
"""Largest movement of a person between two frames, as a fraction of the largest image coordinate."""
COCO_17_WRISTS = {"left": 9, "right": 10}
OPENPOSE_WRISTS = {"left": 7, "right": 4}
HAND_STARTS = {136: {"left": 94, "right": 115}, 133: {"left": 91, "right": 112}}
"""First of the 21 points of each hand in Halpe (136 points) and COCO-WholeBody (133)."""


class Person(NamedTuple):
    """Person in one frame."""

    points: dict[Hand, Floats]
    """For each hand the points with their confidence, shape (21, 3): x, y, confidence."""
    center: Floats
    """Mean of the person's points, shape (2,)."""
    lowest: float
    """Smallest coordinate of the hands and the body; NaN if none is seen."""
    highest: float
    identity: object
    """Name of the person in the format; None if it has none."""


@dataclass
class Track:
    """Frames of one person."""

    identity: object
    center: Floats
    frames: dict[int, Person] = field(default_factory=dict)


class OpenPoseReader:
    """OpenPose ``--write_json``: a folder of ``NAME_000000000000_keypoints.json``, one for each frame."""

    name = "OpenPose JSON folder"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.is_folder and any(name.endswith(KEYPOINTS) for name in recording.file_names[:1000])

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        frames: dict[int, list[Person]] = {}
        for name, number in _numbered_files(recording).items():
            path = recording.path / name
            content = Recording(path)
            parsed = parse_json(content.text, path)
            if not isinstance(parsed, dict) or not isinstance(parsed.get("people"), list):
                raise RecordingError(path, "people", "expected a list")
            with content.checking("people"):
                frames[number] = _people(parsed["people"])
        return _tracks(recording, frames, options, "OpenPose")


class AlphaPoseReader:
    """AlphaPose ``--save``: a list of people, or ``--format open`` or ``cmu``: people or bodies by image."""

    name = "AlphaPose JSON"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        content = recording.json
        if isinstance(content, list) and content and isinstance(content[0], dict):
            return "image_id" in content[0] and "keypoints" in content[0]
        if isinstance(content, dict) and content:
            first = next(iter(content.values()))
            return isinstance(first, dict) and ("people" in first or "bodies" in first)
        return False

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        frames: dict[int, list[Person]] = {}
        content = recording.json
        if isinstance(content, list):
            names = sorted({str(entry["image_id"]) for entry in content if _is_entry(entry)}, key=_frame_key)
            numbers = _frame_numbers(names)
            for index, entry in enumerate(content):
                if not _is_entry(entry):
                    recording.fail(f"entry {index}", "expected an object with image_id and keypoints")
                with recording.checking(f"entry {index}"):
                    person = _alphapose_person(entry["keypoints"], entry.get("idx"))
                    frames.setdefault(numbers[str(entry["image_id"])], []).append(person)
        else:
            numbers = _frame_numbers(sorted(content, key=_frame_key))
            for name, frame in content.items():
                if not isinstance(frame, dict):
                    recording.fail(f"image {name}", "expected an object with people or bodies")
                people = frame.get("people", frame.get("bodies"))
                if not isinstance(people, list):
                    recording.fail(f"image {name}", "people: expected a list")
                with recording.checking(f"image {name}"):
                    frames[numbers[name]] = _people(people)
        return _tracks(recording, frames, options, "AlphaPose")


def _numbered_files(recording: Recording) -> dict[str, int]:
    """Return the number of the frame of each file in an OpenPose folder.

    Raises:
        RecordingError: Two files have the same number.
    """
    stems = [name.removesuffix(KEYPOINTS) for name in recording.file_names if name.endswith(KEYPOINTS)]
    stems.sort(key=_frame_key)
    for one, other in pairwise(stems):
        if (number := _number(one)) is not None and number == _number(other):
            recording.fail(
                "",
                f"{one}{KEYPOINTS} and {other}{KEYPOINTS} are both frame {number}; expected the frames of one video: "
                "move those of the other one to another folder",
            )
    return {f"{stem}{KEYPOINTS}": number for stem, number in _frame_numbers(stems).items()}


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and "image_id" in entry and "keypoints" in entry


def _number(name: str) -> int | None:
    """Return the last number in a name, before its suffix; None if there is none."""
    digits = re.findall(r"\d+", re.sub(r"\.[A-Za-z]\w*$", "", name))
    return int(digits[-1][-12:]) if digits else None


def _frame_key(name: str) -> tuple[int, str]:
    number = _number(name)
    return (-1 if number is None else number, name)


def _frame_numbers(names: list[str]) -> dict[str, int]:
    """Return the number of each frame: that in its name, or else its rank."""
    numbers = [_number(name) for name in names]
    if None in numbers or len(set(numbers)) < len(names):
        return {name: rank for rank, name in enumerate(names)}
    return {name: number for name, number in zip(names, numbers, strict=True) if number is not None}


def _people(people: list[Any]) -> list[Person]:
    """Return the people of a frame in OpenPose's form.

    Raises:
        ValueError: An entry is invalid.
    """
    if len(people) > MAX_PEOPLE:
        raise ValueError(f"{len(people)} people; expected at most {MAX_PEOPLE}")
    result = []
    for index, entry in enumerate(people):
        if not isinstance(entry, dict):
            raise ValueError(f"person {index} is {type(entry).__name__}; expected an object")
        body = _triples(entry.get("pose_keypoints_2d", entry.get("joints", [])), f"person {index} pose_keypoints_2d")
        points = {}
        for hand in HANDS:
            key = f"hand_{hand}_keypoints_2d"
            listed = _triples(entry.get(key, []), f"person {index} {key}")
            if len(listed) not in (0, POINTS):
                raise ValueError(f"person {index} {key} has {len(listed)} points; expected {POINTS}")
            points[hand] = listed if len(listed) else _wrist_only(body, OPENPOSE_WRISTS[hand])
        identity = entry.get("person_id", entry.get("idx"))
        result.append(_person(points, body, None if identity in ([-1], -1, []) else identity))
    return result


def _alphapose_person(value: object, identity: object) -> Person:
    """Return a person of AlphaPose's own form.

    Raises:
        ValueError: The points are invalid.
    """
    body = _triples(value, "keypoints")
    starts = HAND_STARTS.get(len(body))
    points = {
        hand: body[starts[hand] : starts[hand] + POINTS] if starts else _wrist_only(body, COCO_17_WRISTS[hand])
        for hand in HANDS
    }
    return _person(points, body, identity)


def _person(points: dict[Hand, Floats], body: Floats, identity: object) -> Person:
    listed = np.concatenate([body, *points.values()])
    seen = listed[listed[:, 2] > 0]
    center = seen[:, :2].mean(axis=0) if len(seen) else np.full(2, np.nan)
    lowest, highest = (float(seen[:, :2].min()), float(seen[:, :2].max())) if len(seen) else (np.nan, np.nan)
    return Person(points, center, lowest, highest, str(identity) if identity is not None else None)


def _triples(value: object, what: str) -> Floats:
    numbers = floats(value, what)
    if len(numbers) % 3:
        raise ValueError(f"{what} has {len(numbers)} numbers; expected 3 for each point")
    return numbers.reshape(-1, 3)


def _wrist_only(body: Floats, index: int) -> Floats:
    points = np.zeros((POINTS, 3))
    if len(body) > index:
        points[0] = body[index]
    return points


def _tracks(
    recording: Recording, frames: dict[int, list[Person]], options: ReadOptions, program: str
) -> list[HandTrack]:
    """Return the tracks of the hands of all people."""
    numbers = sorted(frames)
    if len(numbers) < 2:
        recording.fail("", f"{len(numbers)} frames; expected 2 to {MAX_FRAMES:,}")
    fps = options.fps or DEFAULT_FPS
    step = float(np.median(np.diff(numbers)))
    span = numbers[-1] - numbers[0]
    if (step > 1 and fps / step < MIN_RATE) or span >= MAX_FRAMES * max(fps / DEFAULT_FPS, 1.0):
        recording.fail(
            "",
            f"the numbers in the names go from {numbers[0]} to {numbers[-1]} in steps of {step:.0f}, which would "
            f"last {span / fps:.4g} s at {fps:g} frames per second; expected frame numbers. If they are "
            "milliseconds, give --fps 1000; otherwise rename the files or images by frame number",
        )
    tracks = _follow(frames, numbers)
    listed = [person.points[hand] for track in tracks for person in track.frames.values() for hand in HANDS]
    if not any((points[:, 2] > 0).any() for points in listed):
        recording.fail("", "no hand or wrist in any frame")
    name = options.scale or _scale_of(recording, [person for people in frames.values() for person in people])
    offset, scale = _to_pixels(recording, name, options)
    note = "" if options.scale or name == "pixels" else f", scale {name} assumed"
    times = (np.array(numbers, dtype=np.float64) - numbers[0]) / fps
    result = []
    for rank, track in enumerate(tracks):
        for hand in HANDS:
            array = np.zeros((len(numbers), POINTS, 3))
            for row, number in enumerate(numbers):
                if number in track.frames:
                    array[row] = track.frames[number].points[hand]
            if (array[:, :, 2] > 0).any():
                person = f", person {rank + 1}" if len(tracks) > 1 else ""
                result.append(
                    make_track(
                        times,
                        (array[:, :, :2] + offset) * scale,
                        "image",
                        hand,
                        confidence=array[:, :, 2],
                        image_size=options.image_size,
                        source=f"{program}{person}{note}{options.rate_note()}",
                    )
                )
    return result


def is_normalized(largest: Floats) -> bool:
    """Return True if coordinates are fractions of the size of the images, not pixels.

    Args:
        largest: Largest absolute coordinate of each frame or person, NaN if none is seen. Their median counts: a few
            points may be far out of the image.
    """
    return float(np.nanmedian(largest)) <= LARGEST_NORMALIZED


def _scale_of(recording: Recording, people: list[Person]) -> str:
    """Return the scale of all points of all people: hands alone may all be in one quadrant of the image."""
    lowest = float(np.nanmin([person.lowest for person in people]))
    highest = float(np.nanmax([person.highest for person in people]))
    if not is_normalized(np.array([max(person.highest, -person.lowest) for person in people])):
        return "pixels"
    if -MIN_BELOW_ZERO < lowest < 0:
        recording.fail("", f"normalized coordinates from {lowest:.2g} to {highest:.2g}; give --scale 0..1 or -1..1")
    return "-1..1" if lowest < 0 else "0..1"


def _to_pixels(recording: Recording, scale: str, options: ReadOptions) -> tuple[float, Floats]:
    """Return the offset and factor from coordinates of a scale to pixels."""
    if scale == "pixels":
        return 0.0, np.ones(2)
    if options.image_size is None:
        recording.fail("", "normalized coordinates; give the size of the images (--image-size 1280x720)")
    size = np.array(options.image_size, dtype=np.float64)
    return (1.0, size / 2) if scale == "-1..1" else (0.0, size)


def _follow(frames: dict[int, list[Person]], numbers: list[int]) -> list[Track]:
    """Return the people over time, by their identity or else as the nearest in the frame before; longest first."""
    centers = [person.center for people in frames.values() for person in people if np.isfinite(person.center).all()]
    reach = LARGEST_STEP * float(np.abs(centers).max()) if centers else 0.0
    tracks: list[Track] = []
    for number in numbers:
        people = [person for person in frames[number] if np.isfinite(person.center).all()]
        free = list(tracks)
        for track, person in _matches(free, people, reach):
            track.frames[number] = person
            track.center = person.center
            people = [other for other in people if other is not person]
        for person in people:
            tracks.append(Track(person.identity, person.center, {number: person}))
    return sorted(tracks, key=lambda track: -len(track.frames))


def _matches(tracks: list[Track], people: list[Person], reach: float) -> Iterator[tuple[Track, Person]]:
    """Yield pairs of a track and its person in a frame, nearest first, each at most once."""
    pairs = [
        (0.0 if person.identity is not None else float(np.linalg.norm(track.center - person.center)), i, j)
        for i, track in enumerate(tracks)
        for j, person in enumerate(people)
        if (track.identity == person.identity if person.identity is not None else track.identity is None)
    ]
    used_tracks, used_people = set[int](), set[int]()
    for distance, i, j in sorted(pairs):
        if distance <= reach and i not in used_tracks and j not in used_people:
            used_tracks.add(i)
            used_people.add(j)
            yield tracks[i], people[j]
