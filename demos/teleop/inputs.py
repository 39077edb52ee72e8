"""Inputs of the person, as the server receives them and the simulation reads them in another thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from demos.teleop.messages import Command, Motion

SILENT_SECONDS = 0.1
"""Age of the last motion message, two steps, after which the robot stops."""


class Inputs:
    """Latest motion and waiting commands of the person who drives.

    Args:
        clock: Function that returns the time, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._motion = Motion()
        self._received: float | None = None
        self._connected = False
        self._commands: queue.Queue[Command] = queue.Queue()

    # Called by the server

    def connect(self) -> None:
        """Accept inputs of a new page."""
        with self._lock:
            self._connected, self._received, self._motion = True, None, Motion()

    def disconnect(self) -> None:
        """Stop the robot: the page is gone."""
        with self._lock:
            self._connected, self._received, self._motion = False, None, Motion()
        self._commands.put(Command("disconnected"))

    def move(self, motion: Motion) -> None:
        """Set the motion that the person asks for."""
        with self._lock:
            self._motion, self._received = motion, self._clock()

    def send(self, command: Command) -> None:
        """Add a command."""
        self._commands.put(command)

    # Called by the simulation

    @property
    def motion(self) -> Motion:
        """Motion that the person asks for."""
        with self._lock:
            return self._motion

    @property
    def is_connected(self) -> bool:
        """True while a page is connected."""
        with self._lock:
            return self._connected

    @property
    def is_live(self) -> bool:
        """True while a page is connected and sends motions."""
        with self._lock:
            return self._received is not None and self._clock() - self._received <= SILENT_SECONDS

    def command(self, timeout: float) -> Command | None:
        """Wait for a command and return it; None after some seconds."""
        try:
            return self._commands.get(timeout=timeout) if timeout > 0.0 else self._commands.get_nowait()
        except queue.Empty:
            return None
