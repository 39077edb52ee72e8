"""Videos and photos: how they are held, files that are none, and detectors that are not installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageOps

from demos.human.followed_hand import Detection
from demos.human.track import HANDS, Hand
from demos.human.video import MAX_PIXELS, HandDetector, first_image, frames_of, track_video, tracks_of


def write_video(path: Path, frames: int = 6) -> Path:
    with imageio.get_writer(path, fps=25, macro_block_size=2) as writer:
        for shade in range(frames):
            writer.append_data(np.full((48, 64, 3), 40 * shade, dtype=np.uint8))
    return path


def test_frames_have_times_and_colors(tmp_path: Path) -> None:
    frames = list(frames_of(write_video(tmp_path / "video.mp4")))
    assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 6
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(6)])
    assert frames[3].image.mean() == pytest.approx(120, abs=4)


def test_what_is_no_video_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "words.mp4"
    path.write_text("no video")
    with pytest.raises(ValueError, match="the video cannot be read"):
        track_video(frames_of(path), model=tmp_path / "none.task")
    with pytest.raises(ValueError, match=r"words\.mp4: the video cannot be read \(Invalid data") as caught:
        list(frames_of(path))
    assert "Errno" not in str(caught.value)
    assert str(caught.value).count("words.mp4") == 1
    with pytest.raises(FileNotFoundError, match=r"there is no file .*; expected a video"):
        list(frames_of(tmp_path / "none.mp4"))


def test_a_missing_model_or_package_is_named(tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ModuleNotFoundError), match=r"make hand-model|lam-envs\[human\]"):
        HandDetector(tmp_path / "none.task")


FRAMES = 60
TIMES = [number / 30 for number in range(FRAMES)]
SHAPE = 60 * np.random.default_rng(0).random((21, 3))
"""Points of a hand of about 80 pixels."""


def detections_of_two_hands() -> list[dict[Hand, Detection]]:
    """Return a left hand that moves to the right and a right hand 200 pixels beside it, with correct labels."""
    rng = np.random.default_rng(1)
    result = []
    for number in range(FRAMES):
        left = SHAPE + np.array([100 + 2 * number, 200, 0])
        found: dict[Hand, Detection] = {}
        for hand in HANDS:
            shift = np.array([0 if hand == "left" else 200, 0, 0])
            points = left + shift + rng.standard_normal((21, 3))
            found[hand] = Detection(hand, float(rng.uniform(0.6, 1.0)), points)
        result.append(found)
    return result


def x_of(found: list[list[Detection]], hand: Hand) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the distance of the tracked hand from where the left one is, pixels; NaN where it is not seen."""
    (track,) = tracks_of(TIMES, found, (640, 480), hand=hand)
    assert track.hand == hand
    return np.asarray(track.points[:, :, 0].mean(axis=1) - SHAPE[:, 0].mean() - 100 - 2 * np.arange(FRAMES))


def test_one_of_two_hands_is_tracked_without_jumps_to_the_other_one() -> None:
    both = detections_of_two_hands()
    # The right hand is alone for a while, and so is the left one; in some frames there is none.
    hidden: dict[int, tuple[Hand, ...]] = {
        **dict.fromkeys((30, 31, 32), ("left",)),
        **dict.fromkeys((45, 46), ("right",)),
        **dict.fromkeys((50, 51), HANDS),
    }

    def labeled(number: int) -> list[Detection]:
        """Return the hands in a frame; the labels are exchanged or the same in some frames."""
        left, right = both[number]["left"], both[number]["right"]
        if number in (10, 11, 40):
            left, right = left._replace(hand="right"), right._replace(hand="left")
        if number in (20, 21):
            left = left._replace(hand="right")
        shown = [each for name, each in (("left", left), ("right", right)) if name not in hidden.get(number, ())]
        return shown[::-1] if number % 3 else shown

    found = [labeled(number) for number in range(FRAMES)]
    for hand in HANDS:
        x = x_of(found, hand)
        assert np.nanmax(np.abs(x - (0 if hand == "left" else 200))) < 5
        unseen = [number for number, names in hidden.items() if hand in names]
        assert np.flatnonzero(np.isnan(x)).tolist() == unseen


