"""Frames of videos and photos, and the hands in them, found by MediaPipe on this machine without any connection."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ImageOps, UnidentifiedImageError

from demos.human.followed_hand import Detection, follow_hand
from demos.human.hand_model import model_path
from demos.human.track import HANDS, MAX_FRAMES, POINTS, Hand, HandTrack, make_track

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
        raise FileNotFoundError(f"there is no file {path}; expected a video: give the path of one")
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
        raise ValueError(
            f"{path}: the video cannot be read ({error.strerror}); expected a file such as MP4: copy it again, or "
            "convert it"
        ) from None


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

    def find(self, frame: VideoFrame) -> list[Detection]:
        """Return the hands in a frame, which must be later than the one before."""
        height, width, _ = frame.image.shape
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image)
        )
        result = self._landmarker.detect_for_video(image, round(1000 * frame.time))
        found = []
        for landmarks, labels in zip(result.hand_landmarks, result.handedness, strict=True):
            hand: Hand = "left" if labels[0].category_name.lower() == "left" else "right"
            score = min(max(float(labels[0].score), 0.01), 1.0)
            points = np.array([[point.x * width, point.y * height, point.z * width] for point in landmarks])
            found.append(Detection(hand, score, points))
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
        hand: The hand to track; None for all that are labeled. If the video shows only one hand, the labels of the
            detector then do not matter; see :func:`demos.human.followed_hand.follow_hand`.
        model: File of the model.
        source: Description of the video.

    Raises:
        FileNotFoundError: There is no model.
        ModuleNotFoundError: MediaPipe is not installed.
        ValueError: No hand is found, or not the given one.
    """
    times: list[float] = []
    found: list[list[Detection]] = []
    size = (1, 1)
    remaining = iter(frames)
    # A file that is no video fails before the model is loaded.
    first = next(remaining, None)
    with HandDetector(model) as detector:
        for frame in chain([] if first is None else [first], remaining):
            if times and round(1000 * frame.time) <= round(1000 * times[-1]):
                continue
            times.append(frame.time)
            found.append(detector.find(frame))
            size = (frame.image.shape[1], frame.image.shape[0])
    return tracks_of(times, found, size, hand=hand, source=source)


def tracks_of(
    times: Sequence[float],
    found: Sequence[Sequence[Detection]],
    size: tuple[int, int],
    *,
    hand: Hand | None = None,
    source: str = "video",
) -> list[HandTrack]:
    """Return the tracks of the hands that a detector found in a video.

    Args:
        times: Increasing times of the frames, seconds.
        found: Detections in each frame.
        size: Width and height of the frames, pixels.
        hand: The hand to track; None for all that are labeled.
        source: Description of the video.

    Raises:
        ValueError: No hand is found, or not the given one.
    """
    result = []
    for side in HANDS if hand is None else (hand,):
        labeled = [_most_certain(hands, side) for hands in found]
        detections = labeled if hand is None else follow_hand(times, found, hand)
        if any(detection is not None for detection in detections):
            points = np.full((len(times), POINTS, 3), np.nan)
            certain = np.zeros(len(times))
            for index, detection in enumerate(detections):
                if detection is not None:
                    certain[index], points[index] = detection.score, detection.points
            source_note = f"{source}, found by MediaPipe"
            result.append(
                make_track(times, points, "image", side, confidence=certain, image_size=size, source=source_note)
            )
    if not result and any(found):
        raise ValueError(
            f"no {hand} hand is detected in {len(times)} frames of {source}; expected one in view: record again, or "
            "omit --hand"
        )
    if not result:
        raise ValueError(
            f"no hand is detected in {len(times)} frames of {source}; expected a hand in view: record again"
        )
    return result


def _most_certain(found: Sequence[Detection], hand: Hand) -> Detection | None:
    """Return the detection of a hand with the highest score; None if there is none."""
    labeled = [detection for detection in found if detection.hand == hand]
    return max(labeled, key=lambda detection: detection.score) if labeled else None
