"""Hardware rendering without a display: PyBullet's EGL plugin, for a GPU or Mesa's software renderer.

OpenGL draws with the context that is current in a thread, and the plugin makes its context current only once, when it
is loaded into a client. So each client has a :class:`Context`, which is current while its bodies are made or drawn.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from lam_envs.bullet.client import pybullet
from lam_envs.bullet.quiet import Silenced

PLUGIN = "eglRenderer"
FUNCTION_PREFIX = "_eglRendererPlugin"
PROBE = "from lam_envs import egl; egl.draw_once()"
PROBE_SECONDS = 60
WARM_UP = 2
"""The first pictures of a client lack the shadows that all later ones have, so these are not shown."""
RENDERER = int(pybullet.ER_BULLET_HARDWARE_OPENGL)
"""The renderer's number, for ``getCameraImage``."""

LIBRARIES = ("libEGL.so.1", "libEGL.so")
"""File names of the EGL library, in the order in which the plugin looks for it."""
EGL_DRAW, EGL_READ = 0x3059, 0x305A
OBJECT_KINDS = ("Program", "Buffer", "VertexArray", "Texture", "Framebuffer")
"""Kinds of OpenGL objects that the plugin makes for each context."""
MAX_NAME = 256
"""Far above the names of the objects that the plugin makes before the first body: 27 with Mesa."""

Names = tuple[tuple[int, ...], ...]

_loaded_by: int | None = None
"""Id of the process that loaded the plugin first."""
_first_names: Names | None = None
"""Names of the OpenGL objects that the plugin made in this process's first context."""


class _Binding(NamedTuple):
    """A context and its surfaces, as EGL's pointers; None where there is none."""

    display: int | None
    draw: int | None
    read: int | None
    context: int | None


class Context:
    """The OpenGL context of one client, current within a ``with`` block. Blocks may be nested.

    Elsewhere it is current in no thread, so any thread can use its environment.

    Raises:
        RuntimeError: Another thread is within a block at this moment, or uses OpenGL through something else than EGL.
    """

    def __init__(self, binding: _Binding) -> None:
        self._binding = binding
        self._before: list[_Binding] = []

    def __enter__(self) -> None:
        before = _binding()
        _bind(self._binding)
        self._before.append(before)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _bind(self._before.pop())


def load(client: int) -> Context:
    """Loads the plugin into a client that has no bodies yet.

    Returns:
        The client's context.

    Raises:
        RuntimeError: There is no EGL here, this process was forked after another one had loaded the plugin, or the
            driver cannot draw several scenes in a process. The client stays connected.
    """
    global _loaded_by, _first_names
    if _loaded_by not in (None, os.getpid()):
        raise RuntimeError(
            'renderer="egl" cannot draw in this process: it was forked from one that had drawn with OpenGL, which '
            'does not work after a fork. Start it with "spawn" instead (AsyncVectorEnv(..., context="spawn"), '
            'SubprocVecEnv(..., start_method="spawn")), draw only after the fork, or use renderer="tiny".'
        )
    trouble = _trouble()
    if trouble is not None:
        raise RuntimeError(
            f'renderer="egl" needs OpenGL without a display, and it does not work here: {trouble}. Install a GPU '
            'driver or Mesa (on Debian: libegl1 and libgl1-mesa-dri), or use renderer="tiny".'
        )
    before = _binding()
    _loaded_by = os.getpid()
    with Silenced():
        _attach(client)
    context, names = Context(_binding()), _object_names()
    _bind(before)
    # The plugin saves the names of its shaders and lines once, for all contexts.
    _first_names = _first_names or names
    if names != _first_names:
        with context, Silenced():
            pybullet.disconnect(client)
        raise RuntimeError(
            "with this OpenGL driver PyBullet's EGL plugin can draw only one scene in a process: use one process for "
            'each environment, without render() beside pixel observations, or renderer="tiny".'
        )
    return context


def draw_once() -> None:
    """Draws one picture. Run in a process of its own, as the plugin ends the process where it cannot work."""
    client = pybullet.connect(pybullet.DIRECT)
    _attach(client)
    pybullet.getCameraImage(8, 8, renderer=RENDERER, physicsClientId=client)


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


@functools.cache
def _library() -> ctypes.CDLL:
    """Load the EGL library that the plugin uses.

    Raises:
        RuntimeError: There is none.
    """
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.eglGetCurrentDisplay.restype = ctypes.c_void_p
        library.eglGetCurrentSurface.restype = ctypes.c_void_p
        library.eglGetCurrentSurface.argtypes = [ctypes.c_int]
        library.eglGetCurrentContext.restype = ctypes.c_void_p
        library.eglMakeCurrent.argtypes = [ctypes.c_void_p] * 4
        library.eglGetProcAddress.restype = ctypes.c_void_p
        library.eglGetProcAddress.argtypes = [ctypes.c_char_p]
        return library
    raise RuntimeError(f"found no EGL library: {' or '.join(LIBRARIES)}")


def _binding() -> _Binding:
    """Read the binding that is current in this thread."""
    egl = _library()
    return _Binding(
        egl.eglGetCurrentDisplay(),
        egl.eglGetCurrentSurface(EGL_DRAW),
        egl.eglGetCurrentSurface(EGL_READ),
        egl.eglGetCurrentContext(),
    )


def _bind(wanted: _Binding) -> None:
    """Make a context current in this thread, or none.

    Raises:
        RuntimeError: EGL refuses.
    """
    egl = _library()
    # EGL releases a context only through the display in which it is current.
    display = egl.eglGetCurrentDisplay() if wanted.context is None else wanted.display
    if display is not None and not egl.eglMakeCurrent(display, wanted.draw, wanted.read, wanted.context):
        raise RuntimeError(
            f"EGL cannot use its OpenGL context in this thread (error {egl.eglGetError():#x}): another thread may "
            "draw the same environment, or this thread may have an OpenGL context of a window. Draw in one thread."
        )


def _object_names() -> Names:
    """Read the names of the objects in the current context, for each of :data:`OBJECT_KINDS`."""
    return tuple(tuple(name for name in range(1, MAX_NAME) if _exists(kind)(name)) for kind in OBJECT_KINDS)


@functools.cache
def _exists(kind: str) -> Callable[[int], int]:
    """Return OpenGL's function that reports whether the current context has an object of a kind with some name."""
    address = _library().eglGetProcAddress(f"glIs{kind}".encode())
    return ctypes.CFUNCTYPE(ctypes.c_ubyte, ctypes.c_uint)(address)
