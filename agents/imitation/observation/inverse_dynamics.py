"""Inverse dynamics: the action that led from one observation to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from agents.data.demonstrations import DemonstrationData, Transitions, concatenate_transitions
from agents.data.features import FeatureIndices
from agents.data.spaces import is_depth_image, is_image, parts_of
from agents.policies.networks import BoundedPolicy, ObservationEncoder, policy_keywords
from agents.policies.torch_policy import TorchPolicy
from agents.training.loop import LoopSettings, TrainingLoop
from agents.types import Array, Env, Memory, Observation, Space, Tensors
from demos.datasets.episode import Episode
from demos.datasets.statistics import Statistics, array_statistics
from lam_envs.observation.instructions import INSTRUCTION_KEY

Rows = npt.NDArray[np.float32]
ROBOT_PARTS = ("tool", "gripper", "joint")
"""Parts whose features are used by default; not every robot or control has all of them."""
BATCH = 4096
"""Steps in one forward pass."""


@dataclass(frozen=True)
class InverseInputs:
    """Numbers of two successive observations from which the action between them is inferred.

    Images and instructions are omitted: actions are inferred from the robot's state.

    Attributes:
        parts: Names of the parts of an observation that are vectors; ``""`` for a plain array.
        indices: Numbers of their concatenation that are used, shape (D,).
    """

    parts: tuple[str, ...]
    indices: Sequence[int]

    @classmethod
    def of(cls, env: Env, robot_parts: Sequence[str]) -> InverseInputs:
        """Return the inputs in an environment.

        Args:
            env: Environment. In environments of other packages, all numbers are used.
            robot_parts: Parts whose features are used, such as ``gripper`` for ``gripper/width``.

        Raises:
            ValueError: The observations have no numbers besides images and instructions, or no such features; or a
                part has no features and is not in :data:`ROBOT_PARTS`.
        """
        found = {
            name: part
            for name, part in parts_of(env.observation_space).items()
            if not (is_image(part) or is_depth_image(part) or name == INSTRUCTION_KEY)
        }
        if not found:
            raise ValueError(
                "observations contain only images; expected a vector, such as the state of the robot: use obs='state'"
            )
        layout = getattr(env.unwrapped, "layout", None)
        if layout is None:
            return cls(tuple(found), range(sum(int(np.prod(part.shape)) for part in found.values())))
        name = next((name for name, part in found.items() if part.shape == (layout.size,)), None)
        if name is None:
            shapes = ", ".join(f"{name or 'observation'} {part.shape}" for name, part in found.items())
            raise ValueError(
                f"the observations have {shapes}; expected a vector of {layout.size} features: remove wrappers"
            )
        known = {feature.partition("/")[0] for feature in layout}
        unknown = sorted(set(robot_parts) - known - set(ROBOT_PARTS))
        if unknown or not known & set(robot_parts):
            raise ValueError(
                f"robot_parts is {', '.join(unknown or robot_parts) or 'empty'}; expected some of "
                f"{', '.join(sorted(known))}"
            )
        indices = [
            index
            for feature, part in layout.items()
            if feature.partition("/")[0] in robot_parts
            for index in range(part.slice.start, part.slice.stop)
        ]
        return cls((name,), indices)

    def __call__(self, before: Observation, after: Observation) -> Rows:
        """Return the inputs, shape (N, 2 D), for observations of shape (N, ...), or dicts of such."""
        first, second = self._numbers(before), self._numbers(after)
        return np.concatenate([first, second - first], axis=1)

    def _numbers(self, observations: Observation) -> Rows:
        parts = observations if isinstance(observations, dict) else {"": observations}
        flat = [np.asarray(parts[name], dtype=np.float32).reshape(len(parts[name]), -1) for name in self.parts]
        numbers: Rows = np.concatenate(flat, axis=1)[:, list(self.indices)]
        return numbers

    def of_episodes(self, data: DemonstrationData) -> list[Rows]:
        """Return the inputs of the steps of each demonstration. Actions are not read."""
        return [self.of_episode(episode) for episode in data.iterate_episodes()]

    def of_episode(self, episode: Episode) -> Rows:
        """Return the inputs of the steps of an episode. Actions are not read."""
        return self(*(_between(episode.observations, begin, end) for begin, end in ((0, -1), (1, None))))


def _between(observations: Observation, begin: int, end: int | None) -> Observation:
    if isinstance(observations, dict):
        return {name: values[begin:end] for name, values in observations.items()}
    return observations[begin:end]


class InverseDynamics(TorchPolicy[Transitions]):
    """Distribution p(a | s, s'): Gaussian, or categorical for discrete actions.

    Args:
        size: Numbers of an input of :class:`InverseInputs`.
        action_space: Space of the actions.
        hidden_sizes: Units of the layers; without layers, the mean or the logits are linear in the inputs.
    """

    def __init__(self, size: int, action_space: Space, hidden_sizes: tuple[int, ...]) -> None:
        space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        super().__init__(space, action_space)
        # Actions are clipped, not squashed: the expert often uses the largest ones, which tanh does not reach.
        self.network = BoundedPolicy(
            space, action_space, lr_schedule=lambda _: 0.0, squash=False, **policy_keywords(hidden_sizes)
        )
        self.eval()

    def compute_loss(self, batch: Transitions) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean of -log p(a | s, s'), shape ()."""
        _, log_prob, _ = self.network.evaluate_actions(batch.observations, batch.actions)
        loss = -log_prob.mean()
        return loss, {"negative log-likelihood": loss}

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the most likely action, or a sample, shape (N, ...)."""
        return self.network.get_distribution(observation).get_actions(deterministic=deterministic), memory

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set mean and standard deviation of the inputs."""
        cast(ObservationEncoder, self.network.features_extractor).fit(statistics, masked)


def fit_inverse_dynamics(
    play: Transitions,
    action_space: Space,
    hidden_sizes: tuple[int, ...],
    loop: LoopSettings,
    *,
    seed: int,
    device: str,
) -> InverseDynamics:
    """Fit p(a | s, s') to transitions whose actions are known, by maximum likelihood.

    Args:
        play: Inputs of :class:`InverseInputs` as observations, shape (N, 2 D), and the actions.
        action_space: Space of the actions.
        hidden_sizes: Units of the layers, possibly none.
        loop: Settings of the training.
        seed: Seeds the order of minibatches; weights are drawn from PyTorch's global generator.
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    policy = InverseDynamics(play.observations.shape[1], action_space, hidden_sizes)
    policy.fit_normalizer(array_statistics(play.observations.numpy()))
    training = TrainingLoop(policy, play, loop, seed=seed, device=device)
    while not training.is_done:
        training.epoch()
    return training.result()


def infer_actions(inverse: InverseDynamics, inputs: Rows) -> Array:
    """Return the most likely action of each step, shape (N, ...), for inputs of shape (N, 2 D)."""
    parts = [inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH)]
    return np.concatenate([inverse.predict(part, deterministic=True)[0] for part in parts])


def joined(parts: Sequence[tuple[Rows, Array]]) -> Transitions:
    """Return inputs and actions as transitions, one after the other."""
    return concatenate_transitions(
        [Transitions(torch.from_numpy(inputs), torch.from_numpy(actions)) for inputs, actions in parts]
    )
