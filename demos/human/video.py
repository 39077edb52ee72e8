"""Frames of videos and photos, and the hands in them, found by MediaPipe on this machine without any connection."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ImageOps, UnidentifiedImageError

from demos.human.hand_model import model_path
from demos.human.track import MAX_FRAMES, POINTS, Floats, Hand, HandTrack, make_track

if TYPE_CHECKING:
    import av

Image = npt.NDArray[np.uint8]
MATRIX_BYTES = 36
"""Bytes of a display matrix."""
MAX_PIXELS = 10_000_000
"""Largest frame, pixels."""
PHOTOS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats of photos, as Pillow names them; it opens some others by external programs."""


class VideoFrame(NamedTuple):
    """Frame of a video."""

    time: float
    """Seconds."""
    image: Image
    """RGB, shape (height, width, 3)."""


def frames_of(path: str | Path) -> Iterator[VideoFrame]:
    """Yield the frames of a video file, upright as a player shows them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no video, or too large.
    """
    import av

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; expected a video")
    try:
        # A file name that looks like an address must not be opened as one.
        with path.open("rb") as file, av.open(file, "r") as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no video stream")
            for number, frame in enumerate(container.decode(container.streams.video[0])):
                if number >= MAX_FRAMES or frame.width * frame.height > MAX_PIXELS:
                    raise ValueError(f"{path}: frame {number} of {frame.width} x {frame.height} is too much")
                if frame.time is None:
                    raise ValueError(f"{path}: frame {number} has no time")
                yield VideoFrame(float(frame.time), _upright(frame))
    except av.FFmpegError as error:
        raise ValueError(f"{path}: no video that can be read: {error}") from None


def _upright(frame: av.VideoFrame) -> Image:
    """Return the image of a frame as it is displayed: phones store unrotated frames and their orientation.

    The display matrix maps the stored pixel (x, y) to (a x + c y, b x + d y), plus a shift (FFmpeg, display.h). A
    quarter turn exchanges the axes; a negative number reverses one.
    """
    image = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    try:
        kinds = [(data.type.name, bytes(data)) for data in cast(Any, frame.side_data)]
    except ValueError:
        # PyAV lists nothing beside a kind that it does not know, such as EXIF. The rotation lacks mirror images.
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
    for kind, content in kinds:
        if kind == "DISPLAYMATRIX" and len(content) >= MATRIX_BYTES:
            a, b, _, c, d = np.frombuffer(content, np.int32)[:5].tolist()
            if abs(a) + abs(d) < abs(b) + abs(c):
                image, a, d = image.transpose(1, 0, 2), c, b
            image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(image)


def first_image(path: str | Path) -> Image:
    """Return a photo, or the first frame of a video, upright as a viewer shows it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is neither, has no frames, or is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image or video {path}")
    try:
        with PIL.Image.open(path, formats=PHOTOS) as photo:
            if photo.width * photo.height > MAX_PIXELS:
                raise ValueError(
                    f"{path} has {photo.width} x {photo.height} pixels; expected at most {MAX_PIXELS:,}: scale it to "
                    "the size of the video"
                )
            return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError:
        frame = next(frames_of(path), None)
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: no image that can be read: {error}") from None
    if frame is None:
        raise ValueError(f"{path} has no frames; expected a photo or a video")
    return frame.image


class HandDetector:
    """MediaPipe's hand landmarker.

    Its labels are those of images that are not mirrored: for a mirrored video, as of a webcam, give the hand. Use it
    in a ``with`` statement: it must be closed before the interpreter ends.

    Args:
        model: File of the model; :func:`demos.human.hand_model.model_path` by default.

    Raises:
        ModuleNotFoundError: MediaPipe is not installed.
        FileNotFoundError: There is no model.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        if importlib.util.find_spec("mediapipe") is None:
            raise ModuleNotFoundError(
                "hands in videos need additional packages: pip install 'lam-envs[human]'", name="mediapipe"
            )
        path = model_path() if model is None else Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"no hand model {path}; run make hand-model, or give --model FILE")
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._mediapipe: Any = mediapipe
        options = vision.HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            num_hands=2,
        )
        self._landmarker: Any = vision.HandLandmarker.create_from_options(options)

    def __enter__(self) -> HandDetector:
        """Return the detector."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the detector."""
        self._landmarker.close()

    def find(self, frame: VideoFrame) -> dict[Hand, tuple[float, Floats]]:
        """Return the hands in a frame, which must be later than the one before.

        Returns:
            For each hand its score, and its points in pixels, shape (21, 3).
        """
        height, width, _ = frame.image.shape
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image)
        )
        result = self._landmarker.detect_for_video(image, round(1000 * frame.time))
        found: dict[Hand, tuple[float, Floats]] = {}
        for landmarks, labels in zip(result.hand_landmarks, result.handedness, strict=True):
            hand: Hand = "left" if labels[0].category_name.lower() == "left" else "right"
            score = float(labels[0].score)
            if hand not in found or score > found[hand][0]:
                points = np.array([[point.x * width, point.y * height, point.z * width] for point in landmarks])
                found[hand] = (min(max(score, 0.01), 1.0), points)
        return found


def track_video(
    frames: Iterable[VideoFrame],
    *,
    hand: Hand | None = None,
    model: str | Path | None = None,
    source: str = "video",
) -> list[HandTrack]:
    """Return the tracks of the hands in a video.

    Args:
        frames: Frames with increasing times.
        hand: The hand that the video shows, if it shows only one: the detector's labels then do not matter.
        model: File of the model.
        source: Description of the video.

    Raises:
        FileNotFoundError: There is no model.
        ModuleNotFoundError: MediaPipe is not installed.
        ValueError: No hand is found.
    """
    times: list[float] = []
    found: list[dict[Hand, tuple[float, Floats]]] = []
    size = (1, 1)
    remaining = iter(frames)
    # A file that is no video fails before the model is loaded.
    first = next(remaining, None)
    with HandDetector(model) as detector:
        for frame in chain([] if first is None else [first], remaining):
            if times and round(1000 * frame.time) <= round(1000 * times[-1]):
                continue
            hands = detector.find(frame)
            if hand is not None and hands:
                hands = {hand: max(hands.values(), key=lambda scored: scored[0])}
            times.append(frame.time)
            found.append(hands)
            size = (frame.image.shape[1], frame.image.shape[0])
    result = []
    sides: tuple[Hand, ...] = ("left", "right")
    for side in sides:
        if any(side in hands for hands in found):
            points = np.full((len(times), POINTS, 3), np.nan)
            certain = np.zeros(len(times))
            for index, hands in enumerate(found):
                if side in hands:
                    certain[index], points[index] = hands[side]
            source_note = f"{source}, found by MediaPipe"
            result.append(
                make_track(times, points, "image", side, confidence=certain, image_size=size, source=source_note)
            )
    if not result:
        raise ValueError(f"no hand is detected in {len(times)} frames of {source}")
    return result
