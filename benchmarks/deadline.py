"""A limit to the wall time of an episode, for agents that may never answer."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from demos.recording import Acting

AGAIN = 0.5
"""Seconds between interruptions after the first."""
PATIENCE = 3.0
"""Seconds after which what does not let itself be interrupted is ended with its process."""


class TookTooLong(BaseException):
    """Something took too long."""


class Alarm:
    """A limit to the wall time of a ``with`` block.

    It interrupts whatever Python code runs, again and again, as that may catch what interrupts it; after some seconds
    more it ends the process. Where there is no such alarm, outside of the main thread and on Windows, nothing happens
    until :meth:`look` is called.

    Args:
        seconds: That it may take.
        what: Takes them.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds = seconds
        self._what = what
        self._rings = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
        self._before: Any = None
        self._until = 0.0

    def __enter__(self) -> Alarm:
        if self._rings:
            self._before = signal.signal(signal.SIGALRM, self._ring)
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rings:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, self._before)
            faulthandler.cancel_dump_traceback_later()

    def begin(self) -> None:
        """Begins the time anew."""
        self._until = time.monotonic() + self._seconds
        if self._rings:
            signal.setitimer(signal.ITIMER_REAL, self._seconds, AGAIN)
            # Also where no Python code runs that could be interrupted. What it writes is read by nobody.
            faulthandler.dump_traceback_later(self._seconds + PATIENCE, exit=True, file=_nowhere())

    def look(self) -> None:
        """Raises an error if the time is over.

        Raises:
            TookTooLong: It is.
        """
        if time.monotonic() > self._until:
            self._ring()

    def _ring(self, number: int = 0, frame: FrameType | None = None) -> None:
        raise TookTooLong(f"{self._what} took longer than {self._seconds:g} s")


def _nowhere() -> int:
    """A file that swallows what is written."""
    global _swallows
    if _swallows is None:
        _swallows = os.open(os.devnull, os.O_WRONLY)
    return _swallows


_swallows: int | None = None


class Deadline:
    """An agent whose episodes may take so long, and no longer, within a ``with`` block: see :class:`Alarm`.

    Args:
        agent: Whose episodes are limited.
        seconds: Of an episode.
    """

    def __init__(self, agent: Acting, seconds: float) -> None:
        self._agent = agent
        self._alarm = Alarm(seconds, "an episode")

    def __enter__(self) -> Acting:
        if not isinstance(self._agent, Acting):
            raise TypeError(f"a {type(self._agent).__name__} is no agent: it has no predict(observation, ...)")
        self._alarm.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.__exit__(kind, error, trace)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Acts as the agent does; a new episode begins the time anew."""
        if episode_start is not None and episode_start[0]:
            self._alarm.begin()
        else:
            self._alarm.look()
        return self._agent.predict(observation, state=state, episode_start=episode_start, deterministic=deterministic)
