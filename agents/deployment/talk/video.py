"""Videos of conversations: the scene, with the instruction and the answer below it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from imageio_ffmpeg import write_frames
from PIL import Image, ImageDraw, ImageFont

from agents.types import Env
from demos.collection.video import write_video
from lam_envs.env import ManipulationEnv

Frame = npt.NDArray[np.uint8]

IMAGE_SIZE = 480
"""Width and height of the image of the scene, pixels."""
CAPTION_HEIGHT = 80
"""Height of the caption below it, pixels."""
MARGIN = 16
SIZES = (22, 16)
"""Heights of the letters of the instruction and of the answer, pixels."""
BACKGROUND, INSTRUCTION_COLOR, ANSWER_COLOR = (17, 22, 28), (230, 235, 240), (118, 176, 238)
PAUSE_SECONDS = 1.5
"""Time for which a changed answer without motion is shown."""
ANIMATION_FPS = 10
"""Frames per second of WebP and GIF files, which grow with each frame."""
ENCODING: dict[str, tuple[str, str, list[str]]] = {
    ".webp": ("libwebp_anim", "bgra", ["-quality", "70"]),
    ".gif": ("gif", "pal8", ["-lavfi", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"]),
}
"""Codec, pixel format and options of ffmpeg by suffix. Each frame of a GIF has its own palette."""


def captioned(image: Frame, instruction: str, answer: str) -> Frame:
    """Return an image with a caption below it.

    Args:
        image: uint8, shape (height, width, 3).
        instruction: First line.
        answer: Second line; empty for none.

    Returns:
        uint8, shape (height + 80, width, 3).
    """
    height, width, _ = image.shape
    canvas = Image.new("RGB", (width, height + CAPTION_HEIGHT), BACKGROUND)
    canvas.paste(Image.fromarray(image))
    draw = ImageDraw.Draw(canvas)
    lines = ((f"> {instruction}", SIZES[0], INSTRUCTION_COLOR, 12), (answer, SIZES[1], ANSWER_COLOR, 46))
    for text, size, color, top in lines:
        if text:
            draw.text((MARGIN, height + top), text, fill=color, font=_fitting_font(text, size, width - 2 * MARGIN))
    return np.asarray(canvas)


def _fitting_font(text: str, size: int, width: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return the largest font up to a size in which a text fits into a width, but no smaller than 8 pixels."""
    font = ImageFont.load_default(size)
    while font.getlength(text) > width and size > 8:
        size -= 1
        font = ImageFont.load_default(size)
    return font


def captioned_frames(env: Env, steps: Iterable[tuple[str, str]]) -> Iterator[Frame]:
    """Yield the image of the front camera with a caption for each step of a conversation.

    Where a new answer comes without a motion, the image stays for 1.5 seconds.

    Args:
        env: Environment.
        steps: Instruction and answer after each step.
    """
    scene = cast(ManipulationEnv, env.unwrapped)
    pause = round(PAUSE_SECONDS * float(env.metadata["render_fps"]))
    shown = ""
    for instruction, answer in steps:
        image = scene.camera_images(["front"], IMAGE_SIZE, IMAGE_SIZE)["front"]
        frame = captioned(image, instruction, answer)
        repeats = pause if answer and answer != shown else 1
        shown = answer
        for _ in range(repeats):
            yield frame


def write_conversation(frames: Iterable[Frame], path: str | Path, fps: float) -> Path:
    """Write a video as MP4, WebP or GIF; a WebP and a GIF have 10 frames per second and are repeated endlessly.

    Each frame is encoded when it comes, and none is held in memory.

    Args:
        frames: Images, uint8, shape (height, width, 3).
        path: File name that ends in ``.mp4``, ``.webp`` or ``.gif``.
        fps: Frames per second.

    Raises:
        ValueError: The path has another suffix, or there are no frames.
        OSError: Not every frame was written.
    """
    target = Path(path)
    if target.suffix not in (".mp4", ".webp", ".gif"):
        raise ValueError(f"invalid video file {target}; expected a name that ends in .mp4, .webp or .gif")
    frames = iter(frames)
    opening = next(frames, None)
    if opening is None:
        raise ValueError(f"there are no frames for {target}; expected at least one instruction")
    frames = chain([opening], frames)
    if target.suffix == ".mp4":
        return write_video(frames, target, fps)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.writing{target.suffix}")
    try:
        _write_animation(frames, opening.shape, temporary, fps)
        # The encoder does not report a full disk.
        if not _is_complete(temporary):
            raise OSError(f"not all frames of {target} were written: is the disk full?")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _write_animation(frames: Iterable[Frame], shape: tuple[int, ...], path: Path, fps: float) -> None:
    """Write a WebP or GIF, at a lower rate.

    Args:
        frames: Images, uint8.
        shape: Shape of each image: (height, width, 3).
        path: File name.
        fps: Frames per second of the images.
    """
    codec, pixel_format, options = ENCODING[path.suffix]
    every = max(round(fps / ANIMATION_FPS), 1)
    encoder = write_frames(
        path,
        (shape[1], shape[0]),
        pix_fmt_out=pixel_format,
        fps=fps / every,
        quality=None,  # the options set it
        codec=codec,
        macro_block_size=1,  # any size
        ffmpeg_log_level="error",
        output_params=[*options, "-loop", "0"],
    )
    with closing(encoder):
        encoder.send(None)
        for number, frame in enumerate(frames):
            if number % every == 0:
                encoder.send(np.ascontiguousarray(frame))


def _is_complete(animation: Path) -> bool:
    """Return True if a WebP has the size that its header gives, or if a GIF has its last byte."""
    size = animation.stat().st_size
    with animation.open("rb") as file:
        if animation.suffix == ".webp":
            return size > 8 and int.from_bytes(file.read(8)[4:], "little") == size - 8
        file.seek(max(size - 1, 0))
        return file.read(1) == b";"
