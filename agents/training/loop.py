"""Training loop of our own networks: minibatches, AdamW, cosine schedule, moving average, exact resuming."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from agents.data.symmetry import Symmetry
from agents.policies.torch_policy import TorchModel
from agents.training.parallel import ProcessGroup
from agents.training.randomness import generators, set_generators
from agents.training.run import DivergedError, require_cuda
from agents.types import State

LARGEST_GRADIENT = 1e18
"""Adam squares gradients: beyond 1e19 the squares overflow 32-bit numbers. Where the noise of an action has nearly
vanished, one deviating label gives gradients of 1e35."""
EVALUATED_AT_ONCE = 4096
"""Number of validation examples in one forward pass."""


Precision: TypeAlias = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class LoopSettings:
    """Settings of a training run.

    Attributes:
        epochs: Largest number of passes over the examples.
        batch_size: Examples in a minibatch; the rest of an epoch that fills no minibatch is left out.
        learning_rate: Learning rate of the first epoch; it decays to 0 on a cosine schedule, updated once per epoch.
        weight_decay: Decoupled weight decay of AdamW (Loshchilov and Hutter 2019).
        ema_decay: Decay of the exponential moving average of the weights that is the result; 0 for none.
        patience: Epochs without a lower validation loss after which the training stops; 0 for never.
        max_grad_norm: Largest norm of the gradient of all weights; larger ones are scaled down. 0 for no limit.
        precision: Type of the numbers in matrix products. ``bfloat16`` is faster on GPUs, and slower on most CPUs;
            weights stay in ``float32``.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    ema_decay: float = 0.0
    patience: int = 0
    max_grad_norm: float = 0.0
    precision: Precision = "float32"


