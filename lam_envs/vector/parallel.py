"""Vector environment whose worker processes each step several environments."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError, ResetNeeded
from gymnasium.vector.utils import batch_space

from lam_envs.validation import check_name, whole_number
from lam_envs.vector.arrays import BatchArrays, copy_batch, size_of
from lam_envs.vector.env_slice import EnvFailure, EnvFunction, EnvSlice
from lam_envs.vector.gymnasium_api import AutoresetMode, VectorEnv
from lam_envs.vector.infos import Info, copy_infos, join_infos
from lam_envs.vector.workers import LocalWorker, ProcessWorker, Shared, WorkerDied

CLOSE_SECONDS = 10.0
"""Time that the processes have to end when the vector environment is closed, seconds."""

MODES = tuple(mode.value for mode in AutoresetMode)
"""Names of the modes of Gymnasium's ``AutoresetMode``."""

StepResult = tuple[Any, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Info]


class RemoteTraceback(Exception):  # noqa: N818  (the cause of another error)
    """Traceback of an error in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class ParallelVectorEnv(VectorEnv[Any, Any, npt.NDArray[Any]]):
    """Vector environment whose worker processes each step several environments in turn.

    Gymnasium's ``AsyncVectorEnv`` starts a process for each environment, and sends a message to each at every step.
    Here a few processes each have a part of the environments, one message a step, and actions and results in shared
    memory. Episodes are those of single environments with the same seeds, bit for bit.

    ``gym.make_vec("LamGrasp-v0", num_envs=16)`` makes one. Gymnasium's ``SyncVectorEnv`` and ``AsyncVectorEnv`` are
    ``vectorization_mode="sync"`` and ``"async"``. Interface, seeds (seed of the reset plus number of the
    environment) and infos are theirs.

    After an error in a step, reset all environments. When a process dies, all others end too.

    Args:
        env_fns: Functions that make the environments. All have the same spaces.
        num_workers: Number of processes; by default one for each core that this process may use. With 0 or 1 this
            process steps all environments itself, without other processes.
        context: Start method of processes: ``fork``, ``spawn`` or ``forkserver``; by default that of
            ``multiprocessing``.
        autoreset_mode: Time at which an environment whose episode has ended is reset: ``NextStep``, ``SameStep`` or
            ``Disabled``, or a value of Gymnasium's ``AutoresetMode``.

    Raises:
        ValueError: There is no environment, a number is negative, a mode or start method is unknown, or an
            environment has other spaces.
        CustomSpaceError: Observations have no fixed size, or actions are not arrays.
    """

    def __init__(
        self,
        env_fns: Sequence[EnvFunction],
        *,
        num_workers: int | None = None,
        context: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        self._workers: list[LocalWorker | ProcessWorker] = []
        self._pid = os.getpid()
        self._needs_reset = False
        self._is_stepping = False
        self._parts: list[Info] = []
        self._infos: Info = {}
        if len(env_fns) < 1:
            raise ValueError("there are no environments: expected at least one function that makes one")
        workers = whole_number(num_workers)
        if num_workers is not None and (workers is None or workers < 0):
            raise ValueError(
                f"num_workers is {num_workers!r}; expected a whole number, or None for one for each core"
            )
        if context is not None:
            check_name("context", context, multiprocessing.get_all_start_methods())
        self.num_envs = len(env_fns)
        if not isinstance(autoreset_mode, AutoresetMode):
            autoreset_mode = AutoresetMode(check_name("autoreset_mode", autoreset_mode, MODES))
        self.autoreset_mode = autoreset_mode
        wanted = default_workers() if workers is None else workers
        self.num_workers = max(1, min(wanted, self.num_envs))
        bounds = np.linspace(0, self.num_envs, self.num_workers + 1).astype(int).tolist()
        self._slices = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
        try:
            if self.num_workers == 1:
                self._start_here(env_fns)
            else:
                self._start_processes(env_fns, multiprocessing.get_context(context))
        except BaseException:
            self.close(timeout=0.0)
            raise

    def _start_here(self, env_fns: Sequence[EnvFunction]) -> None:
        try:
            env_slice = EnvSlice(env_fns, 0)
        except EnvFailure as failure:
            raise self._error(failure) from failure.error.__cause__
        self._workers.append(LocalWorker(env_slice))
        self._describe(env_slice.envs[0])
        self._arrays = BatchArrays(self.single_observation_space, self.single_action_space, self.num_envs)
        env_slice.attach(self.single_observation_space, self.single_action_space, self._arrays, self.autoreset_mode)

    def _start_processes(self, env_fns: Sequence[EnvFunction], context: Any) -> None:
        sample = env_fns[0]()
        try:
            self._describe(sample)
        finally:
            sample.close()
        spaces = self.single_observation_space, self.single_action_space
        # Memory without a name: the system frees it with the last process that uses it, however that ends.
        memory = context.RawArray("b", size_of(*spaces, self.num_envs))
        self._arrays = BatchArrays(*spaces, self.num_envs, memory)
        shared = Shared(*spaces, self.num_envs, memory, self.autoreset_mode)
        connections: list[Any] = []
        for part in self._slices:
            worker = ProcessWorker(context, env_fns[part], part.start, shared, connections)
            self._workers.append(worker)
            connections.append(worker.connection)
        self._finish()

    def _describe(self, env: Any) -> None:
        """Take spaces and metadata from one environment."""
        self.metadata = {**env.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = env.render_mode
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.observation_space = batch_space(env.observation_space, self.num_envs)
        self.action_space = batch_space(env.action_space, self.num_envs)

    # Gymnasium's interface

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, Info]:
        """Reset the environments.

        Args:
            seed: Seed of the first environment, to which the others add their numbers; or a sequence with a seed for
                each; or None.
            options: Options of the reset of each environment. The option ``reset_mask``, an array of bool, shape
                (N,), chooses the environments to reset; the others continue.

        Returns:
            Observations and infos.

        Raises:
            ValueError: The seeds or the mask have a wrong length.
            TypeError: The mask is not an array of bool.
        """
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + number for number in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"there are {len(seeds)} seeds; expected one for each of {self.num_envs} environments")
        resets, remaining = self._reset_mask(options)
        # A reset discards a step that has begun.
        was_valid = not (self._needs_reset or self._is_stepping)
        self._needs_reset, self._is_stepping = True, False
        self._begin("reset", [(seeds[part], resets[part], remaining) for part in self._slices])
        infos = self._joined(self._finish())
        self._needs_reset = not (was_valid or all(resets))
        return copy_batch(self._arrays.observations), infos

    def _reset_mask(self, options: dict[str, Any] | None) -> tuple[list[bool], dict[str, Any] | None]:
        """Return which environments an option resets, and the options of the environments."""
        if options is None or "reset_mask" not in options:
            return [True] * self.num_envs, options
        remaining = {name: value for name, value in options.items() if name != "reset_mask"}
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"reset option 'reset_mask' is {mask!r}; expected an array of bool")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"reset option 'reset_mask' is {mask!r}; expected shape ({self.num_envs},) and at least one True"
            )
        return mask.tolist(), remaining

    def step(self, actions: Any) -> StepResult:
        """Step all environments.

        Args:
            actions: Batch of actions, shape (N, ...).

        Returns:
            Observations; rewards, float64; terminations and truncations, bool; each with N rows; and infos.

        Raises:
            ResetNeeded: ``reset`` has not been called, or has to be called after an error.
            ValueError: The batch has a wrong shape.
        """
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Begin a step of all environments, which :meth:`step_wait` finishes.

        Raises:
            AlreadyPendingCallError: A step has begun before.
        """
        if self._needs_reset and not self._is_stepping:
            raise ResetNeeded("a call failed or was interrupted before: call reset() for all environments")
        given = np.asarray(actions)
        expected = (self.num_envs, *(self.single_action_space.shape or ()))
        if given.shape != expected or given.dtype.kind not in "fiub" or given.dtype.itemsize > 8:
            raise ValueError(
                f"the actions have shape {given.shape} and type {given.dtype}; expected an array of numbers of shape "
                f"{expected}"
            )
        self._check_usable()
        self._arrays.actions(given.dtype)[...] = given
        # An interrupt may come at any time from here on.
        self._needs_reset = True
        self._begin("step", [(given.dtype.str,)] * self.num_workers)
        self._is_stepping = True

    def step_wait(self) -> StepResult:
        """Finish the step that :meth:`step_async` began; see :meth:`step`."""
        if not self._is_stepping:
            raise NoAsyncCallError("there is no step to finish: call step_async(actions) first", "step")
        self._is_stepping = False
        arrays = self._arrays
        infos = self._joined(self._finish())
        self._needs_reset = False
        return (
            copy_batch(arrays.observations),
            arrays.rewards.copy(),
            arrays.terminations.copy(),
            arrays.truncations.copy(),
            infos,
        )

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each environment, or get an attribute.

        Args:
            name: Name of the method or attribute, which wrappers may have.
            args: Arguments of the method.
            kwargs: Keyword arguments of the method.

        Returns:
            Result of each environment.
        """
        return self.call_some(range(self.num_envs), name, *args, **kwargs)

    def call_some(
        self, numbers: Sequence[int], name: str | Callable[..., Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Call a method or function of some environments, or get an attribute.

        Args:
            numbers: Numbers of the environments.
            name: Name of the method or attribute, which wrappers may have; or a function of an environment, which is
                called in its process.
            args: Further arguments.
            kwargs: Keyword arguments.

        Returns:
            Result of each of these environments, in the order of the numbers.

        Raises:
            ValueError: There is no environment of a number.
        """
        chosen = set(numbers)
        if outside := chosen.difference(range(self.num_envs)):
            raise ValueError(f"the numbers have {min(outside)!r}; expected numbers from 0 to {self.num_envs - 1}")
        rows = [number in chosen for number in range(self.num_envs)]
        self._begin("call", [(name, args, kwargs, rows[part]) for part in self._slices])
        results = iter(result for part in self._finish() for result in part)
        by_number = {number: next(results) for number in sorted(chosen)}
        return tuple(by_number[number] for number in numbers)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of each environment; see :meth:`call`."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each environment.

        Args:
            name: Name of the attribute.
            values: A list or tuple with a value for each environment; or one value for all.

        Raises:
            ValueError: The list has a wrong length.
        """
        each = list(values) if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise ValueError(f"there are {len(each)} values; expected one for each of {self.num_envs} environments")
        self._begin("set_attr", [(name, each[part]) for part in self._slices])
        self._finish()

    def render(self) -> tuple[Any, ...]:
        """Return what ``render`` of each environment returns."""
        return self.call("render")

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """End the processes.

        Args:
            timeout: Time that they have, seconds; by default 10. Then they are ended by force.
            terminate: End them by force at once.
        """
        # A forked process has a copy of this object, but the processes belong to its parent.
        workers, self._workers = self._workers, []
        if self._pid != os.getpid():
            return
        for worker in workers:
            worker.close(0.0 if terminate else CLOSE_SECONDS if timeout is None else timeout)

    @property  # type: ignore[misc]  # Gymnasium's other vector environments have no setter either
    def np_random(self) -> Any:
        """Random number generator of each environment; changes do not reach the environments of other processes."""
        return self.call("np_random")

    @property
    def np_random_seed(self) -> Any:
        """Seed of each environment."""
        return self.call("np_random_seed")

    def __del__(self) -> None:
        """End the processes of an object that was not closed."""
        if not getattr(self, "closed", True) and getattr(self, "_workers", None):
            with contextlib.suppress(Exception):
                self.close(terminate=True)

    # Calls of all workers

    def _check_usable(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("the vector environment is closed: make a new one")
        if self._pid != os.getpid():
            raise RuntimeError("this process was forked after the vector environment was made: make one in it")
        if self._is_stepping:
            raise AlreadyPendingCallError("a step has begun: finish it by step_wait()", "step")

    def _begin(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        self._check_usable()
        try:
            for worker, given in zip(self._workers, arguments, strict=True):
                worker.begin(method, *given)
        except WorkerDied:
            self.close(terminate=True)
            raise

    def _finish(self) -> list[Any]:
        """Return the result of each worker; raise the first error when all are done."""
        results = []
        failures = []
        try:
            for worker in self._workers:
                try:
                    results.append(worker.finish())
                except EnvFailure as failure:
                    failures.append(failure)
        except WorkerDied:
            self.close(terminate=True)
            raise
        if failures:
            first = failures[0]
            raise self._error(first) from (RemoteTraceback(first.trace) if first.trace else first.error.__cause__)
        return results

    def _joined(self, results: list[Info | None]) -> Info:
        """Return the infos of all environments, in new arrays; None stands for those of the step before."""
        if any(infos is not None for infos in results):
            if self._parts:
                results = [new if new is not None else old for new, old in zip(results, self._parts, strict=True)]
            self._parts = [infos for infos in results if infos is not None]
            counts = [part.stop - part.start for part in self._slices]
            self._infos = join_infos(list(zip(counts, self._parts, strict=True)))
        return copy_infos(self._infos)

    def _error(self, failure: EnvFailure) -> BaseException:
        """Return the error of an environment, of the same type if possible, with its number."""
        error, name = failure.error, f"environment {failure.number}"
        if len(error.args) > 1 or not all(isinstance(part, str) for part in error.args):
            return RuntimeError(f"{name}: {error!r}")
        error.args = (": ".join((name, *error.args)),)
        return error


def default_workers() -> int:
    """Return the number of cores that this process may use, or 1 if it may not start processes."""
    if multiprocessing.current_process().daemon:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
