"""Training by several processes: each computes the gradient of a part of every minibatch (data parallelism).

Every process has the same weights, optimizer and random numbers. Their gradients are averaged after each minibatch
(Li et al. 2020, PyTorch Distributed), so the result is that of one process up to rounding.
"""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from agents.policies.torch_policy import TorchModel

LONGEST_WAIT = timedelta(days=7)
"""Time that a process waits for another one, such as for a periodic evaluation. A process that ends is noticed at
once."""

Work = TypeVar("Work")


class Divisible(Protocol):
    """Minibatch that can be divided."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, rows: slice) -> Any:
        """Return some examples."""
        ...


class _Loss(nn.Module):
    """Loss of a policy, and its parts, as the output of a module, which ``DistributedDataParallel`` needs."""

    def __init__(self, policy: TorchModel[Any]) -> None:
        super().__init__()
        self.policy = policy
        # DistributedDataParallel warns if it searches for weights without a gradient and finds none.
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of a minibatch, shape (), and its parts."""
        return self.policy.compute_loss(batch)


class ProcessGroup:
    """Processes that train the same policy, seen from one of them.

    Args:
        rank: Number of this process, from 0.
        count: Number of processes.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self._policy: TorchModel[Any] | None = None
        self._module: nn.Module | None = None

    def attach(self, policy: TorchModel[Any]) -> None:
        """Average the gradients of a policy from now on, starting with the weights of process 0."""
        self._policy = policy
        with warnings.catch_warnings():
            # PyTorch 2.13 has another name for broadcast_buffers, which earlier versions do not know.
            warnings.simplefilter("ignore", FutureWarning)
            # Entities that only some parts of a minibatch have leave weights without a gradient in the others.
            self._module = DistributedDataParallel(
                _Loss(policy), find_unused_parameters=True, broadcast_buffers=False
            )

    def loss(self, batch: Divisible) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of this process's part of a minibatch, shape (), and the parts of this loss.

        The mean loss of all processes is that of the whole minibatch.

        Args:
            batch: Whole minibatch, the same in all processes.

        Raises:
            ValueError: The minibatch has fewer examples than there are processes.
        """
        if self._policy is None or self._module is None:
            raise RuntimeError("no policy to train: call attach first")
        if len(batch) < self.count:
            raise ValueError(f"a minibatch of {len(batch)} cannot be divided among {self.count} processes")
        first, end = (len(batch) * rank // self.count for rank in (self.rank, self.rank + 1))
        part = batch[first:end]
        share = self._policy.loss_weight(part) / self._policy.loss_weight(batch)
        loss, logs = self._module(part)
        return loss * (share * self.count), logs

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean of tensors of one shape, one of each process; all processes have to call this."""
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count


@contextmanager
def processes(
    count: int, run_worker: Callable[[Work, ProcessGroup], None], work: Callable[[], Work]
) -> Iterator[ProcessGroup | None]:
    """Start the other processes of a training; they end with the block.

    Processes are spawned: a script that trains with several of them must begin with ``if __name__ == "__main__":``.

    Args:
        count: Number of processes, this one included.
        run_worker: Function of a module that the other processes run. It makes the same calls of
            the process group as this process.
        work: Function that returns the first argument of ``run_worker``, which is copied to each process.

    Yields:
        The process group; None if this process is the only one.

    Raises:
        RuntimeError: Another process failed.
    """
    if count == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    # Pickled here, tensors are copied. Pickled by multiprocessing, they would fill /dev/shm, which containers limit.
    content = pickle.dumps((run_worker, work()))
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "rendezvous"
        pipes, started = [], []
        try:
            for rank in range(1, count):
                mine, other = context.Pipe()
                process = context.Process(target=_run, args=(rank, count, str(meeting), content, other), daemon=True)
                process.start()
                other.close()
                pipes.append(mine)
                started.append(process)
            _await_all(pipes)
            _join_group(0, count, str(meeting))
            try:
                yield ProcessGroup(0, count)
            except RuntimeError as error:
                # A process that ends breaks the connections of the others.
                _raise_failure(pipes, error)
                raise
        finally:
            for process in started:
                process.terminate()
                process.join()
            if dist.is_initialized():
                dist.destroy_process_group()


def _run(rank: int, count: int, meeting: str, content: bytes, pipe: Connection) -> None:
    """Run a process of a training."""
    try:
        run_worker, work = pickle.loads(content)  # noqa: S301  (the process that started this one wrote it)
        pipe.send(None)
        _join_group(rank, count, meeting)
        run_worker(work, ProcessGroup(rank, count))
    except BaseException:
        pipe.send(traceback.format_exc())
        raise


def _join_group(rank: int, count: int, meeting: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=count, timeout=LONGEST_WAIT
    )


def _await_all(pipes: list[Connection]) -> None:
    """Wait until all other processes are ready."""
    for rank, pipe in enumerate(pipes, start=1):
        try:
            failure = pipe.recv()
        except EOFError:
            failure = "it ended before it was ready"
        if failure is not None:
            raise RuntimeError(f"process {rank} of the training failed:\n{failure}")


def _raise_failure(pipes: list[Connection], error: RuntimeError) -> None:
    """Raise the error of another process, if one failed; the connections of all others break then, too."""
    for pipe in wait(pipes, timeout=1.0):
        rank = pipes.index(pipe) + 1  # type: ignore[arg-type]  # a Connection
        try:
            failure = pipes[rank - 1].recv()
        except EOFError:
            failure = "it was killed"
        raise RuntimeError(f"process {rank} of the training failed:\n{failure}") from error
