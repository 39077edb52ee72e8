"""Rehearsal: a policy that practises goes on learning from the demonstrations, and so keeps what it has of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.data.demonstrations import Transitions
from agents.data.symmetry import Symmetry


def actor_parameters(policy: ActorCriticPolicy, *, noise: bool) -> list[torch.nn.Parameter]:
    """Returns the parameters that decide how a policy acts.

    Args:
        policy: Its actor and critic share none.
        noise: With that of the noise around the mean.
    """
    parameters = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]
    if noise and hasattr(policy, "log_std"):
        parameters.append(policy.log_std)
    return parameters


class BCRegularization:
    """Clones demonstrations into a policy between other updates of it.

    It minimises the mean of -log p(a | s) over the demonstrations by an Adam of its own. The noise around the mean
    action is left alone: it belongs to the practice.

    Args:
        policy: What practises.
        shown: The demonstrations.
        rng: Draws batches.
        symmetry: Changes transitions into others that might as well have been demonstrated; None leaves them.
    """

    def __init__(
        self,
        policy: ActorCriticPolicy,
        shown: Transitions,
        rng: np.random.Generator,
        symmetry: Symmetry | None = None,
    ) -> None:
        self._policy = policy
        self._shown = shown
        self._rng = rng
        self._symmetry = symmetry
        self._optimizer = torch.optim.Adam(actor_parameters(policy, noise=False))

    def update(self, updates: int, batch_size: int, learning_rate: float) -> float:
        """Updates the policy.

        Args:
            updates: How often.
            batch_size: Transitions an update, drawn with replacement.
            learning_rate: Of the updates.

        Returns:
            The mean loss.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        losses = []
        for _ in range(updates):
            rows = torch.from_numpy(self._rng.integers(len(self._shown), size=batch_size))
            batch = self._shown[rows]
            observations, actions = batch.observations, batch.actions
            if self._symmetry is not None:
                observations, actions = self._symmetry(observations, actions, self._rng)
            drawn = Transitions(observations, actions).to(self._policy.device)
            loss = -self._policy.evaluate_actions(drawn.observations, drawn.actions)[1].mean()
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            losses.append(float(loss.detach()))
        # What the loss says of the other parameters is not for the practice.
        self._policy.zero_grad()
        return float(np.mean(losses)) if losses else 0.0

    def state(self) -> dict[str, Any]:
        """What is needed to go on."""
        return {"optimizer": self._optimizer.state_dict(), "rng": self._rng.bit_generator.state}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Goes on from a state of :meth:`state`."""
        self._optimizer.load_state_dict(kept["optimizer"])
        self._rng.bit_generator.state = kept["rng"]
