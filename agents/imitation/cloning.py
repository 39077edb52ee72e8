"""Fits one policy to transitions, an epoch at a time: what cloning is, wherever the transitions are from."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from imitation.algorithms import bc
from imitation.data.types import DictObs, TransitionMapping
from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.logger import KVWriter, Logger

from agents.policies.networks import BoundedPolicy, check_layers, policy_keywords
from agents.training.demonstrations import Transitions
from agents.training.randomness import generators, set_generators
from agents.training.settings import at_least, positive
from agents.training.symmetry import Symmetry
from demos.datasets.episode import tree_map
from demos.datasets.statistics import Statistics


@dataclass(frozen=True)
class Settings:
    """Settings of what clones.

    Attributes:
        epochs: Passes over the demonstrations.
        batch_size: Transitions an update.
        learning_rate: At the start; it falls to 0 along half a cosine.
        hidden_sizes: Units of the policy's layers.
        entropy_weight: Bonus for random actions.
        l2_weight: On all weights.
        standardize: Whether observations are brought to mean 0 and spread 1 of the demonstrations.
        squash: Whether actions are squashed into their space by tanh.
        ignored: Features that the policy does not look at, such as ``object/rotation``, or one number of a vector,
            such as ``tool/position/x``; needs ``standardize``.
        mirror: Whether demonstrations are also seen in a mirror; see :mod:`agents.training.symmetry`.
        turn: Whether they are also turned about the vertical.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    hidden_sizes: tuple[int, ...]
    entropy_weight: float
    l2_weight: float
    standardize: bool
    squash: bool
    ignored: tuple[str, ...]
    mirror: bool
    turn: bool

    def __post_init__(self) -> None:
        at_least(1, epochs=self.epochs, batch_size=self.batch_size)
        at_least(0, entropy_weight=self.entropy_weight, l2_weight=self.l2_weight)
        positive(learning_rate=self.learning_rate)
        check_layers(self.hidden_sizes)
        if self.ignored and not self.standardize:
            raise ValueError(f"ignored is {', '.join(self.ignored)}, which needs standardize=true")


