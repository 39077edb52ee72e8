"""Files of motions: JSON, whose numbers are checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path

from demos.human.motion.hand_motion import HandMotion, motion_of_json
from demos.runtime.files import write_atomically

FOLDER = Path(__file__).parent
MAX_BYTES = 2**20


def motion_names() -> list[str]:
    """Return the names of the motions that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def read_motion(name: str) -> HandMotion:
    """Read a motion.

    Args:
        name: Name of a motion that comes with the package, or path of a JSON file.

    Raises:
        ValueError: There is no such motion, or the file is invalid.
    """
    path = Path(name) if name.endswith(".json") else FOLDER / f"{name}.json"
    if not name.endswith(".json") and name not in motion_names():
        raise ValueError(
            f"no motion {name!r}; expected one of {', '.join(motion_names())}, or the path of a JSON file"
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("expected a JSON object")
        return motion_of_json(content)
    except FileNotFoundError:
        raise ValueError(f"there is no file {name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from error


def save_motion(motion: HandMotion, path: str | Path) -> Path:
    """Write a motion to a JSON file.

    Raises:
        ValueError: The name has another suffix.
    """
    path = Path(path)
    if path.suffix != ".json":
        raise ValueError(f"cannot write {path}: expected a name that ends in .json")
    return write_atomically(path, json.dumps(motion.as_json(), allow_nan=False) + "\n")
