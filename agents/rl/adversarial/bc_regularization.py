"""BC regularization: updates of a policy on demonstrations between updates by reinforcement learning."""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.data.demonstrations import Transitions
from agents.data.symmetry import Symmetry
from agents.types import State


def actor_parameters(policy: ActorCriticPolicy, *, noise: bool) -> list[torch.nn.Parameter]:
    """Return the parameters of a policy's actor.

    Args:
        policy: Policy whose actor and critic share no parameters.
        noise: Include the parameter of the noise around the mean action.
    """
    parameters = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]
    if noise and hasattr(policy, "log_std"):
        parameters.append(policy.log_std)
    return parameters


class BCRegularization:
    """Updates of a policy that minimize the mean of -log p(a | s) over demonstrations.

    They use a separate Adam optimizer, and do not change the standard deviation of actions, which serves exploration.

    Args:
        policy: Policy in training.
        demonstrations: Demonstrated transitions.
        rng: Draws minibatches.
        symmetry: Augments minibatches; None leaves them.
    """

    def __init__(
        self,
        policy: ActorCriticPolicy,
        demonstrations: Transitions,
        rng: np.random.Generator,
        symmetry: Symmetry | None = None,
    ) -> None:
        self._policy = policy
        self._demonstrations = demonstrations
        self._rng = rng
        self._symmetry = symmetry
        self._optimizer = torch.optim.Adam(actor_parameters(policy, noise=False))

    def update(self, updates: int, batch_size: int, learning_rate: float) -> float:
        """Update the policy.

        Args:
            updates: Number of updates.
            batch_size: Transitions in a minibatch, drawn with replacement.
            learning_rate: Learning rate of these updates.

        Returns:
            The mean loss.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        losses = []
        for _ in range(updates):
            rows = torch.from_numpy(self._rng.integers(len(self._demonstrations), size=batch_size))
            batch = self._demonstrations[rows]
            observations, actions = batch.observations, batch.actions
            if self._symmetry is not None:
                observations, actions = self._symmetry(observations, actions, self._rng)
            drawn = Transitions(observations, actions).to(self._policy.device)
            loss = -self._policy.evaluate_actions(drawn.observations, drawn.actions)[1].mean()
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            losses.append(float(loss.detach()))
        # The loss also left gradients in the parameter of the noise.
        self._policy.zero_grad()
        return float(np.mean(losses)) if losses else 0.0

    def state(self) -> State:
        """Return what a checkpoint needs to resume."""
        return {"optimizer": self._optimizer.state_dict(), "rng": self._rng.bit_generator.state}

    def restore(self, state: State) -> None:
        """Resume from a state of :meth:`state`."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._rng.bit_generator.state = state["rng"]