def test_labels_do_not_matter_in_a_video_of_one_hand() -> None:
    both = detections_of_two_hands()
    found = [[hands["left"]] for hands in both]
    # The detector finds the hand a second time in a frame, and something else in another one.
    found[20] = [both[20]["left"], both[20]["left"]._replace(hand="right", score=0.5)]
    found[25] = [both[25]["right"], both[25]["left"]]
    for hand in HANDS:
        assert np.abs(x_of(found, hand)).max() < 5


def test_a_hand_that_the_video_does_not_show_is_refused() -> None:
    both = detections_of_two_hands()
    found = [[hands["right"], hands["right"]._replace(points=hands["left"].points)] for hands in both]
    with pytest.raises(ValueError, match="no left hand is detected in 60 frames of video"):
        tracks_of(TIMES, found, (640, 480), hand="left")
    # Both have the label of the right hand: the more certain one is tracked, without jumps.
    x = x_of(found, "right")
    assert min(np.abs(x).max(), np.abs(x - 200).max()) < 5
    with pytest.raises(ValueError, match="no hand is detected in 60 frames of video"):
        tracks_of(TIMES, [[] for _ in TIMES], (640, 480), hand="left")


def landscape() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return an image whose upper left corner is red, and whose upper right one is green."""
    image = np.full((48, 64, 3), 60, dtype=np.uint8)
    image[:16, :16] = (250, 0, 0)
    image[:16, -16:] = (0, 250, 0)
    return image


def write_held_video(path: Path, degrees: int, *, mirrored: bool) -> Path:
    """Write a video as a phone does: the frames lie, and the file says how to turn them."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 4_000_000
        stream.set_display_rotation(degrees, hflip=mirrored)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(landscape(), format="rgb24")))
        container.mux(stream.encode())
    return path


def shown_by_ffmpeg(path: Path, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the first frame as the program ffmpeg shows it."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [program, "-v", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8).reshape(shape)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_frames_of_a_phone_are_upright_as_a_player_shows_them(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    path = write_held_video(tmp_path / "held.mp4", degrees, mirrored=mirrored)
    frames = list(frames_of(path))
    shape = (48, 64, 3) if degrees in (0, 180) else (64, 48, 3)
    assert [frame.image.shape for frame in frames] == [shape] * 3
    assert np.abs(frames[0].image.astype(int) - shown_by_ffmpeg(path, shape)).max() <= 2
    if not mirrored:
        upright = np.rot90(landscape(), degrees // 90)
        assert np.abs(frames[0].image.astype(int) - upright).mean() < 8
    assert (first_image(path) == frames[0].image).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright_as_a_viewer_shows_them(tmp_path: Path, orientation: int) -> None:
    photo = Image.fromarray(landscape())
    exif = photo.getexif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "photo.png", exif=exif)
    stored = {1: landscape(), 3: np.rot90(landscape(), 2), 6: np.rot90(landscape(), -1), 8: np.rot90(landscape())}
    upright = stored.get(orientation, np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "photo.png"))))
    np.testing.assert_array_equal(first_image(tmp_path / "photo.png"), upright)


def test_frames_with_exif_are_upright_too(tmp_path: Path) -> None:
    photo = Image.fromarray(landscape())
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "frame.jpg", exif=exif, quality=95)
    (frame,) = frames_of(tmp_path / "frame.jpg")  # a video of one frame, for FFmpeg
    assert np.abs(frame.image.astype(int) - np.rot90(landscape(), -1)).mean() < 8


def test_what_shows_no_image_is_refused(tmp_path: Path) -> None:
    with av.open(tmp_path / "empty.avi", "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(ValueError, match=r"empty\.avi has no frames; expected a photo or a video"):
        first_image(tmp_path / "empty.avi")
    (tmp_path / "words.jpg").write_text("no photo")
    with pytest.raises(ValueError, match="the video cannot be read"):
        first_image(tmp_path / "words.jpg")
    Image.fromarray(landscape()).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-200])
    with pytest.raises(ValueError, match="no image that can be read"):
        first_image(tmp_path / "cut.jpg")
    Image.new("L", (4000, 1 + MAX_PIXELS // 4000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="scale it to the size of the video"):
        first_image(tmp_path / "large.png")
    with pytest.raises(FileNotFoundError, match="no image or video"):
        first_image(tmp_path / "none.jpg")
