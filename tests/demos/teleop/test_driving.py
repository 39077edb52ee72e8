"""Driving of one episode on a clock of the test: when the robot stops, and the rate that the page shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any, cast

import gymnasium as gym
import pytest

from demos.runtime.types import Env
from demos.teleop.driving import Attempt, Driving
from demos.teleop.inputs import SILENT_SECONDS, Inputs
from demos.teleop.messages import Command, Motion
from demos.teleop.motion import Steering
from tests.conftest import Make

PERIOD = 0.05
MESSAGE = 0.03
"""Time between two motions that the page sends, seconds."""
GONE, END = 3.0, 5.0
"""Times at which the page becomes silent, and at which the episode ends, seconds."""


class Clock:
    """Time that passes while the program waits, and while the robot moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class ScriptedInputs(Inputs):
    """Inputs of a page that sends motions until it is gone."""

    def __init__(self, clock: Clock, leave: Callable[[Inputs], None]) -> None:
        super().__init__(clock)
        self._time = clock
        self._begun = clock.now
        self._events: Iterator[tuple[float, Callable[[], None]]] = iter(
            [
                (0.0, self.connect),
                *((number * MESSAGE, lambda: self.move(Motion(up=0.2))) for number in range(int(GONE / MESSAGE) + 1)),
                (GONE, lambda: leave(self)),
                (END, lambda: self.send(Command("finish"))),
            ]
        )
        self._coming = next(self._events, None)
        self.last = 0.0
        """Time of the last sign of the page: a motion, or its end."""

    def move(self, motion: Motion) -> None:
        self.last = self._time.now - self._begun
        super().move(motion)

    def disconnect(self) -> None:
        self.last = self._time.now - self._begun
        super().disconnect()

    def command(self, timeout: float) -> Command | None:
        self._time.now += timeout
        while self._coming is not None and self._time.now - self._begun >= self._coming[0]:
            self._coming[1]()
            self._coming = next(self._events, None)
        return super().command(0.0)


class Watcher:
    """Program around the driving, which notes the rate and the reason of each halt."""

    def __init__(self) -> None:
        self.driving: Driving | None = None
        self.holds: set[str | None] = set()
        self.rates: list[float] = []

    def show(self) -> None:
        assert self.driving is not None
        self.holds.add(self.driving.hold)
        self.rates.append(self.driving.rate)

    def notice(self, text: str, *, is_error: bool = False) -> None:
        raise AssertionError(text)

    def handle(self, command: Command) -> bool:
        return False


class TimedSteps(gym.Wrapper[Any, Any, Any, Any]):
    """Steps that take some time, whose starts are noted."""

    def __init__(self, env: Env, clock: Clock, work: Iterator[float]) -> None:
        super().__init__(env)
        self._clock, self._work = clock, work
        self.times: list[float] = []

    def step(self, action: Any) -> Any:
        self.times.append(self._clock.now - 100.0)
        result = self.env.step(action)
        self._clock.now += next(self._work)
        return result


def drive(make: Make, leave: Callable[[Inputs], None], *work: float) -> tuple[list[float], float, Watcher]:
    """Return the times of the steps of an episode, that of the last sign of the page, and what it was shown."""
    clock, watcher = Clock(), Watcher()
    env = TimedSteps(make("LamReach-v0", max_episode_steps=1200), clock, cycle(work))
    inputs = ScriptedInputs(clock, leave)
    driving = Driving(env, inputs, Steering(cast(Env, env), "front"), watcher, None, PERIOD, clock=clock)
    watcher.driving = driving
    driving.drive(Attempt(seed=0))
    return env.times, inputs.last, watcher


@pytest.mark.parametrize("work", [0.0, 0.02, 0.049])
def test_the_robot_stops_within_two_steps_after_the_last_message_of_a_page(make: Make, work: float) -> None:
    times, last, watcher = drive(make, lambda inputs: None, work)
    assert len(times) > 50
    assert sum(time > last + 1e-6 for time in times) <= 2
    assert times[-1] <= last + SILENT_SECONDS + 1e-6
    assert "silent" in watcher.holds


@pytest.mark.parametrize("work", [0.0, 0.02, 0.049])
def test_the_robot_stops_at_once_when_the_page_disconnects(make: Make, work: float) -> None:
    times, last, watcher = drive(make, Inputs.disconnect, work)
    assert len(times) > 50
    assert times[-1] <= last + 1e-6
    assert watcher.holds >= {"silent"}


@pytest.mark.parametrize("work", [(0.01,), (0.09, 0.001), (0.005, 0.03, 0.1)])
def test_the_rate_is_the_number_of_steps_in_a_second(make: Make, work: tuple[float, ...]) -> None:
    times, _, watcher = drive(make, lambda inputs: None, *work)
    steady = [rate for rate in watcher.rates if rate][30:]
    assert len(steady) >= 20
    actual = (len(times) - 1) / (times[-1] - times[0])
    assert sum(steady) / len(steady) == pytest.approx(actual, rel=0.05)
