"""Script that uses a vector environment in a process of its own: ``scripts.py CASE``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded

import lam_envs  # noqa: F401  (registers the ids)


def made(**keywords: object) -> gym.vector.VectorEnv:  # type: ignore[type-arg]
    envs = gym.make_vec("LamReach-v0", num_envs=4, num_workers=2, **keywords)
    envs.reset(seed=0)
    return envs


def write_workers() -> None:
    sys.stdout.write(" ".join(str(worker.pid) for worker in multiprocessing.active_children()) + "\n")
    sys.stdout.flush()


def interrupted() -> None:
    """Step until Ctrl-C, which reaches all processes of the group, and go on."""
    envs = made()
    try:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            envs.step(np.zeros((4, 4), np.float32))
    except KeyboardInterrupt:
        # An interrupt may come between two steps: then nothing is lost.
        first, _ = envs.reset(seed=5)
        envs.step(np.zeros((4, 4), np.float32))
        again, _ = envs.reset(seed=5)
        assert first.tobytes() == again.tobytes()
    envs.close()
    assert not multiprocessing.active_children()
    sys.stdout.write("went on\n")


def interrupted_while_waiting() -> None:
    """Interrupt this process alone while the others step."""
    envs = made()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    # Slow calls: the alarm comes while this process waits for their results.
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        envs.step_async(np.zeros((4, 4), np.float32))  # type: ignore[attr-defined]
        for worker in multiprocessing.active_children():
            os.kill(worker.pid or 0, signal.SIGSTOP)
        envs.step_wait()  # type: ignore[attr-defined]
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            os.kill(worker.pid or 0, signal.SIGCONT)
    try:
        envs.step(np.zeros((4, 4), np.float32))
    except ResetNeeded:
        envs.reset(seed=0)
        envs.step(np.zeros((4, 4), np.float32))
    envs.close()
    sys.stdout.write("went on\n")


def left_behind() -> None:
    """End without closing anything."""
    envs = made()
    write_workers()
    envs.step(np.zeros((4, 4), np.float32))


def gone() -> None:
    """Wait for a signal that cannot be handled."""
    envs = made()
    write_workers()
    envs.step(np.zeros((4, 4), np.float32))
    time.sleep(60.0)


CASES = {
    "interrupted": interrupted,
    "interrupted_while_waiting": interrupted_while_waiting,
    "left_behind": left_behind,
    "gone": gone,
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
