"""Connection of Bullet clients: without a window, with a window, and with OpenGL by EGL."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import AbstractContextManager

from lam_envs.bullet import egl
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.quiet import SuppressOutput


def connect(*, window: bool) -> int:
    """Connect to a new client.

    Returns:
        PyBullet's id of the client (``physicsClientId``).

    Raises:
        RuntimeError: A window was requested and there is no display, this process has a window already, or Bullet has
            reached its limit of clients.
    """
    if window and not _has_display():
        raise RuntimeError(
            "render_mode='human' opens a window, and there is no display (DISPLAY is not set). "
            "Use render_mode='rgb_array', or run under a virtual display: xvfb-run -a python ..."
        )
    client = _open_window() if window else int(pybullet.connect(pybullet.DIRECT))
    if client < 0:
        raise RuntimeError(
            "PyBullet could not create a client: the limit of clients may be reached. Close environments that are "
            "not used."
        )
    return client


def load_egl(client: int) -> AbstractContextManager[None]:
    """Load the EGL plugin into a client, and disconnect the client if that fails.

    Returns:
        The OpenGL context of the client.

    Raises:
        RuntimeError: EGL does not work here.
    """
    try:
        return egl.load(client)
    except RuntimeError:
        if pybullet.isConnected(client):
            pybullet.disconnect(client)
        raise


def disconnect(client: int, pid: int, opengl: AbstractContextManager[None], *, suppress_output: bool) -> None:
    """Disconnect a client.

    Args:
        client: PyBullet's id of the client (``physicsClientId``).
        pid: Process that connected it. In other processes this function does nothing.
        opengl: OpenGL context of the client.
        suppress_output: True if Bullet prints when it disconnects the client.
    """
    if os.getpid() == pid and pybullet.isConnected(client):
        with opengl, SuppressOutput() if suppress_output else contextlib.nullcontext():
            pybullet.disconnect(client)


def _open_window() -> int:
    """Connect to a new window.

    Raises:
        RuntimeError: This process has one already.
    """
    try:
        with SuppressOutput():
            return int(pybullet.connect(pybullet.GUI))
    except pybullet.error:
        raise RuntimeError(
            "render_mode='human' opens one window in a process, and this process (or the one it was forked from) has "
            "one already. Close the environment that it belongs to, use render_mode='rgb_array', or start the "
            'process with "spawn".'
        ) from None


def _has_display() -> bool:
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY"))
