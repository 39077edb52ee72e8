"""Binary ``.pose`` files of the project sign-language-processing/pose, versions 0.0, 0.1 and 0.2.

They hold the points of OpenPose or MediaPipe.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from demos.human.readers.reader import MAX_BYTES, ReadOptions, Recording
from demos.human.track import HANDS, MAX_FRAMES, POINTS, Floats, HandTrack, make_track

VERSIONS = (0.0, 0.1, 0.2)
MAX_COMPONENTS, MAX_PEOPLE = 50, 100


class Component(NamedTuple):
    """Group of points, such as a hand."""

    name: str
    format: str
    """Letters of the numbers of a point, such as ``XYC``."""
    points: tuple[str, ...]


class Cursor:
    """Position in the bytes of a file."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.offset = 0

    def take(self, code: str) -> tuple[float, ...]:
        """Return the next numbers of a struct format.

        Raises:
            ValueError: The file ends before.
        """
        size = struct.calcsize(f"<{code}")
        if self.offset + size > len(self.content):
            raise ValueError(f"the file ends at byte {len(self.content)}, in a value at byte {self.offset}")
        values = struct.unpack_from(f"<{code}", self.content, self.offset)
        self.offset += size
        return values

    def text(self) -> str:
        """Return the next text."""
        return b"".join(self.take(f"{int(self.take('H')[0])}s")).decode()  # type: ignore[arg-type]

    def floats(self, count: int) -> Floats:
        """Return the next 32-bit numbers."""
        if count * 4 > MAX_BYTES or self.offset + count * 4 > len(self.content):
            raise ValueError(f"the file ends at byte {len(self.content)}; expected {count:,} numbers more")
        with np.errstate(invalid="ignore"):
            values = np.frombuffer(self.content, "<f4", count, self.offset).astype(np.float64)
        self.offset += count * 4
        return values


class PoseReader:
    """``.pose`` file with components for the hands."""

    name = ".pose container"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        head = recording.head
        # Exact bytes: the first four of other files are often a number close to 0.
        if len(head) < 32 or head[:4] not in {struct.pack("<f", version) for version in VERSIONS}:
            return False
        return b"hand" in head.lower() or b"pose" in head.lower()

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        cursor = Cursor(recording.content)
        with recording.checking("header"):
            version = round(float(cursor.take("f")[0]), 1)
            width, height, _ = (int(number) for number in cursor.take("HHH"))
            components = _components(cursor)
        with recording.checking("body"):
            fps, values, certain = _body(cursor, version, components)
        times = options.frame_times(len(values), fps)
        result = []
        first = 0
        for component in components:
            part = slice(first, first + len(component.points))
            first += len(component.points)
            hand = next(
                (hand for hand in HANDS if f"hand_{hand}" in component.name or _is_hand(component, hand)), None
            )
            if hand is None or len(component.points) != POINTS:
                continue
            for person in range(values.shape[1]):
                with recording.checking(component.name[:40]):
                    track = make_track(
                        times,
                        values[:, person, part],
                        "image",
                        hand,
                        confidence=certain[:, person, part],
                        image_size=(width, height),
                        source=f".pose {component.name[:40]}{f', person {person + 1}' if person else ''}",
                    )
                if track.seen.any():
                    result.append(track)
        if not result:
            recording.fail("", "no hand of 21 points in any frame")
        return result


def _is_hand(component: Component, hand: str) -> bool:
    return component.name.lower() == f"{hand}_hand_landmarks"


def _components(cursor: Cursor) -> list[Component]:
    count = int(cursor.take("H")[0])
    if not 1 <= count <= MAX_COMPONENTS:
        raise ValueError(f"{count} components; expected 1 to {MAX_COMPONENTS}")
    result = []
    for _ in range(count):
        name, form = cursor.text(), cursor.text()
        points, limbs, colors = (int(number) for number in cursor.take("HHH"))
        names = tuple(cursor.text() for _ in range(points))
        cursor.take(f"{2 * limbs + 3 * colors}H")
        if not form.endswith("C") or not 3 <= len(form) <= 4:
            raise ValueError(f"points of the form {form[:10]!r}; expected XYC or XYZC")
        result.append(Component(name, form, names))
    return result


def _body(cursor: Cursor, version: float, components: list[Component]) -> tuple[float, Floats, Floats]:
    """Return rate, points (T, people, points, 3) and confidence (T, people, points)."""
    total = sum(len(component.points) for component in components)
    forms = {component.format for component in components}
    if len(forms) != 1:
        raise ValueError(f"points of several forms: {', '.join(sorted(forms))}")
    dimensions = len(forms.pop()) - 1
    fps: float
    if version == 0.0:
        fps, frames = cursor.take("HH")
        listed = []
        for _ in range(int(frames)):
            persons = int(cursor.take("H")[0])
            found = np.zeros((1, total, dimensions + 1))
            for person in range(persons):
                cursor.take("h")
                numbers = cursor.floats(total * (dimensions + 1)).reshape(total, dimensions + 1)
                if person == 0:
                    found[0] = numbers
            listed.append(found)
        if len(listed) < 2:
            raise ValueError(f"{len(listed)} frames; expected at least 2")
        rows = np.stack(listed)
        values, certain = rows[..., :dimensions], rows[..., dimensions]
    else:
        fps, frames, people = cursor.take("fIH" if version > 0.15 else "HHH")
        if not 2 <= frames <= MAX_FRAMES or not 1 <= people <= MAX_PEOPLE:
            raise ValueError(
                f"{frames} frames of {people} people; expected 2 to {MAX_FRAMES:,}, and 1 to {MAX_PEOPLE}"
            )
        shape = (int(frames), int(people), total)
        size = shape[0] * shape[1] * shape[2]
        values = cursor.floats(size * dimensions).reshape(*shape, dimensions)
        certain = cursor.floats(size).reshape(shape)
    if cursor.offset != len(cursor.content):
        raise ValueError(f"{len(cursor.content) - cursor.offset} bytes after the last frame")
    if not 0.1 <= fps <= 10_000:
        raise ValueError(f"{fps} frames per second")
    return float(fps), values[..., :3], certain
