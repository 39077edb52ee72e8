"""Training runs: progress bar, periodic evaluation, TensorBoard log, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agents.evaluation.evaluation import evaluate as evaluate_agent
from agents.types import Env, JsonObject, State
from demos.collection.recording import Policy

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CHECKPOINT = "checkpoint.safetensors"
EVENTS = "events.out.tfevents."
"""Prefix of the names of TensorBoard's files."""
DEVICES = ("auto", "cpu", "cuda")
FIRST_SEED = 2**30
"""First seed of periodic evaluation; no result uses these seeds."""


class DivergedError(ValueError):
    """A training diverged: its loss, an output or a weight is infinite or not a number."""


class TooFewStepsError(ValueError):
    """The demonstrations have fewer steps to learn from than a minibatch."""


@dataclass
class Run:
    """Progress, periodic evaluation, log and checkpoints of one training run.

    A run never changes the result: it draws no random numbers, and a training run that resumes from a checkpoint ends
    with the same weights.

    Attributes:
        folder: Folder of checkpoints and of TensorBoard's log; None saves nothing. A training from scratch deletes
            the log of an earlier one, and a resumed training hides what was logged after its checkpoint.
        progress: Show a progress bar.
        device: ``auto``, ``cpu`` or ``cuda``.
        episodes: Episodes of each periodic evaluation; 0 for none.
        evaluations: Number of periodic evaluations.
        seconds: Minimum time between checkpoints, seconds; longer if writing them would take more than 5% of the
            time.
        overwrite: Start from scratch if the folder holds a checkpoint of another training run.
        resume: False to start from scratch in any case. An old checkpoint stays until the training writes its own.
        processes: Processes that train together on CPUs, each on a part of every minibatch; only agent ``lam`` takes
            more than one. The result is that of one process up to rounding.
        identity: Description of the training (:func:`agents.training.provenance.training_record`), which the agent
            sets.
    """

    folder: Path | None = None
    progress: bool = False
    device: str = "auto"
    episodes: int = 0
    evaluations: int = 10
    seconds: float = 2.0
    overwrite: bool = False
    resume: bool = True
    processes: int = 1
    identity: JsonObject = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise ValueError(f"device is {self.device!r}; expected one of {', '.join(DEVICES)}")
        if self.episodes < 0 or self.evaluations < 1:
            raise ValueError(
                f"episodes is {self.episodes} and evaluations {self.evaluations}; expected at least 0 and at least 1"
            )
        if self.processes < 1:
            raise ValueError(f"processes is {self.processes}; expected at least 1")
        if self.processes > 1 and self.device == "cuda":
            raise ValueError(f"{self.processes} processes train on CPUs, and device is 'cuda': expected auto or cpu")
        if self.device == "cuda":
            require_cuda()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            disable=not self.progress,
        )
        self._task: TaskID | None = None
        self._due = time.monotonic() + self.seconds
        self._tensorboard: SummaryWriter | None = None
        self._evaluated = 0
        self._logged = 0
        self._resumed_at: int | None = None
        self._metrics: dict[str, float] = {}

    @contextmanager
    def training(self, agent: str, total: int, unit: str) -> Iterator[Run]:
        """Show the progress bar and write the log while the block runs.

        Args:
            agent: Name of the agent.
            total: Amount of training.
            unit: Unit of the amount, such as ``steps``.

        Raises:
            DivergedError: A network's output is NaN.
        """
        self._total = total
        try:
            with self._bar:
                self._task = self._bar.add_task(f"training {agent}", total=total, unit=unit, note="")
                yield self
        except ValueError as error:
            # PyTorch's error for parameters of a distribution that are NaN; it prints all of them.
            if "found invalid values" not in str(error):
                raise
            raise DivergedError(
                f"the training of {agent} diverged: its output is NaN. Try a lower learning_rate"
            ) from error
        finally:
            if self._tensorboard is not None:
                self._tensorboard.close()
                self._tensorboard = None

    def restored(self) -> State | None:
        """Return the state of the last checkpoint; None without one, or if the training must not resume.

        Raises:
            ValueError: The checkpoint is damaged, or belongs to another training run.
        """
        if self.folder is None or not self.resume or not (self.folder / CHECKPOINT).is_file():
            return None
        from agents.training.checkpoints import read_state  # late: it imports PyTorch, which not every command needs

        try:
            checkpoint = read_state(self.folder / CHECKPOINT)
        except ValueError:
            if self.overwrite:
                return None
            raise
        if checkpoint.get("identity") != self.identity or not checkpoint.keys() >= {"evaluated", "logged", "state"}:
            if self.overwrite:
                return None
            raise ValueError(
                f"{self.folder} holds an unfinished training with another {_different(checkpoint, self.identity)}: "
                "choose another folder, or overwrite it to start from the beginning"
            )
        self._evaluated = checkpoint["evaluated"]
        self._logged = self._resumed_at = checkpoint["logged"]
        state: State = checkpoint["state"]
        return state

    def checkpoint(self, state: Callable[[], State], *, now: bool = False) -> None:
        """Write a checkpoint if one is due.

        Args:
            state: Returns the state from which the training can resume.
            now: Write a checkpoint in any case.
        """
        began = time.monotonic()
        if self.folder is None or not (now or began >= self._due):
            return
        from agents.training.checkpoints import write_state  # late, as above

        checkpoint = {
            "identity": self.identity,
            "evaluated": self._evaluated,
            "logged": self._logged,
            "state": state(),
        }
        write_state(self.folder / CHECKPOINT, checkpoint)
        ended = time.monotonic()
        self._due = ended + max(self.seconds, 20.0 * (ended - began))

    def delete_checkpoint(self) -> None:
        """Delete the checkpoint of a training run that is finished and saved."""
        if self.folder is not None:
            (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def log(self, done: int, **metrics: float) -> None:
        """Update the progress bar, and log metrics.

        Args:
            done: Amount of training so far.
            metrics: Metrics by name.
        """
        self._metrics |= metrics
        self.log_to_tensorboard(done, metrics)
        if self._task is not None:
            note = ", ".join(f"{name} {number:.3g}" for name, number in self._metrics.items())
            self._bar.update(self._task, completed=done, note=note)

    def log_to_tensorboard(self, done: int, metrics: Mapping[str, float]) -> None:
        """Log metrics to TensorBoard only.

        Args:
            done: Amount of training so far.
            metrics: Metrics by name.
        """
        self._logged = max(self._logged, done)
        if self.folder is not None and metrics:
            if self._tensorboard is None:
                self._tensorboard = self._writer(self.folder)
            for name, number in metrics.items():
                self._tensorboard.add_scalar(name, number, done)

    def _writer(self, folder: Path) -> SummaryWriter:
        """Open the log: empty, or after the checkpoint that the training resumed from."""
        from torch.utils.tensorboard import SummaryWriter  # late, as above

        if self._resumed_at is None:
            for stale in folder.glob(f"{EVENTS}*"):
                if stale.is_file():
                    stale.unlink()
            return SummaryWriter(str(folder))
        # TensorBoard hides what was logged from this step on before.
        return SummaryWriter(str(folder), purge_step=self._resumed_at + 1)

    def evaluate(self, agent: Policy, env: Env, done: int) -> None:
        """Run a periodic evaluation if one is due, in a copy of an environment.

        Args:
            agent: Agent in training.
            env: Environment made by ``gym.make``.
            done: Amount of training so far.

        Raises:
            ValueError: The environment has no spec to make a copy from.
        """
        self.evaluate_each([agent], [env], done)

    def evaluate_each(self, agents: Sequence[Policy], environments: Sequence[Env], done: int) -> None:
        """Run a periodic evaluation if one is due, in copies of several environments.

        Args:
            agents: Agent in training, for each environment.
            environments: Environments made by ``gym.make``. If there are several, TensorBoard also gets the success
                rate in each, by its number, id and keywords.
            done: Amount of training so far.

        Raises:
            ValueError: An environment has no spec to make a copy from.
        """
        if not self.episodes or done * self.evaluations < (self._evaluated + 1) * self._total:
            return
        self._evaluated = done * self.evaluations // self._total
        rates = {}
        for number, (agent, env) in enumerate(zip(agents, environments, strict=True), start=1):
            if env.spec is None:
                raise ValueError(f"{env} has no spec: make it by gym.make, or skip periodic evaluation (episodes=0)")
            environment = gym.make(env.spec)
            try:
                result = evaluate_agent(agent, environment, seeds=range(FIRST_SEED, FIRST_SEED + self.episodes))
            finally:
                environment.close()
            rates[f"success/{number} {_label(env.spec)}"] = result.success_rate
        mean = sum(rates.values()) / len(rates)
        if len(rates) > 1:
            self.log_to_tensorboard(done, rates)
        self.log(done, success=mean)


def _label(spec: EnvSpec) -> str:
    """Return the id of an environment, and the keywords in which it differs from what is registered."""
    usual = gym.registry[spec.id].kwargs if spec.id in gym.registry else {}
    changed = {name: value for name, value in spec.kwargs.items() if name not in usual or usual[name] != value}
    return " ".join([spec.id, *(f"{name}={value}" for name, value in sorted(changed.items()))])


def _different(checkpoint: Mapping[str, object], identity: Mapping[str, object]) -> str:
    """Return the names of the parts of a training run's description that differ."""
    before = checkpoint.get("identity")
    known = before if isinstance(before, dict) else {}
    names = sorted(name for name in known.keys() | identity.keys() if known.get(name) != identity.get(name))
    return ", ".join(names) or "description"


def require_cuda() -> None:
    """Check that PyTorch finds a GPU.

    Raises:
        ValueError: PyTorch finds no GPU.
    """
    import torch  # late, as above

    if not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but PyTorch finds no GPU: use auto or cpu")
