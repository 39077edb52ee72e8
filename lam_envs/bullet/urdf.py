"""Loading of robot descriptions (URDF)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import pybullet_data

from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import Vector3

DATA_PACKAGE = "package://pybullet_data"


def load_urdf(client: int, path: Path, base: Vector3, *, visible: bool) -> int:
    """Load a robot with its base fixed to the world, and return its PyBullet body id.

    Args:
        client: PyBullet's id of the client (``physicsClientId``).
        path: The description. Meshes named ``package://pybullet_data/...`` are those of the installed PyBullet.
        base: Position of the base, meters.
        visible: False in a client that renders nothing: half of the time to load a robot is for visual shapes.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: Bullet cannot read the file as a robot description.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no robot description at {path}")
    flags = 0 if visible else pybullet.URDF_IGNORE_VISUAL_SHAPES
    text = path.read_text(encoding="utf-8")
    if DATA_PACKAGE not in text:
        return _load(client, path, base, flags)
    # Bullet searches meshes only in the folders above the description, whatever search path is set.
    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder) / path.name
        resolved.write_text(text.replace(DATA_PACKAGE, escape(pybullet_data.getDataPath())), encoding="utf-8")
        return _load(client, resolved, base, flags)


def _load(client: int, path: Path, base: Vector3, flags: int) -> int:
    try:
        return int(
            pybullet.loadURDF(str(path), basePosition=base, useFixedBase=True, flags=flags, physicsClientId=client)
        )
    except pybullet.error as error:
        raise ValueError(f"{path.name} is no robot description that Bullet can read: {error}") from None
