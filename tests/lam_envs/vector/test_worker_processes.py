"""Worker processes: start methods, errors, signals, and what remains when they or their parent end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError, ResetNeeded

from lam_envs.vector import ParallelVectorEnv

from .comparing import assert_same, batches, vector

SCRIPTS = Path(__file__).with_name("scripts.py")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (the system's folder of shared memory)


class Failing(gym.Wrapper[Any, Any, Any, Any]):
    """Environment that fails at the second step of an episode with one seed."""

    def __init__(self, env: gym.Env[Any, Any], error: Exception) -> None:
        super().__init__(env)
        self.error = error
        self.left = 0
        self.functions = [lambda: None]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.left = 2 if seed == 13 else 1000
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return super().step(action)


class OddError(Exception):
    """Error that cannot be made again from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def failing(error: Exception, workers: int, count: int = 4) -> ParallelVectorEnv:
    return ParallelVectorEnv([lambda: Failing(gym.make("LamReach-v0"), error)] * count, num_workers=workers)


@pytest.mark.parametrize(
    "method", ["spawn", *(pytest.param(method, marks=pytest.mark.slow) for method in ("fork", "forkserver"))]
)
def test_every_start_method_gives_the_same_episodes(method: str) -> None:
    with vector(num_workers=1) as envs:
        actions = batches(envs, 3)
        expected = [envs.reset(seed=1), *(envs.step(action) for action in actions)]
    with vector(num_workers=2, context=method) as envs:
        assert len(multiprocessing.active_children()) == 2
        assert_same([envs.reset(seed=1), *(envs.step(action) for action in actions)], expected)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_has_the_number_of_its_environment_and_its_traceback(workers: int) -> None:
    envs = failing(KeyError("hinge"), workers)
    actions = np.zeros((4, 4), np.float32)
    envs.reset(seed=10)
    envs.step(actions)
    with pytest.raises(KeyError, match="environment 3: hinge") as caught:
        envs.step(actions)
    if workers > 1:
        assert "raise self.error" in str(caught.value.__cause__)
    # It is unknown which of the others were stepped.
    with pytest.raises(ResetNeeded, match="failed or was interrupted"):
        envs.step(actions)
    envs.reset(seed=0)
    envs.step(actions)
    envs.close()


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_errors_that_cannot_be_made_again_are_described(workers: int) -> None:
    for error in (OddError(1, 2), OSError(2, "no such file")):
        envs = failing(error, workers)
        envs.reset(seed=13)
        envs.step(np.zeros((4, 4), np.float32))
        with pytest.raises((RuntimeError, OddError), match=r"environment 0: .*(1 and 2|no such file)"):
            envs.step(np.zeros((4, 4), np.float32))
        envs.close()


def test_a_result_that_cannot_be_sent_is_an_error_and_the_environments_go_on() -> None:
    envs = failing(ValueError(), 2)
    envs.reset(seed=0)
    with pytest.raises(Exception, match=r"environment 0: .*pickle"):
        envs.get_attr("functions")
    envs.step(np.zeros((4, 4), np.float32))
    envs.close()


@pytest.mark.parametrize("when", ["step", pytest.param("call", marks=pytest.mark.slow)])
def test_a_killed_process_is_named_and_nothing_stays_behind(when: str) -> None:
    before = set(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else set()
    with vector(num_workers=2, count=5) as envs:
        envs.reset(seed=0)
        if SHARED_MEMORY.is_dir():
            # It has no name, so that the system frees it however the processes end.
            assert set(SHARED_MEMORY.iterdir()) <= before
        victim = next(child for child in multiprocessing.active_children() if "2 to 4" in child.name)
        os.kill(victim.pid or 0, signal.SIGKILL)
        with pytest.raises(RuntimeError, match=rf"process {victim.pid} of environments 2 to 4 was ended by signal 9"):
            envs.step(np.zeros((5, 4), np.float32)) if when == "step" else envs.get_attr("task_name")
        assert envs.closed
        assert not multiprocessing.active_children()
        with pytest.raises(ClosedEnvironmentError):
            envs.reset()


@pytest.mark.parametrize("workers", [1, 2])
def test_steps_begin_and_finish_in_turn(workers: int) -> None:
    with vector(num_workers=workers) as envs:
        first = envs.reset(seed=0)
        actions = batches(envs, 1)[0]
        expected = envs.step(actions)
        with pytest.raises(NoAsyncCallError, match="no step to finish"):
            envs.step_wait()
        envs.reset(seed=0)
        envs.step_async(actions)
        for call in (lambda: envs.step_async(actions), lambda: envs.get_attr("task_name")):
            with pytest.raises(AlreadyPendingCallError, match="finish it by step_wait"):
                call()
        assert_same(envs.step_wait(), expected)
        # A reset discards a step that has begun, as in Stable-Baselines3.
        envs.step_async(actions)
        assert_same(envs.reset(seed=0), first)
        assert_same(envs.step(actions), expected)


def test_closing_ends_the_processes_also_after_half_a_step_and_twice() -> None:
    with vector(num_workers=2) as envs:
        envs.reset(seed=0)
        envs.step_async(np.zeros((3, 4), np.float32))
        envs.close()
        envs.close()
    assert not multiprocessing.active_children()


def test_a_deleted_vector_environment_ends_its_processes() -> None:
    envs: Any = gym.make_vec("LamReach-v0", num_envs=2, num_workers=2)
    del envs
    assert not multiprocessing.active_children()


def test_a_forked_process_leaves_the_workers_to_its_parent() -> None:
    with vector(num_workers=2) as envs:
        envs.reset(seed=0)
        child = multiprocessing.get_context("fork").Process(target=_use_and_close, args=(envs,))
        child.start()
        child.join()
        assert child.exitcode == 0
        envs.step(np.zeros((3, 4), np.float32))


def _use_and_close(envs: ParallelVectorEnv) -> None:
    with pytest.raises(RuntimeError, match="forked"):
        envs.step(np.zeros((3, 4), np.float32))
    envs.close()


def test_a_daemonic_process_steps_environments_itself() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_count_workers, args=(sender,), daemon=True)
    child.start()
    assert receiver.recv() == 1
    child.join()


def _count_workers(sender: Any) -> None:
    with vector() as envs:
        sender.send(envs.num_workers)


@pytest.mark.parametrize("case", [pytest.param("interrupted", marks=pytest.mark.slow), "interrupted_while_waiting"])
def test_an_interrupt_prints_nothing_and_the_environments_go_on(case: str) -> None:
    script = subprocess.Popen(
        [sys.executable, SCRIPTS, case],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert script.stdout is not None
    if case == "interrupted":
        assert script.stdout.readline() == "ready\n"
        time.sleep(0.3)
        os.killpg(script.pid, signal.SIGINT)
    output, errors = script.communicate(timeout=60)
    assert (output, errors, script.returncode) == ("went on\n", "", 0)


@pytest.mark.parametrize("case", [pytest.param("left_behind", marks=pytest.mark.slow), "gone"])
def test_workers_end_with_their_parent(case: str) -> None:
    script = subprocess.Popen(
        [sys.executable, SCRIPTS, case], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert script.stdout is not None
    workers = [int(number) for number in script.stdout.readline().split()]
    assert len(workers) == 2
    if case == "gone":
        script.kill()
    _, errors = script.communicate(timeout=60)
    assert errors == ""
    until = time.monotonic() + 20.0
    while any(_is_running(worker) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


def _is_running(number: int) -> bool:
    try:
        # The third word is the state; a process that nobody waited for is a zombie.
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
