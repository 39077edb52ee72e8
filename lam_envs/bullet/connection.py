"""Connection of Bullet clients: without a window, with a window, and with OpenGL by EGL."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import AbstractContextManager

from lam_envs.bullet import egl
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.quiet import SuppressOutput

MAX_IDLE = 2
"""Largest number of clients that a process saves for new simulations. To connect takes 3 to 13 ms, and episodes whose
bodies differ need up to two clients each."""
_idle: list[tuple[int, int]] = []
"""Process and client of simulations that other ones replace."""


def connect_physics(*, is_simple: bool = True) -> int:
    """Connect to a client without a window and without bodies. An earlier simulation may have used and released it.

    Args:
        is_simple: Compare every pair of bodies. For a dozen boxes that is faster than maintaining a tree of them, by
            5% of a step; but to make the world takes 2 ms longer.

    Returns:
        PyBullet's id of the client.

    Raises:
        RuntimeError: Bullet has reached its limit of clients.
    """
    client = -1
    while _idle and client < 0:
        pid, idle = _idle.pop()
        # A fork inherits the list, but cannot use the clients.
        if pid == os.getpid() and pybullet.isConnected(idle):
            client = idle
    if client < 0:
        client = connect(window=False)
    pybullet.resetSimulation(pybullet.RESET_USE_SIMPLE_BROADPHASE if is_simple else 0, physicsClientId=client)
    return client


def release(client: int, pid: int) -> None:
    """Save a client for the next call of :func:`connect_physics`, or disconnect it if there are enough.

    Args:
        client: PyBullet's id of a client without a window and plugins.
        pid: Process that connected it. In other processes this function does nothing.
    """
    if os.getpid() != pid or not pybullet.isConnected(client):
        return
    if len(_idle) < MAX_IDLE:
        _idle.append((pid, client))
    else:
        pybullet.disconnect(client)


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


def disconnect(client: int, pid: int, opengl: AbstractContextManager[None], *, quiet: bool) -> None:
    """Disconnect a client.

    Args:
        client: PyBullet's id of the client (``physicsClientId``).
        pid: Process that connected it. In other processes this function does nothing.
        opengl: OpenGL context of the client.
        quiet: True if Bullet prints when it disconnects the client.
    """
    if os.getpid() == pid and pybullet.isConnected(client):
        with opengl, SuppressOutput() if quiet else contextlib.nullcontext():
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
