"""Videos of LeRobot datasets, each with the frames of one camera in many episodes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from demos.formats.format import import_optional

CODEC = "libx264"
"""H.264, which every player and decoder reads."""
OPTIONS = {"crf": "10", "g": "2", "bf": "0", "preset": "medium"}
"""Little visible loss; as in LeRobot, every other frame is a key frame, for fast random access."""
MAX_BYTES = 200 * 2**20
"""Size of a file after which the next one begins, as in LeRobot."""
FILES_PER_CHUNK = 1000
"""Number of files in one folder, as in LeRobot."""


def import_pyav() -> ModuleType:
    """Import PyAV.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
    """
    return import_optional("av", "PyAV")


def chunk_file(number: int) -> tuple[int, int]:
    """Return the index of the folder and of the file in it."""
    return number // FILES_PER_CHUNK, number % FILES_PER_CHUNK


class VideoWriter:
    """Writer of the videos of one camera.

    Args:
        path: Returns the path of a file for the indices of folder and file.
        fps: Frames per second.
        shape: Shape of a frame: height, width, 3.
    """

    def __init__(self, path: Callable[[int, int], Path], fps: int, shape: tuple[int, ...]) -> None:
        self._path, self._fps, self._shape = path, fps, shape
        self._number = -1
        self._frames = 0
        self._container: Any = None
        self._stream: Any = None

    def add(self, frames: npt.NDArray[np.uint8]) -> dict[str, object]:
        """Append an episode.

        Returns:
            Position of the episode: ``chunk_index``, ``file_index``, ``from_timestamp`` and ``to_timestamp`` in
            seconds.
        """
        if self._container is None or self._file().stat().st_size >= MAX_BYTES:
            self._next()
        first = self._frames
        av = import_pyav()
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            image.pts, image.time_base = self._frames, Fraction(1, self._fps)
            self._container.mux(self._stream.encode(image))
            self._frames += 1
        chunk, file = chunk_file(self._number)
        return {
            "chunk_index": chunk,
            "file_index": file,
            "from_timestamp": first / self._fps,
            "to_timestamp": self._frames / self._fps,
        }

    def close(self) -> None:
        """Complete the file."""
        if self._container is not None:
            try:
                self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()
                self._container = None

    @property
    def information(self) -> dict[str, object]:
        """Description of the videos in ``meta/info.json``."""
        height, width, channels = self._shape
        return {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": _pixel_format(self._shape),
            "video.is_depth_map": False,
            "video.fps": self._fps,
            "video.channels": channels,
            "has_audio": False,
        }

    def _file(self) -> Path:
        return Path(self._path(*chunk_file(self._number)))

    def _next(self) -> None:
        self.close()
        self._number += 1
        self._frames = 0
        self._file().parent.mkdir(parents=True, exist_ok=True)
        height, width, _ = self._shape
        self._container = import_pyav().open(str(self._file()), "w")
        self._stream = self._container.add_stream(CODEC, rate=self._fps, options=dict(OPTIONS))
        self._stream.pix_fmt = _pixel_format(self._shape)
        self._stream.height, self._stream.width = height, width
        self._stream.time_base = Fraction(1, self._fps)


def _pixel_format(shape: tuple[int, ...]) -> str:
    """Return a format with half the color resolution, or with the full one for odd sizes."""
    return "yuv420p" if shape[0] % 2 == 0 and shape[1] % 2 == 0 else "yuv444p"


def read_frames(path: Path, start: float, length: int, fps: float) -> npt.NDArray[np.uint8]:
    """Return the frames of an episode.

    Args:
        path: Video file.
        start: Time at which the episode begins in the file, seconds.
        length: Number of frames.
        fps: Frames per second.

    Returns:
        Shape (length, height, width, 3).

    Raises:
        ValueError: There are fewer frames, or the file is damaged.
    """
    av = import_pyav()
    frames: list[npt.NDArray[np.uint8]] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            container.seek(int(start / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time >= start - 0.5 / fps:
                    frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == length:
                    return np.stack(frames)
    except av.FFmpegError as error:
        raise ValueError(f"the video {path.name} cannot be read ({error})") from error
    raise ValueError(f"the video {path.name} has {len(frames)} frames from {start} s on; expected {length}")
