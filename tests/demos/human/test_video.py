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

from demos.human.video import MAX_PIXELS, HandDetector, first_image, frames_of, track_video


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
    with pytest.raises(ValueError, match="no video that can be read"):
        track_video(frames_of(path), model=tmp_path / "none.task")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*; expected a video"):
        list(frames_of(tmp_path / "none.mp4"))


def test_a_missing_model_or_package_is_named(tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ModuleNotFoundError), match=r"make hand-model|lam-envs\[human\]"):
        HandDetector(tmp_path / "none.task")


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
    with pytest.raises(ValueError, match="no video that can be read"):
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
