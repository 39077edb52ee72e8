"""Files of hand tracks: NPZ and JSON. Nothing in them is unpickled or executed."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np

from demos.human.track import Floats, HandTrack, make_track
from demos.runtime.files import write_atomically

FORMAT = "lam-envs hand track 1"
"""Text that identifies the format and its version."""


def check_track_name(path: str | Path) -> None:
    """Check the name of a file for :func:`save_track`, before the work of finding the track.

    Raises:
        ValueError: Its suffix is neither ``.npz`` nor ``.json``.
    """
    if Path(path).suffix not in (".npz", ".json"):
        raise ValueError(f"cannot write {path}: expected a name that ends in .npz or .json")


def save_track(track: HandTrack, path: str | Path) -> Path:
    """Write a track to a file whose suffix, ``.npz`` or ``.json``, selects the format.

    Raises:
        ValueError: The suffix is another one.
    """
    path = Path(path)
    check_track_name(path)
    header = {
        "format": FORMAT,
        "frame": track.frame,
        "hand": track.hand,
        "up": track.up,
        "image_size": track.image_size,
        "source": track.source,
        "objects": list(track.objects),
    }
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {
            f"object_{number}": positions for number, positions in enumerate(track.objects.values())
        }
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        np.savez_compressed(
            buffer, header=text, times=track.times, points=track.points, confidence=track.confidence, **arrays
        )
        return write_atomically(path, buffer.getvalue())
    content = {
        **header,
        "times": track.times.tolist(),
        "points": _plain(track.points),
        "confidence": track.confidence.tolist(),
        "objects": {name: _plain(positions) for name, positions in track.objects.items()},
    }
    return write_atomically(path, json.dumps(content, allow_nan=False) + "\n")


def track_of_json(content: dict[str, Any]) -> HandTrack:
    """Return the track of a parsed JSON file.

    Raises:
        ValueError: A part is missing or invalid.
    """
    objects = content.get("objects")
    if not isinstance(objects, dict):
        raise ValueError("objects: expected positions by name")
    arrays = {name: _array(content.get(name), name) for name in ("times", "points", "confidence")}
    return _track(content, arrays, {str(name): _array(value, f"objects {name}") for name, value in objects.items()})


def track_of_arrays(arrays: dict[str, Any]) -> HandTrack:
    """Return the track of the arrays of an NPZ file.

    Raises:
        ValueError: A part is missing or invalid.
    """
    try:
        header = json.loads(np.asarray(arrays["header"], dtype=np.uint8).tobytes())
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"header: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("objects"), list):
        raise ValueError("header: expected a JSON object that lists objects")
    numeric = {name: _array(arrays.get(name), name) for name in ("times", "points", "confidence")}
    objects = {
        str(name): _array(arrays.get(f"object_{number}"), f"object {name}")
        for number, name in enumerate(header["objects"])
    }
    return _track(header, numeric, objects)


def _track(header: dict[str, Any], arrays: dict[str, Floats], objects: dict[str, Floats]) -> HandTrack:
    up, size = header.get("up"), header.get("image_size")
    if header.get("format") != FORMAT:
        raise ValueError(f"format is {header.get('format')!r}; expected {FORMAT!r}")
    if not all(
        isinstance(value, list) and len(value) == length and all(_is_number(part) for part in value)
        for value, length in ((up, 3), (size, 2))
        if value is not None
    ):
        raise ValueError(f"up is {up!r} and image_size {size!r}; expected 3 and 2 numbers")
    return make_track(
        arrays["times"],
        arrays["points"],
        cast(Any, header.get("frame")),
        cast(Any, header.get("hand")),
        confidence=arrays["confidence"],
        objects=objects,
        up=None if up is None else (up[0], up[1], up[2]),
        image_size=None if size is None else (int(size[0]), int(size[1])),
        source=str(header.get("source", ""))[:1000],
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _array(value: object, name: str) -> Floats:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.zeros(())
    if not array.ndim:
        raise ValueError(f"{name}: expected an array of numbers")
    return array


def _plain(values: Floats) -> list[Any]:
    """Return nested lists with None where a point is missing: JSON has no NaN."""
    rows: list[Any] = values.tolist()
    missing = np.isnan(values).any(axis=-1)
    if missing.any():
        for index in np.argwhere(missing):
            row = rows
            for step in index[:-1]:
                row = row[step]
            row[index[-1]] = [None] * values.shape[-1]
    return rows
