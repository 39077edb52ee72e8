"""Hardware rendering without a display: PyBullet's EGL plugin, for a GPU or Mesa's software renderer."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys

from lam_envs.bullet import pybullet
from lam_envs.quiet import Silenced

PLUGIN = "eglRenderer"
FUNCTION_PREFIX = "_eglRendererPlugin"
PROBE = "from lam_envs import egl; egl.draw_once()"
PROBE_SECONDS = 60
WARM_UP = 2
"""The first pictures of a client lack the shadows that all later ones have, so these are not shown."""


def load(client: int) -> int:
    """Loads the plugin into a client that has no bodies yet.

    Returns:
        The renderer's number, for ``getCameraImage``.

    Raises:
        RuntimeError: There is no EGL here.
    """
    trouble = _trouble()
    if trouble is not None:
        raise RuntimeError(
            f'renderer="egl" needs OpenGL without a display, and it does not work here: {trouble}. Install a GPU '
            'driver or Mesa (on Debian: libegl1 and libgl1-mesa-dri), or use renderer="tiny".'
        )
    with Silenced():
        _attach(client)
    return int(pybullet.ER_BULLET_HARDWARE_OPENGL)


def draw_once() -> None:
    """Draws one picture. Run in a process of its own, as the plugin ends the process where it cannot work."""
    client = pybullet.connect(pybullet.DIRECT)
    _attach(client)
    pybullet.getCameraImage(8, 8, renderer=pybullet.ER_BULLET_HARDWARE_OPENGL, physicsClientId=client)


def _attach(client: int) -> None:
    library = importlib.util.find_spec(PLUGIN)
    if library is None or library.origin is None:
        raise RuntimeError("this build of PyBullet has no EGL plugin")
    if pybullet.loadPlugin(library.origin, FUNCTION_PREFIX, physicsClientId=client) < 0:
        raise RuntimeError("PyBullet could not load its EGL plugin")


@functools.cache
def _trouble() -> str | None:
    """What keeps EGL from working, or None. Asked once a process."""
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter and a constant)
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it did not draw a picture within {PROBE_SECONDS} s"
    if done.returncode == 0:
        return None
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return said[-1].strip().rstrip(".") if said else f"its process ended with {done.returncode}"
