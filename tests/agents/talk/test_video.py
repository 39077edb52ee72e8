"""Videos of conversations: captions, formats, and the command that records the one of the README."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import agents
from agents.deployment.talk.video import CAPTION_HEIGHT, captioned, write_conversation
from docs.conversation_video import INSTRUCTIONS, record

from ...conftest import Make

IMAGE = np.full((64, 96, 3), 200, dtype=np.uint8)


def test_a_caption_is_below_the_image_and_shows_what_was_said() -> None:
    one = captioned(IMAGE, "lift the slab", "Done after 30 steps.")
    assert one.shape == (64 + CAPTION_HEIGHT, 96, 3)
    np.testing.assert_array_equal(one[:64], IMAGE)
    assert (one != captioned(IMAGE, "lift the slab", "")).any()
    assert (one != captioned(IMAGE, "lift the cube", "Done after 30 steps.")).any()


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_animation_has_every_second_frame(tmp_path: Path, suffix: str) -> None:
    frames = [captioned(IMAGE, f"lift {number}", "") for number in range(10)]
    with Image.open(write_conversation(iter(frames), tmp_path / f"talk{suffix}", 20)) as image:
        assert getattr(image, "n_frames", 1) == 5
        assert image.size == (96, 64 + CAPTION_HEIGHT)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_animation_lasts_as_long_as_its_frames_and_is_repeated(tmp_path: Path, suffix: str) -> None:
    frames = [captioned(IMAGE, "lift", "")] * 4 + [captioned(IMAGE, "lift", "Done.")] * 30
    seconds = 0.0
    with Image.open(write_conversation(iter(frames), tmp_path / f"talk{suffix}", 20)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            seconds += image.info["duration"] / 1000
        assert image.info["loop"] == 0
    assert seconds == pytest.approx(34 / 20)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_the_frames_of_an_animation_are_not_held_in_memory(tmp_path: Path, suffix: str) -> None:
    held: list[int] = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(150):
            held.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            yield np.full((480, 480, 3), number, dtype=np.uint8)

    write_conversation(frames(), tmp_path / f"talk{suffix}", 10)
    # In this process, a GIF's frame took 230 kB with a palette, and that of a WebP 690 kB or more.
    assert held[-1] - held[10] < 10e6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_animation_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f".talk.writing{suffix}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="is the disk full"):
        write_conversation([IMAGE] * 4, tmp_path / f"talk{suffix}", 10)
    assert list(tmp_path.iterdir()) == []


def test_other_formats_and_videos_without_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a name that ends in \.mp4, \.webp or \.gif"):
        write_conversation([IMAGE], tmp_path / "talk.avi", 20)
    with pytest.raises(ValueError, match="at least one instruction"):
        write_conversation([], tmp_path / "talk.webp", 20)
    with pytest.raises(ValueError, match="at least one instruction"):
        write_conversation([], tmp_path / "talk.mp4", 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_one_command_records_the_conversation_of_the_readme(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = agents.make("lam", make("LamTable-v0", instruct=True), width=8).save(tmp_path / "lam")
    record(folder, tmp_path / "talk.webp", "--max-steps", "5")
    assert (tmp_path / "talk.webp").stat().st_size > 0
    printed = capsys.readouterr().out
    assert "The scene has no purple cube." in printed
    assert printed.count("topped after") + printed.count("Done") == len(INSTRUCTIONS) - 1
