"""Interface of readers, and the recording that they read: checked access to files that nobody needs to trust."""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from demos.human.track import MAX_FRAMES, Floats, Hand, HandTrack

MAX_BYTES = 2**30
"""Largest file or array, bytes."""
MAX_TEXT_BYTES = 2**28
"""Largest text file, bytes: parsed JSON takes ten times as much memory."""
MAX_FILES = 100_000
"""Most files of a folder."""
HEAD_BYTES = 4096
MAX_LENGTH = 500
"""Longest explanation of an error, letters: files may hold anything."""
DEFAULT_FPS = 30.0
"""Frames per second of recordings without times."""
SCALES = ("pixels", "0..1", "-1..1")
"""Scales of coordinates in images: those of OpenPose's ``--keypoint_scale`` 0 to 2, 3 and 4."""

DAMAGES = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, EOFError)
"""Errors that damaged content causes in NumPy and in our own code."""


class RecordingError(ValueError):
    """Error of a recording: the file, the place in it, and what is wrong."""

    def __init__(self, path: Path, place: str, problem: object) -> None:
        text = " ".join(str(problem).split())
        text = text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]} ..."
        super().__init__(f"{path}: {place}: {text}" if place else f"{path}: {text}")


@dataclass(frozen=True)
class ReadOptions:
    """Properties that a recording may lack.

    Attributes:
        fps: Frames per second; None to use what the recording says, or else ``DEFAULT_FPS``.
        image_size: Width and height of the images, pixels, for normalized coordinates.
        scale: Name in ``SCALES`` of the coordinates of OpenPose; None to find it from the coordinates.
        order: Name in ``POINT_ORDERS`` of plain arrays; None to use ``mediapipe``, or ``webxr`` for 25 points.
        hand: Hand of recordings that do not say it.
        unit: Length of a unit in meters; None to use what the recording says.
        high_is_closed: The gripper of a LeRobot dataset is closed where its number is high.
        markers: Names of markers by name of a hand point, such as ``{"index_tip": ["RFIN"]}``.
        objects: Names of markers by name of an object; None to find them by name.
    """

    fps: float | None = None
    image_size: tuple[int, int] | None = None
    scale: str | None = None
    order: str | None = None
    hand: Hand | None = None
    unit: float | None = None
    high_is_closed: bool = False
    markers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    objects: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        """Check numbers."""
        for name in ("fps", "unit"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and 1e-6 <= value <= 100_000):
                raise ValueError(f"{name} is {value}; expected a positive number")
        if self.hand not in (None, "left", "right"):
            raise ValueError(f"hand is {self.hand!r}; expected left or right")
        if self.scale not in (None, *SCALES):
            raise ValueError(f"scale is {self.scale!r}; expected one of {', '.join(SCALES)}")

    def frame_times(self, count: int, fps: float | None = None) -> Floats:
        """Return the times of evenly spaced frames.

        Args:
            count: Number of frames.
            fps: Rate that the recording says; None if it does not.
        """
        return np.asarray(np.arange(count) / (self.fps or fps or DEFAULT_FPS))

    def rate_note(self, fps: float | None = None) -> str:
        """Return a note about the rate for the description of the source."""
        return "" if self.fps or fps else f", {DEFAULT_FPS:g} frames per second assumed"


class Reader(Protocol):
    """Reader of one family of formats."""

    name: str
    """Name of the formats, for people."""

    def accepts(self, recording: Recording) -> bool:
        """Return True if the content is of these formats; must be cheap, and must not raise for any content."""
        ...

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """Return the tracks of all hands.

        Raises:
            ValueError: The content is damaged; a ``RecordingError`` names the place.
        """
        ...