@dataclass(frozen=True)
class Fitting:
    """How a policy is fitted.

    Attributes:
        epochs: Passes over the transitions, at most.
        batch_size: Transitions an update.
        learning_rate: At the start; it falls to 0 along half a cosine.
        entropy_weight: Bonus for random actions.
        l2_weight: On all weights.
        patience: Epochs without improvement on what is held out after which it stops; 0 for never.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    entropy_weight: float = 0.0
    l2_weight: float = 0.0
    patience: int = 0


@dataclass(frozen=True)
class Batches:
    """Shuffled batches, drawn from a generator of our own; one iteration is one epoch.

    Attributes:
        observations: Shape (N, ...), or imitation's dict of such arrays.
        actions: Shape (N, ...).
        size: Transitions a batch; the rest of an epoch that fills no batch is left out.
        rng: Draws the order.
        symmetry: Changes transitions into others that might as well have been demonstrated; None leaves them.
    """

    observations: Any
    actions: torch.Tensor
    size: int
    rng: np.random.Generator
    symmetry: Symmetry | None = None

    def __iter__(self) -> Iterator[TransitionMapping]:
        order = self.rng.permutation(len(self.actions))
        for start in range(0, len(order) - self.size + 1, self.size):
            rows = order[start : start + self.size]
            observations, actions = self.observations[rows], self.actions[rows]
            if self.symmetry is not None:
                observations, actions = self.symmetry(observations, actions, self.rng)
            yield {"obs": observations, "acts": actions}


LARGEST_GRADIENT = 1e18
"""Adam squares gradients: beyond 1e19 the squares overflow 32-bit numbers. Where the noise of an action has nearly
vanished, one deviating label gives gradients of 1e35."""


class BoundedAdam(torch.optim.Adam):
    """Adam whose gradients are bounded, each by itself, so that their squares do not overflow."""

    def step(self, closure: Any = None) -> Any:
        """Bound the gradients, and do one step."""
        for group in self.param_groups:
            torch.nn.utils.clip_grad_value_(group["params"], LARGEST_GRADIENT)
        return super().step(closure)


class _Losses(KVWriter):
    """Takes what imitation logs."""

    def __init__(self) -> None:
        self.last = 0.0

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        self.last = float(key_values.get("bc/loss", self.last))

    def close(self) -> None:
        """Holds nothing open."""


def new_clone(
    observation_space: gym.Space[Any], action_space: gym.Space[Any], hidden_sizes: tuple[int, ...], *, squash: bool
) -> BoundedPolicy:
    """Makes a policy that knows nothing yet.

    Args:
        observation_space: Of the environment.
        action_space: Of the environment.
        hidden_sizes: Units of its layers.
        squash: Whether its actions are squashed into their space by tanh.
    """
    policy = BoundedPolicy(
        observation_space,
        action_space,
        # imitation trains with an optimizer of its own; this one is never used.
        lr_schedule=lambda _: 0.0,
        squash=squash,
        **policy_keywords(hidden_sizes),
    )
    policy.set_training_mode(False)
    return policy


class Cloning:
    """The fitting of one policy, within :func:`agents.training.randomness.isolated_rng`.

    Args:
        policy: Untrained.
        learned: What it is fitted to.
        fitting: How.
        seed: Of the order of batches.
        found: Statistics of the observations; None if they stay as they are.
        ignored: Places of numbers that the policy does not look at.
        held_out: What tells when to stop; None if nothing does.
        symmetry: Of the task; None if it is not used.
        device: ``auto``, ``cpu`` or ``cuda``.

    Attributes:
        policy: As it is now.
        done: Epochs so far.
        losses: Of the last epoch, by name.
    """

    def __init__(
        self,
        policy: BoundedPolicy,
        learned: Transitions,
        fitting: Fitting,
        *,
        seed: int,
        found: Mapping[str, Statistics] | None = None,
        ignored: Sequence[int] = (),
        held_out: Transitions | None = None,
        symmetry: Symmetry | None = None,
        device: str = "auto",
    ) -> None:
        self.policy = policy
        self.done = 0
        self.losses: dict[str, float] = {}
        self._fitting = fitting
        self._held_out = held_out
        self._logged = _Losses()
        self._best = math.inf
        self._best_at = 0
        self._best_weights: dict[str, torch.Tensor] | None = None
        self._rng = np.random.default_rng(seed)
        if found is not None:
            extractor: Any = policy.features_extractor
            extractor.fit(found, ignored)
        self._trainer = bc.BC(
            observation_space=policy.observation_space,
            action_space=policy.action_space,
            rng=self._rng,
            policy=policy,
            batch_size=fitting.batch_size,
            optimizer_cls=BoundedAdam,
            optimizer_kwargs={"lr": fitting.learning_rate},
            ent_weight=fitting.entropy_weight,
            l2_weight=fitting.l2_weight,
            device=device,
            custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[self._logged])),
        )
        observations: Any = learned.observations
        if isinstance(observations, dict):
            observations = DictObs(tree_map(lambda values: values.numpy(), observations))
        self._trainer.set_demonstrations(
            Batches(observations, learned.actions, fitting.batch_size, self._rng, symmetry)
        )

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Goes on from a state of :meth:`state`."""
        self.policy.load_state_dict(kept["policy"])
        self._trainer.optimizer.load_state_dict(kept["optimizer"])
        self._rng.bit_generator.state = kept["rng"]
        set_generators(kept["generators"])
        self.done, self._best, self._best_at = kept["done"], kept["best"], kept["best_at"]
        self._best_weights = kept["best_weights"]

    def state(self) -> dict[str, Any]:
        """What is needed to go on."""
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self._trainer.optimizer.state_dict(),
            "rng": self._rng.bit_generator.state,
            "generators": generators(),
            "done": self.done,
            "best": self._best,
            "best_at": self._best_at,
            "best_weights": self._best_weights,
        }

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        patience = self._fitting.patience
        return self.done >= self._fitting.epochs or bool(patience and self.done - self._best_at >= patience)

    def epoch(self) -> None:
        """Passes over the demonstrations once."""
        rate = self._fitting.learning_rate * 0.5 * (1.0 + math.cos(math.pi * self.done / self._fitting.epochs))
        for group in self._trainer.optimizer.param_groups:
            group["lr"] = rate
        self.policy.set_training_mode(True)
        with warnings.catch_warnings():
            # imitation logs losses without detaching them, and unwraps dicts twice.
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad", UserWarning)
            warnings.filterwarnings("ignore", "trying to unwrap object", UserWarning)
            self._trainer.train(n_epochs=1, progress_bar=False, log_interval=10**9)
        self.policy.set_training_mode(False)
        self.done += 1
        self.losses = {"loss": self._logged.last}
        if self._held_out is not None:
            loss = self._loss(self._held_out)
            self.losses["held-out loss"] = loss
            if loss < self._best:
                self._best, self._best_at = loss, self.done
                self._best_weights = copy.deepcopy(self.policy.state_dict())

    def _loss(self, some: Transitions) -> float:
        """Mean negative log-likelihood of the actions."""
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(some), 4096):
                part = some[start : start + 4096].to(self.policy.device)
                total -= float(self.policy.evaluate_actions(part.observations, part.actions)[1].sum())
        return total / len(some)

    def result(self) -> BoundedPolicy:
        """The policy that is kept, on the CPU."""
        if self._best_weights is not None:
            self.policy.load_state_dict(self._best_weights)
        policy: BoundedPolicy = self.policy.to("cpu")
        return policy
