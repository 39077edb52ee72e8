"""An agent that hangs does not hang its evaluation: an error names the episode, or its process ends and says why."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.evaluation.deadline import Deadline, Interrupted
from agents.evaluation.evaluation import EPISODE_SECONDS, evaluate


class Quick(gym.Env[Any, Any]):
    """An environment whose episodes take no time, however busy the machine is."""

    observation_space = action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros(1, np.float32), {"is_success": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return action, 0.0, True, False, {"is_success": True}


class HangsLater:
    """Agent that never answers in its second episode."""

    def __init__(self, hang: Any) -> None:
        self.episodes = 0
        self.hang = hang

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        self.episodes += bool(episode_start[0])
        if self.episodes == 2:
            self.hang()
        return np.zeros(1, dtype=np.float32), None


def spin() -> None:
    while True:
        pass


def spin_on() -> None:
    """Catch errors, as agents do that retry."""
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # noqa: S112
            continue


@pytest.mark.parametrize("hang", [spin, spin_on, lambda: threading.Event().wait()])
def test_an_agent_that_hangs_is_an_error_that_names_the_episode(hang: Any) -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match=r"the episode with seed 8 took longer than 0.3 s"):
        evaluate(HangsLater(hang), Quick(), seeds=[7, 8], episode_seconds=0.3)
    assert signal.getsignal(signal.SIGALRM) == handler


def test_an_agent_that_hangs_in_another_thread_is_an_error_too() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            evaluate(HangsLater(spin), Quick(), seeds=[7, 8], episode_seconds=0.3)
        except TimeoutError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60.0)
    assert [str(error) for error in errors] == ["the episode with seed 8 took longer than 0.3 s"]


HANGING = """
import collections, itertools, sys
import numpy as np
from agents.evaluation import deadline
from agents.evaluation.evaluation import evaluate

deadline.GRACE_SECONDS, deadline.REPEAT_SECONDS = 1.0, 0.1

def count():
    collections.deque(itertools.count(), maxlen=0)

def swallow():
    while True:
        try:
            count_a_little()
        except BaseException:
            continue

def count_a_little():
    for _ in range(1000):
        pass

class Hanging:
    def predict(self, *args, **keywords):
        globals()[sys.argv[1]]()

evaluate(Hanging(), "LamReach-v0", seeds=[7], episode_seconds=0.3)
"""


@pytest.mark.parametrize(
    ("hang", "message"),
    [
        ("count", "Timeout"),
        pytest.param(
            "swallow",
            "error: the episode with seed 7 took longer than 0.3 s and cannot be interrupted",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_process_that_cannot_be_interrupted_ends_and_says_where_it_hangs(hang: str, message: str) -> None:
    done = subprocess.run([sys.executable, "-c", HANGING, hang], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert message in done.stderr
    assert f"in {hang}\n" in done.stderr
    assert "in predict" in done.stderr


def test_a_block_in_time_leaves_nothing_behind() -> None:
    before = threading.active_count()
    with Deadline(60.0, "a block"):
        pass
    assert threading.active_count() == before


def test_an_alarm_around_a_block_is_heard_in_it() -> None:
    heard: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    left, repeat = signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with Deadline(60.0, "a block"):
            while not heard:
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, left, repeat)
    assert heard == [signal.SIGALRM]


def test_of_two_limits_the_one_that_is_over_is_named() -> None:
    with (
        pytest.raises(TimeoutError, match="the outer block took longer"),
        Deadline(0.2, "the outer block"),
        Deadline(60.0, "the inner block"),
    ):
        time.sleep(1000.0)


def test_a_limit_that_is_none_is_refused() -> None:
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected seconds above 0, or None for no limit"):
            evaluate(HangsLater(spin), Quick(), seeds=[0], episode_seconds=seconds)
    assert len(evaluate(HangsLater(spin), Quick(), seeds=[0], episode_seconds=None).episodes) == 1
    assert not issubclass(Interrupted, Exception), "code that catches all errors would go on"


def test_the_documents_state_the_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    assert EPISODE_SECONDS == 3600.0
    assert "the time limit of an episode is one hour" in text
