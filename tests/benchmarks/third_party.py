"""Third-party agents with only ``predict``; most of them fail."""

from __future__ import annotations

import collections
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from typing import Any

import gymnasium as gym
import numpy as np

import agents
from agents.spec import AgentSpec


class ZeroAgent:
    """Do nothing."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._zero = np.zeros(env.action_space.shape or (), dtype=env.action_space.dtype)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        return self._zero, state


class Raising(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        raise KeyError("a mistake of mine")


class NotANumber(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        return self._zero * np.nan, None


class WrongShape(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        return np.zeros(9, dtype=np.float32), None


class Hanging(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        while True:
            time.sleep(0.01)


class Exiting(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        raise SystemExit(3)


class Stubborn(ZeroAgent):
    """Hangs, and catches what interrupts it."""

    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # noqa: S112
                continue


class Interrupting(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        raise KeyboardInterrupt


class Garbled(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        raise ValueError("\udcff bad")


class Wandering(ZeroAgent):
    """Works, from another folder."""

    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        os.chdir("/")
        return self._zero, None


class Killing(ZeroAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        os._exit(3)


class Swallowing(ZeroAgent):
    """Hangs, and catches whatever interrupts it."""

    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        while True:
            try:
                time.sleep(0.01)
            except BaseException:  # noqa: S112
                continue


class Counting(ZeroAgent):
    """Hangs in compiled code, which cannot be interrupted."""

    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        collections.deque(itertools.count(), maxlen=0)
        raise AssertionError


class Bare(ZeroAgent):
    """Return no memory."""

    def predict(self, *args: Any, **keywords: Any) -> Any:
        return self._zero


class Cheating(ZeroAgent):
    """Changes the environment for all who come after it in the same process."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        kind: Any = type(env.unwrapped)
        honest = kind.step

        def step(own: Any, action: Any) -> Any:
            *rest, info = honest(own, action)
            return (*rest, {**info, "is_success": True})

        kind.step = step


class Littering(ZeroAgent):
    """Leave a thread and a process behind that do not end."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        threading.Thread(target=time.sleep, args=(600.0,)).start()
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


class Drawing(ZeroAgent):
    """Draw from global generators, and remembers what it did before."""

    acted = 0

    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        Drawing.acted += 1
        drawn = np.random.uniform(-1.0, 1.0, self._zero.shape) + random.random() / Drawing.acted  # noqa: NPY002, S311
        return np.clip(drawn, -1.0, 1.0).astype(np.float32), None


class Unkept(ZeroAgent):
    """Learns, and cannot be saved."""

    def learn(self, *args: Any, **keywords: Any) -> None:
        raise AssertionError("nobody asks")


class ShyOfCameras(ZeroAgent):
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._recorded = env.render_mode is not None

    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        if self._recorded:
            raise SystemExit("no images")
        return self._zero, None


class HangingInItsVideo(ShyOfCameras):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        while self._recorded:
            time.sleep(0.01)
        return self._zero, None


def rising(observation: Any) -> Any:
    """An agent that is a function of the observation."""
    return np.array([0.0, 0.0, 1.0, 0.0], dtype=np.float32)


def make_zero_agent(env: gym.Env[Any, Any], speed: float = 1.0) -> ZeroAgent:
    """Make an agent."""
    agent = ZeroAgent(env)
    agent._zero = agent._zero + np.float32(speed)
    return agent


made = AgentSpec("made", needs_demonstrations=False, make=make_zero_agent)


class Ready:
    """An agent that was made already."""

    def predict(self, observation: Any, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        return rising(observation), None


ready = Ready()
nothing = 3
trainable = AgentSpec("trainable", make=lambda env: agents.make("bc", env))
