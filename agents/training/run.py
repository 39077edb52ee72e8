"""What surrounds a training: progress, success as it goes, TensorBoard, checkpoints from which it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agents.evaluation.evaluation import evaluate as evaluate_agent
from demos.collection.recording import Policy

CHECKPOINT = "checkpoint.safetensors"
EVENTS = "events.out.tfevents."
"""Prefix of the names of TensorBoard's files."""
DEVICES = ("auto", "cpu", "cuda")
FIRST_SEED = 2**30
"""Of the episodes that show success as the training goes: results are never measured on these."""


@dataclass
class Run:
    """One training.

    What it shows and keeps never changes what is learned: it draws no random numbers, and a training that goes on
    from a checkpoint ends with the same weights.

    Attributes:
        folder: Folder of checkpoints and of TensorBoard's log; None saves nothing. A training from scratch deletes
            the log of an earlier one, and a resumed training hides what was logged after its checkpoint.
        progress: Show a bar.
        device: ``auto``, ``cpu`` or ``cuda``.
        episodes: How many show the success as it goes; 0 for none.
        evaluations: How often, in all.
        seconds: Between checkpoints, at least; more where writing them would take over 5% of the time.
        overwrite: Start anew where the folder holds a checkpoint of another training.
        identity: What is trained, how, with which data; the agent tells it.
    """

    folder: Path | None = None
    progress: bool = False
    device: str = "auto"
    episodes: int = 0
    evaluations: int = 10
    seconds: float = 2.0
    overwrite: bool = False
    identity: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise ValueError(f"device is {self.device!r}; expected one of {', '.join(DEVICES)}")
        if self.episodes < 0 or self.evaluations < 1:
            raise ValueError(
                f"episodes is {self.episodes} and evaluations {self.evaluations}; expected at least 0 and at least 1"
            )
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
        self._tensorboard: Any = None
        self._evaluated = 0
        self._logged = 0
        self._resumed_at: int | None = None
        self._numbers: dict[str, float] = {}

    @contextmanager
    def training(self, what: str, total: int, unit: str) -> Iterator[Run]:
        """Shows the bar and keeps the log while the block runs.

        Args:
            what: Name of the agent.
            total: How much there is to do.
            unit: Of that, such as ``steps``.

        Raises:
            ValueError: Also where a network's output is no number any more, with what to do.
        """
        if self.device == "cuda":
            _require_cuda()
        self._total = total
        try:
            with self._bar:
                self._task = self._bar.add_task(f"training {what}", total=total, unit=unit, note="")
                yield self
        except ValueError as error:
            # So PyTorch says that the parameters of a distribution are no numbers, and prints all of them.
            if "found invalid values" not in str(error):
                raise
            raise ValueError(
                f"the training of {what} diverged: its output is no number any more. Try a lower learning_rate"
            ) from error
        finally:
            if self._tensorboard is not None:
                self._tensorboard.close()
                self._tensorboard = None

    def restored(self) -> Any:
        """Returns the state of the last checkpoint; None where there is none.

        Raises:
            ValueError: It is damaged, or of another training.
        """
        if self.folder is None or not (self.folder / CHECKPOINT).is_file():
            return None
        from agents.training.checkpoints import read_state  # late: it brings PyTorch, which not every command needs

        try:
            kept = read_state(self.folder / CHECKPOINT)
        except ValueError:
            if self.overwrite:
                return None
            raise
        if kept.get("identity") != self.identity or not kept.keys() >= {"evaluated", "logged", "state"}:
            if self.overwrite:
                return None
            raise ValueError(
                f"{self.folder} holds an unfinished training with another {_different(kept, self.identity)}: "
                "choose another folder, or overwrite it to start from the beginning"
            )
        self._evaluated = kept["evaluated"]
        self._logged = self._resumed_at = kept["logged"]
        return kept["state"]

    def checkpoint(self, state: Callable[[], Any], *, now: bool = False) -> None:
        """Writes a checkpoint, if the last one is long ago.

        Args:
            state: Tells what is needed to go on, where the training is as it would be after a restart.
            now: Write in any case.
        """
        began = time.monotonic()
        if self.folder is None or not (now or began >= self._due):
            return
        from agents.training.checkpoints import write_state  # late, as above

        kept = {
            "identity": self.identity,
            "evaluated": self._evaluated,
            "logged": self._logged,
            "state": state(),
        }
        write_state(self.folder / CHECKPOINT, kept)
        ended = time.monotonic()
        self._due = ended + max(self.seconds, 20.0 * (ended - began))

    def delete_checkpoint(self) -> None:
        """Deletes the checkpoint of a training that is finished and saved."""
        if self.folder is not None:
            (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def log(self, done: int, **numbers: float) -> None:
        """Moves the bar and logs numbers.

        Args:
            done: How much is done of the total.
            numbers: By name.
        """
        self._numbers |= numbers
        self.record(done, numbers)
        if self._task is not None:
            note = ", ".join(f"{name} {number:.3g}" for name, number in self._numbers.items())
            self._bar.update(self._task, completed=done, note=note)

    def record(self, done: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers for TensorBoard alone.

        Args:
            done: How much is done of the total.
            numbers: By name.
        """
        self._logged = max(self._logged, done)
        if self.folder is not None and numbers:
            if self._tensorboard is None:
                self._tensorboard = self._writer(self.folder)
            for name, number in numbers.items():
                self._tensorboard.add_scalar(name, number, done)

    def _writer(self, folder: Path) -> Any:
        """Open the log: empty, or after the checkpoint that the training resumed from."""
        from torch.utils.tensorboard import SummaryWriter  # late, as above

        if self._resumed_at is None:
            for stale in folder.glob(f"{EVENTS}*"):
                if stale.is_file():
                    stale.unlink()
            return SummaryWriter(str(folder))
        # TensorBoard hides what was logged from this step on before.
        return SummaryWriter(str(folder), purge_step=self._resumed_at + 1)

    def evaluate(self, agent: Policy, env: gym.Env[Any, Any], done: int) -> None:
        """Measures the success so far, if it is time to, in an environment of its own.

        Args:
            agent: As it is now.
            env: The other is made like it.
            done: How much is done of the total.

        Raises:
            ValueError: The environment has no spec to be made again by.
        """
        if not self.episodes or done * self.evaluations < (self._evaluated + 1) * self._total:
            return
        self._evaluated = done * self.evaluations // self._total
        if env.spec is None:
            raise ValueError(f"{env} has no spec: make it by gym.make, or show no success as it goes (episodes=0)")
        made = gym.make(env.spec)
        try:
            result = evaluate_agent(agent, made, seeds=range(FIRST_SEED, FIRST_SEED + self.episodes))
        finally:
            made.close()
        self.log(done, success=result.success_rate)


def _different(kept: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """Return the names of the parts of a training's description that differ."""
    before = kept.get("identity")
    known = before if isinstance(before, dict) else {}
    names = sorted(name for name in known.keys() | identity.keys() if known.get(name) != identity.get(name))
    return ", ".join(names) or "description"


def _require_cuda() -> None:
    """Refuses to train on a GPU that is not there.

    Raises:
        ValueError: There is none that PyTorch can use.
    """
    import torch  # late, as above

    if not torch.cuda.is_available():
        raise ValueError("device is 'cuda', and PyTorch finds no GPU here: leave it at auto, or take cpu")
