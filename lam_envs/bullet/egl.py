"""Rendering without a display by PyBullet's EGL plugin, on a GPU or by Mesa.

OpenGL renders with the context that is current in a thread, and the plugin makes its context current only once, when
it is loaded into a client. So each client has a :class:`Context`, which is current while its bodies are made or
rendered.
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
from lam_envs.bullet.quiet import SuppressOutput

PLUGIN = "eglRenderer"
FUNCTION_PREFIX = "_eglRendererPlugin"
PROBE = "from lam_envs.bullet import egl; egl.render_once()"
PROBE_TIMEOUT = 60
WARM_UP = 2
"""Number of images to discard: the first images of a client lack the shadows that all later ones have."""
RENDERER = int(pybullet.ER_BULLET_HARDWARE_OPENGL)
"""Number of the renderer for ``getCameraImage``."""

LIBRARIES = ("libEGL.so.1", "libEGL.so")
"""File names of the EGL library, in the order in which the plugin tries them."""
EGL_DRAW, EGL_READ = 0x3059, 0x305A
OBJECT_KINDS = ("Program", "Buffer", "VertexArray", "Texture", "Framebuffer")
"""Kinds of OpenGL objects that the plugin makes for each context."""
MAX_NAME = 256
"""Upper bound of the names of objects that the plugin makes before the first body: 27 with Mesa."""

Names = tuple[tuple[int, ...], ...]

_loaded_by: int | None = None
"""Id of the process that loaded the plugin first."""
_first_names: Names | None = None
"""Names of the OpenGL objects that the plugin made in the first context of this process."""


class _Binding(NamedTuple):
    """Context and its surfaces, as pointers of EGL; None where there is none."""

    display: int | None
    draw: int | None
    read: int | None
    context: int | None


class Context:
    """OpenGL context of one client, current within a ``with`` block. Blocks may be nested.

    Outside of a block it is current in no thread, so any thread can use the environment.

    Raises:
        RuntimeError: Another thread is within a block, or uses OpenGL by another library than EGL.
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
    """Load the plugin into a client that has no bodies yet.

    Returns:
        The context of the client.

    Raises:
        RuntimeError: EGL does not work here, this process was forked from one that had loaded the plugin, or the
            driver cannot render several scenes in a process. The client stays connected.
    """
    global _loaded_by, _first_names
    if _loaded_by not in (None, os.getpid()):
        raise RuntimeError(
            'renderer="egl" cannot render in this process: it was forked from one that had rendered with OpenGL, '
            'which does not work after a fork. Start it with "spawn" instead (AsyncVectorEnv(..., context="spawn"), '
            'SubprocVecEnv(..., start_method="spawn")), render only after the fork, or use renderer="tiny".'
        )
    error = _egl_error()
    if error is not None:
        raise RuntimeError(
            f'renderer="egl" needs OpenGL without a display, and it does not work here: {error}. Install a GPU '
            'driver or Mesa (on Debian: libegl1 and libgl1-mesa-dri), or use renderer="tiny".'
        )
    before = _binding()
    _loaded_by = os.getpid()
    with SuppressOutput():
        _attach(client)
    context, names = Context(_binding()), _object_names()
    _bind(before)
    # The plugin stores the names of its shaders and lines once, for all contexts.
    _first_names = _first_names or names
    if names != _first_names:
        with context, SuppressOutput():
            pybullet.disconnect(client)
        raise RuntimeError(
            "with this OpenGL driver PyBullet's EGL plugin can render only one scene in a process: use one process "
            'for each environment, without render() beside pixel observations, or renderer="tiny".'
        )
    return context


def render_once() -> None:
    """Render one image. Run it in a process of its own: the plugin ends the process where EGL does not work."""
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
def _egl_error() -> str | None:
    """Return why EGL does not work here, or None. Tested once per process."""
    # The process may not find this package otherwise: a program can add folders to the search path of modules.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        process = subprocess.run(  # noqa: S603  (this interpreter and a constant)
            [sys.executable, "-c", PROBE],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return f"it did not render an image within {PROBE_TIMEOUT} s"
    if process.returncode == 0:
        return None
    output = [line for line in (process.stdout + process.stderr).splitlines() if line.strip()]
    return output[-1].strip().rstrip(".") if output else f"its process exited with status {process.returncode}"


@functools.cache
def _library() -> ctypes.CDLL:
    """Load the EGL library that the plugin uses.

    Raises:
        RuntimeError: The library is not installed.
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
    raise RuntimeError(f"no EGL library found; expected {' or '.join(LIBRARIES)}")


def _binding() -> _Binding:
    """Return the binding that is current in this thread."""
    egl = _library()
    return _Binding(
        egl.eglGetCurrentDisplay(),
        egl.eglGetCurrentSurface(EGL_DRAW),
        egl.eglGetCurrentSurface(EGL_READ),
        egl.eglGetCurrentContext(),
    )


def _bind(binding: _Binding) -> None:
    """Make a context, or none, current in this thread.

    Raises:
        RuntimeError: EGL reports an error.
    """
    egl = _library()
    # EGL releases a context only through the display in which it is current.
    display = egl.eglGetCurrentDisplay() if binding.context is None else binding.display
    if display is not None and not egl.eglMakeCurrent(display, binding.draw, binding.read, binding.context):
        raise RuntimeError(
            f"EGL cannot use its OpenGL context in this thread (error {egl.eglGetError():#x}): another thread may "
            "render the same environment, or this thread may have an OpenGL context of a window. Render in one "
            "thread."
        )


def _object_names() -> Names:
    """Return the names of the objects in the current context, for each of :data:`OBJECT_KINDS`."""
    return tuple(tuple(name for name in range(1, MAX_NAME) if _exists(kind)(name)) for kind in OBJECT_KINDS)


@functools.cache
def _exists(kind: str) -> Callable[[int], int]:
    """Return OpenGL's function that tests if the current context has an object of a kind with a given name."""
    address = _library().eglGetProcAddress(f"glIs{kind}".encode())
    return ctypes.CFUNCTYPE(ctypes.c_ubyte, ctypes.c_uint)(address)