class Examples(Protocol):
    """Examples to learn from, such as transitions or windows. A policy's ``compute_loss`` takes its minibatches."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, rows: Any) -> Any:
        """Return a minibatch: a frozen dataclass with observations, actions, ``len`` and ``to(device)``."""
        ...


Sampler: TypeAlias = Callable[[np.random.Generator], npt.NDArray[np.int64]]
"""Draws the examples of an epoch: their numbers in the order of training, shape (N,)."""
PolicyType = TypeVar("PolicyType", bound=TorchModel[Any])


class TrainingLoop(Generic[PolicyType]):
    """Training of one policy, an epoch at a time, within :func:`agents.training.randomness.isolated_rng`.

    Args:
        policy: Policy to train.
        examples: Demonstrated steps, or windows of them, to learn from.
        settings: Settings of the training.
        seed: Seeds the order of the examples.
        validation: Examples for early stopping and for the choice of the best weights; None keeps the last weights.
        symmetry: Augments minibatches; None leaves them.
        device: ``auto``, ``cpu`` or ``cuda``.
        sampler: Draws the examples of each epoch; by default, each of them once in random order.
        groups: Names of the groups of examples, in the order in which the policy's ``compute_loss`` returns their
            losses; empty for none.

    Attributes:
        policy: Policy as it is now.
        epochs_done: Number of epochs so far.
        logs: Numbers of the last epoch by name: ``loss`` of its first minibatch, and ``validation loss``.
        mean_loss: Mean loss of the examples of the last epoch; None without groups.
        group_losses: Mean loss of each group in the last epoch by name, without groups that were not drawn.
    """

    def __init__(
        self,
        policy: PolicyType,
        examples: Examples,
        settings: LoopSettings,
        *,
        seed: int,
        validation: Examples | None = None,
        symmetry: Symmetry | None = None,
        device: str = "auto",
        sampler: Sampler | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        self.policy = policy.to(torch_device(device))
        self.epochs_done = 0
        self.logs: dict[str, float] = {}
        self.mean_loss: float | None = None
        self.group_losses: dict[str, float] = {}
        self._groups = tuple(groups)
        self._examples = examples
        self._settings = settings
        self._validation = validation
        self._symmetry = symmetry
        self._sampler = sampler or (lambda rng: rng.permutation(len(examples)))
        self._rng = np.random.default_rng(seed)
        self._processes: ProcessGroup | None = None
        self._best = math.inf
        self._best_at = 0
        self._best_weights: dict[str, torch.Tensor] | None = None
        # A copy of each tensor: weights that parts of the policy share have several names, and each is updated once.
        self._average = (
            {name: value.clone() for name, value in policy.state_dict().items()} if settings.ema_decay else None
        )
        self._trained = {name for name, _ in policy.named_parameters(remove_duplicate=False)}
        self._optimizer = torch.optim.AdamW(
            policy.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        # The first order is not used: published agents were trained so, and the same seed gives the same agent.
        next(self._minibatches(), None)

    @property
    def is_done(self) -> bool:
        """True if all epochs are done, or the validation loss has stopped falling."""
        patience = self._settings.patience
        stalled = bool(patience) and self.epochs_done - self._best_at >= patience
        return self.epochs_done >= self._settings.epochs or stalled

    def epoch(self) -> None:
        """Pass over the examples once, in random order."""
        rate = (
            self._settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * self.epochs_done / self._settings.epochs))
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.policy.train()
        self.logs = {}
        sums = torch.zeros(2, len(self._groups), dtype=torch.float64, device=self.policy.device)
        for batch in self._minibatches():
            loss, parts = self._loss(batch)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_value_(self.policy.parameters(), LARGEST_GRADIENT)
            if self._settings.max_grad_norm:
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self._settings.max_grad_norm)
            self._optimizer.step()
            self._update_average()
            if self._groups:
                sums += torch.stack([parts["losses"], parts["weights"]])
            if not self.logs:
                self.logs = {"loss": float(loss.detach() if self._processes is None else self._processes.mean(loss))}
        self.policy.eval()
        if self._groups:
            self._set_means(sums)
        self.epochs_done += 1
        if self._validation is not None:
            with self.averaged():  # the weights that are saved if they are the best
                loss_now = self._validation_loss(self._validation)
            self.logs["validation loss"] = loss_now
            if loss_now < self._best:
                self._best, self._best_at = loss_now, self.epochs_done
                self._best_weights = copy.deepcopy(self._result_weights())

    def _set_means(self, sums: torch.Tensor) -> None:
        """Set the mean losses of an epoch.

        Args:
            sums: Weighted sum of the losses of each group, and sum of the weights, shape (2, groups). With several
                processes, those of this process's examples.
        """
        losses, weights = (sums if self._processes is None else self._processes.mean(sums)).tolist()
        self.mean_loss = sum(losses) / sum(weights)
        by_group = zip(self._groups, losses, weights, strict=True)
        self.group_losses = {name: loss / weight for name, loss, weight in by_group if weight > 0.0}

    def _loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of a training minibatch, or of this process's part if there are several, and its parts."""
        is_lower = self._settings.precision == "bfloat16"
        with torch.autocast(self.policy.device.type, torch.bfloat16) if is_lower else nullcontext():
            changed = self.policy.augment(batch)
            found: tuple[torch.Tensor, dict[str, torch.Tensor]] = (
                self.policy.compute_loss(changed) if self._processes is None else self._processes.loss(changed)
            )
        return found

    def share(self, group: ProcessGroup | None) -> None:
        """Share the work of each minibatch with other processes, whose loops have the same state.

        Args:
            group: Process group (:func:`agents.training.parallel.processes`); None if this process trains alone.
        """
        self._processes = group
        if group is not None:
            group.attach(self.policy)

    def check_finite(self, agent: str) -> None:
        """Check that the training has not diverged.

        Args:
            agent: Name of the agent.

        Raises:
            DivergedError: The loss of the last epoch is infinite or not a number.
        """
        if not math.isfinite(self.logs["loss"]):
            raise DivergedError(
                f"the training of {agent} diverged: its loss is {self.logs['loss']}. Try a lower learning_rate"
            )

    def _minibatches(self) -> Iterator[Any]:
        """Yield minibatches of shuffled examples on the policy's device."""
        size = self._settings.batch_size
        order = self._sampler(self._rng)
        for start in range(0, len(order) - size + 1, size):
            batch = self._examples[order[start : start + size]]
            if self._symmetry is not None:
                observations, actions = self._symmetry(batch.observations, batch.actions, self._rng)
                batch = replace(batch, observations=observations, actions=actions)
            yield batch.to(self.policy.device)

    def _update_average(self) -> None:
        if self._average is None:
            return
        decay = self._settings.ema_decay
        for name, value in self.policy.state_dict().items():
            # Normalizers do not change, and the mean of infinite numbers is not a number.
            if name in self._trained:
                self._average[name].lerp_(value, 1.0 - decay)
            else:
                self._average[name].copy_(value)

    @torch.no_grad()
    def _validation_loss(self, examples: Examples) -> float:
        """Return the mean loss over examples."""
        total = 0.0
        for start in range(0, len(examples), EVALUATED_AT_ONCE):
            part = examples[start : start + EVALUATED_AT_ONCE].to(self.policy.device)
            total += float(self.policy.compute_loss(part)[0]) * len(part)
        return total / len(examples)

    def _result_weights(self) -> dict[str, torch.Tensor]:
        return self.policy.state_dict() if self._average is None else self._average

    @contextmanager
    def averaged(self) -> Iterator[PolicyType]:
        """Give the policy the moving average of its weights within the block, such as for a periodic evaluation."""
        if self._average is None:
            yield self.policy
            return
        current = copy.deepcopy(self.policy.state_dict())
        self.policy.load_state_dict(self._average)
        try:
            yield self.policy
        finally:
            self.policy.load_state_dict(current)

    def result(self) -> PolicyType:
        """Return the policy on the CPU: with the best weights if there is validation data, else with the last."""
        self.policy.load_state_dict(self._best_weights or self._result_weights())
        return self.policy.to("cpu").eval()

    def state(self) -> State:
        """Return all that is needed to resume after an epoch."""
        return {
            "policy": self.policy.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "rng": self._rng.bit_generator.state,
            "generators": generators(),
            "epochs_done": self.epochs_done,
            "best": self._best,
            "best_at": self._best_at,
            "best_weights": self._best_weights,
        }

    def restore(self, state: State) -> None:
        """Resume from a state of :meth:`state`."""
        self.policy.load_state_dict(state["policy"])
        device, average = self.policy.device, state["average"]
        self._average = None if average is None else {name: value.to(device) for name, value in average.items()}
        self._optimizer.load_state_dict(state["optimizer"])
        self._rng.bit_generator.state = state["rng"]
        set_generators(state["generators"])
        self.epochs_done, self._best, self._best_at = state["epochs_done"], state["best"], state["best_at"]
        self._best_weights = state["best_weights"]


def torch_device(name: str) -> torch.device:
    """Return a device of PyTorch.

    Args:
        name: ``cpu``, ``cuda``, or ``auto`` for a GPU if there is one.

    Raises:
        ValueError: The name is ``cuda``, and PyTorch finds no GPU.
    """
    if name == "cuda":
        require_cuda()
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else "cpu" if name == "auto" else name)
