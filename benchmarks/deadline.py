"""A limit to the wall time of an episode, for agents that may never answer."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from demos.recording import Acting

AGAIN = 0.5
"""Seconds between interruptions after the first."""


class TookTooLong(BaseException):
    """An episode took too long."""


class Deadline:
    """An agent whose episodes may take so long, and no longer, within a ``with`` block.

    It interrupts whatever Python code runs, of the agent or the environment, by the alarm of the process. Where there
    is no such alarm, outside of the main thread and on Windows, it is looked at when the agent is asked next.

    Args:
        agent: Whose episodes are limited.
        seconds: Of an episode.
    """

    def __init__(self, agent: Acting, seconds: float) -> None:
        self._agent = agent
        self._seconds = seconds
        self._has_alarm = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
        self._before: Any = None
        self._until = 0.0

    def __enter__(self) -> Acting:
        if not isinstance(self._agent, Acting):
            raise TypeError(f"a {type(self._agent).__name__} is no agent: it has no predict(observation, ...)")
        if self._has_alarm:
            self._before = signal.signal(signal.SIGALRM, self._ring)
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._has_alarm:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, self._before)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Acts as the agent does; a new episode begins the time anew."""
        if episode_start is not None and episode_start[0]:
            self._begin()
        elif time.monotonic() > self._until:
            self._ring()
        return self._agent.predict(observation, state=state, episode_start=episode_start, deterministic=deterministic)

    def _begin(self) -> None:
        self._until = time.monotonic() + self._seconds
        if self._has_alarm:
            # Again and again: an agent may catch what interrupts it.
            signal.setitimer(signal.ITIMER_REAL, self._seconds, AGAIN)

    def _ring(self, number: int = 0, frame: FrameType | None = None) -> None:
        raise TookTooLong(f"an episode took longer than {self._seconds:g} s")