class Recording:
    """File or folder of a recording.

    Args:
        path: The file or folder.

    Raises:
        FileNotFoundError: There is none.
        RecordingError: It is too large, or no regular file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"no recording {self.path}; expected a file or a folder")
        self.is_folder = self.path.is_dir()
        if not self.is_folder:
            if not self.path.is_file():
                self.fail("", "no regular file")
            size = self.path.stat().st_size
            if not 0 < size <= MAX_BYTES:
                self.fail("", f"{size:,} bytes; expected 1 to {MAX_BYTES:,}")

    def fail(self, place: str, problem: object) -> NoReturn:
        """Raise the error of a place in the recording."""
        raise RecordingError(self.path, place, problem) from None

    @contextmanager
    def checking(self, place: str, *others: type[Exception]) -> Iterator[None]:
        """Turn errors of a library or of NumPy about the content into one of the recording."""
        damages: tuple[type[Exception], ...] = (*DAMAGES, *others)
        try:
            yield
        except RecordingError:
            raise
        except damages as error:
            missing = isinstance(error, KeyError)
            self.fail(place, f"lacks {error}" if missing else error or type(error).__name__)

    @cached_property
    def head(self) -> bytes:
        """First bytes of the file; none for a folder."""
        if self.is_folder:
            return b""
        with self.path.open("rb") as file:
            return file.read(HEAD_BYTES)

    @cached_property
    def content(self) -> bytes:
        """Bytes of the file."""
        return self.path.read_bytes()

    @cached_property
    def text(self) -> str:
        """Text of the file."""
        if self.path.stat().st_size > MAX_TEXT_BYTES:
            self.fail("", f"a text of more than {MAX_TEXT_BYTES:,} bytes")
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.fail(f"byte {error.start}", "not UTF-8 text")

    @cached_property
    def json(self) -> Any:
        """Parsed JSON file; None if it does not begin as one.

        Raises:
            RecordingError: It is damaged.
        """
        if self.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            return None
        return parse_json(self.text, self.path)

    @cached_property
    def file_names(self) -> list[str]:
        """Sorted names of the folder's regular files.

        Raises:
            RecordingError: There are too many.
        """
        names: list[str] = []
        for entry in self.path.iterdir() if self.is_folder else ():
            if entry.is_file() and not entry.name.startswith("."):
                names.append(entry.name)
            if len(names) > MAX_FILES:
                self.fail("", f"more than {MAX_FILES:,} files")
        return sorted(names)

    @cached_property
    def array_names(self) -> list[str]:
        """Names of the arrays of an NPZ file; empty for other files."""
        if self.head[:4] != b"PK\x03\x04":
            return []
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return []
        return [name[:-4] for name in names[:1000] if name.endswith(".npy")]

    @cached_property
    def archive_problem(self) -> str:
        """Error message of a damaged ZIP file, such as an NPZ file; empty if it opens, and for other files."""
        if self.head[:4] != b"PK\x03\x04":
            return ""
        try:
            with zipfile.ZipFile(self.path):
                return ""
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            return str(error)

    def arrays(self, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Return arrays of numbers of an NPZ file.

        Args:
            names: Names of the arrays; all by default.

        Raises:
            RecordingError: One is damaged, too large, or holds objects.
        """
        result = {}
        damages = (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError)
        with self.checking("archive", *damages), zipfile.ZipFile(self.path) as archive:
            for name in self.array_names if names is None else names:
                place = f"array {name}"
                info = archive.getinfo(f"{name}.npy")
                if info.file_size > MAX_BYTES:
                    self.fail(place, f"{info.file_size:,} bytes; expected at most {MAX_BYTES:,}")
                with self.checking(place, *damages), archive.open(info) as member:
                    result[name] = read_npy(member.read(MAX_BYTES + 1))
        return result


def parse_json(text: str, path: Path, place: str = "") -> Any:
    """Return the content of a JSON text.

    Args:
        text: The text.
        path: Recording that it is from, for the error.
        place: Name of the file in the recording, for the error.

    Raises:
        RecordingError: It is damaged, or nested too deep.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not a JSON number")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise RecordingError(
            path, f"{place and f'{place}: '}line {error.lineno} column {error.colno}", f"not valid JSON: {error.msg}"
        ) from None
    except RecursionError:
        raise RecordingError(
            path, place, "the JSON is nested too deeply; expected a recording of a hand: export it again"
        ) from None
    except ValueError as error:
        raise RecordingError(path, place, f"not valid JSON: {error}") from None


def read_npy(content: bytes) -> npt.NDArray[Any]:
    """Return the array of numbers of an NPY file.

    Raises:
        ValueError: It is damaged, or holds objects.
    """
    try:
        array: npt.NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (SyntaxError, tokenize.TokenError, EOFError, OSError, TypeError, MemoryError) as error:
        raise ValueError(f"no NumPy array: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufU":
        raise ValueError("expected an array of numbers")
    return array


def floats(value: object, what: str, length: int | None = None) -> Floats:
    """Return a flat list of finite numbers as an array.

    Args:
        value: The list, from JSON.
        what: Name of the value, for the error.
        length: Expected length; None for any.

    Raises:
        ValueError: It is none, or has another length.
    """
    if not isinstance(value, list) or not all(
        isinstance(number, (int, float)) and not isinstance(number, bool) for number in value
    ):
        raise ValueError(f"{what} is {type(value).__name__}; expected a list of numbers")
    if length is not None and len(value) != length:
        raise ValueError(f"{what} has {len(value)} numbers; expected {length}")
    with np.errstate(over="ignore"):
        array = np.array([float(number) for number in value])
    if not np.isfinite(array).all():
        raise ValueError(f"{what} has numbers that are not finite")
    return array


def parse_table(
    recording: Recording,
    lines: list[str],
    first_line: int,
    split: Callable[[str], list[str]],
    columns: int,
) -> Floats:
    """Return rows of numbers; empty cells are NaN.

    Args:
        recording: Recording that the lines are from, for the error.
        lines: Lines of text; empty ones are skipped.
        first_line: Number of the first line in the file.
        split: Splits a line into cells.
        columns: Number of cells of a row.

    Raises:
        RecordingError: A cell is no finite number, or a row has another length.
    """
    rows = []
    for number, line in enumerate(lines, start=first_line):
        cells = split(line)
        if not any(cell.strip() for cell in cells):
            continue
        while len(cells) > columns and not cells[-1].strip():
            cells.pop()
        if len(cells) != columns:
            recording.fail(f"line {number}", f"{len(cells)} columns; expected {columns}")
        try:
            values = [float(cell) if cell.strip() else math.nan for cell in cells]
        except ValueError as error:
            recording.fail(f"line {number}", error)
        if any(math.isinf(value) for value in values):
            recording.fail(f"line {number}", "an infinite number")
        rows.append(values)
        if len(rows) > MAX_FRAMES:
            recording.fail(f"line {number}", f"more than {MAX_FRAMES:,} frames")
    if not rows:
        recording.fail(f"line {first_line}", "no rows of numbers")
    return np.array(rows)
