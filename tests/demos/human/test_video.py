"""Videos: files that are none, and detectors that are not installed."""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest

from demos.human.video import HandDetector, frames_of, track_video


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
    with pytest.raises(FileNotFoundError, match="no video"):
        list(frames_of(tmp_path / "none.mp4"))


def test_a_missing_model_or_package_is_named(tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ModuleNotFoundError), match=r"make hand-model|lam-envs\[human\]"):
        HandDetector(tmp_path / "none.task")
