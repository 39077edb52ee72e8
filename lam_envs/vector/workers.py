"""Processes that step slices of a vector environment.

A process gets one message for each step, and answers with one: actions, observations, rewards and flags are in shared
memory. The answer to a step is one byte if the infos are those of the step before.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from gymnasium import Space
from gymnasium.vector.utils import CloudpickleWrapper

from lam_envs.vector.arrays import BatchArrays
from lam_envs.vector.env_slice import EnvFailure, EnvFunction, EnvSlice
from lam_envs.vector.gymnasium_api import AutoresetMode

STEP, CALL, CLOSE = b"s", b"c", b"x"
"""Kinds of messages to a process: their first byte."""
SAME, RESULT, FAILURE = b"=", b"r", b"f"
"""Kinds of answers: their first byte. ``SAME`` alone is the answer None."""


class WorkerDied(RuntimeError):  # noqa: N818  (a state of the process)
    """A process has ended without an answer."""


@dataclass(frozen=True)
class Shared:
    """Description of a vector environment that each of its processes needs.

    Attributes:
        observation_space: Observation space of one environment.
        action_space: Action space of one environment.
        count: Number of environments.
        memory: Shared memory of :class:`lam_envs.vector.arrays.BatchArrays`.
        mode: Time of resets after ends of episodes.
    """

    observation_space: Space[Any]
    action_space: Space[Any]
    count: int
    memory: Any
    mode: AutoresetMode


class LocalWorker:
    """Slice of a vector environment in this process.

    Args:
        env_slice: The environments.
    """

    def __init__(self, env_slice: EnvSlice) -> None:
        self._slice = env_slice
        self._call: tuple[str, tuple[Any, ...]] = ("", ())

    def begin(self, method: str, *arguments: Any) -> None:
        """Begin a call of a method of the slice."""
        self._call = (method, arguments)

    def finish(self) -> Any:
        """Return the result of the call.

        Raises:
            EnvFailure: An environment raised an error.
        """
        method, arguments = self._call
        return getattr(self._slice, method)(*arguments)

    def close(self, timeout: float) -> None:
        """Close the environments."""
        self._slice.close()


class ProcessWorker:
    """Slice of a vector environment in another process.

    Args:
        context: Context of ``multiprocessing`` that starts the process.
        functions: Functions that make the environments.
        first: Number of the first environment.
        shared: The vector environment.
        others: Connections of this process to processes that were started before.
    """

    def __init__(
        self,
        context: Any,
        functions: Sequence[EnvFunction],
        first: int,
        shared: Shared,
        others: Sequence[Connection],
    ) -> None:
        self._numbers = f"environments {first} to {first + len(functions) - 1}"
        self.connection, theirs = context.Pipe()
        wrapped = [CloudpickleWrapper(function) for function in functions]
        self._process = context.Process(
            target=_work,
            args=(theirs, (*others, self.connection), wrapped, first, shared),
            name=f"ParallelVectorEnv, {self._numbers}",
            daemon=True,
        )
        with _ignored_interrupts():
            self._process.start()
        theirs.close()
        # The process answers when it has made its environments.
        self._owes_answer = True

    def begin(self, method: str, *arguments: Any) -> None:
        """Begin a call of a method of the slice.

        Raises:
            WorkerDied: The process has ended.
        """
        if self._owes_answer:
            # Left over from a call that was interrupted.
            with contextlib.suppress(EnvFailure):
                self.finish()
        if method == "step":
            message = STEP + arguments[0].encode()
        else:
            message = CALL + pickle.dumps((method, arguments), pickle.HIGHEST_PROTOCOL)
        try:
            self.connection.send_bytes(message)
        except OSError as error:
            raise self._death() from error
        self._owes_answer = True

    def finish(self) -> Any:
        """Return the result of the call.

        Raises:
            EnvFailure: An environment raised an error.
            WorkerDied: The process has ended.
        """
        try:
            answer = self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._death() from error
        self._owes_answer = False
        if answer == SAME:
            return None
        content = pickle.loads(answer[1:])  # noqa: S301  (from our own process)
        if answer[:1] == FAILURE:
            raise EnvFailure(*content)
        return content

    def close(self, timeout: float) -> None:
        """End the process: in good order within some time, seconds, else by force."""
        if timeout > 0.0 and not self._owes_answer:
            with contextlib.suppress(OSError):
                self.connection.send_bytes(CLOSE)
        self.connection.close()
        if timeout > 0.0:
            self._process.join(timeout)
        for end in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                end()
                self._process.join(1.0)
        self._process.join()

    def _death(self) -> WorkerDied:
        """Return the error for a process that has ended."""
        self._process.join(1.0)
        code = self._process.exitcode
        if code is None:
            cause = "closed its connection"
        elif code < 0:
            memory = ", which the system sends when memory runs out" if -code == signal.SIGKILL else ""
            cause = f"was ended by signal {-code} ({signal.strsignal(-code)}){memory}"
        else:
            cause = f"ended with exit code {code}; its error is on stderr"
        return WorkerDied(f"the process {self._process.pid} of {self._numbers} {cause}")


@contextlib.contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C while a process starts: it inherits this, and would print a traceback before it runs our code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


def _work(
    connection: Connection,
    others: Sequence[Connection],
    functions: Sequence[CloudpickleWrapper],
    first: int,
    shared: Shared,
) -> None:
    """Run in a process: step a slice until the connection is closed."""
    # Ctrl-C reaches all processes of a terminal. The parent decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A forked process also holds the parent's ends, which would keep other processes waiting when the parent is gone.
    for other in others:
        other.close()
    # The parent is gone, or has closed the vector environment.
    with contextlib.suppress(EOFError, OSError):
        try:
            env_slice = EnvSlice([function.fn for function in functions], first)
            arrays = BatchArrays(shared.observation_space, shared.action_space, shared.count, shared.memory)
            env_slice.attach(shared.observation_space, shared.action_space, arrays, shared.mode)
        except EnvFailure as failure:
            connection.send_bytes(_packed_failure(failure))
            return
        connection.send_bytes(SAME)
        try:
            _answer(connection, env_slice)
        finally:
            env_slice.close()


def _answer(connection: Connection, env_slice: EnvSlice) -> None:
    while True:
        message = connection.recv_bytes()
        kind = message[:1]
        if kind == CLOSE:
            return
        try:
            if kind == STEP:
                result = env_slice.step(message[1:].decode())
            else:
                method, arguments = pickle.loads(message[1:])  # noqa: S301  (from our own process)
                result = getattr(env_slice, method)(*arguments)
            answer = SAME if result is None else RESULT + pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
        except EnvFailure as failure:
            answer = _packed_failure(failure)
        except Exception as error:
            # A result that cannot be pickled.
            answer = _packed_failure(EnvFailure(env_slice.first, error))
        connection.send_bytes(answer)


def _packed_failure(failure: EnvFailure) -> bytes:
    """Return the answer for an error, with its traceback."""
    error = failure.error
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        packed = pickle.dumps((failure.number, error, trace))
        pickle.loads(packed)  # noqa: S301  (some errors cannot be unpickled)
    except Exception:
        packed = pickle.dumps((failure.number, RuntimeError(repr(error)), trace))
    return FAILURE + packed
