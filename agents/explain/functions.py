"""Policies as functions that can be differentiated: from what they see to the numbers that decide an action."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from torch import nn

from agents.imitation.bc import BCPolicy, BehaviorCloning
from agents.imitation.sequence.act import ACTPolicy
from agents.imitation.sequence.bc_rnn import RecurrentPolicy
from agents.policies.ensemble import EnsemblePolicy
from agents.policies.networks import output_of
from agents.policies.sequence_policy import Context, SequencePolicy
from agents.policies.torch_policy import TorchPolicy
from agents.types import Space, State, Tensors
from demos.datasets.tree import tree_map

KNOWN = (ActorCriticPolicy, DQNPolicy, SACPolicy)
"""Policies of Stable-Baselines3 whose outputs are known."""

PLANS_PROBABILITIES = (ACTPolicy, RecurrentPolicy)
"""Sequence policies whose most likely chunk of discrete actions holds probabilities."""

LEFT = "left"
"""Actions left of the present chunk, in the memory of our policies that execute chunks."""


class UnavailableError(ValueError):
    """Reason why a method cannot explain an agent."""


@dataclass(frozen=True)
class Inputs:
    """Inputs from which a policy computes N actions.

    Attributes:
        observations: Last observations, the newest last, shape (N, H, ...); a dict of such.
        is_pad: Shape (N, H): True where the first observation of the episode is repeated before its start.
        memory: Memory before the newest observation, with N rows; None at the start of an episode.
        ahead: Steps from the newest observation to the action. A policy that executes a chunk of actions decided on
            some of them earlier.
    """

    observations: Tensors
    is_pad: torch.Tensor
    memory: State | None = None
    ahead: int = 0

    def repeated(self, count: int) -> Inputs:
        """Return one row ``count`` times: shapes (count, ...)."""

        def repeat(values: torch.Tensor) -> torch.Tensor:
            return values.expand(count, *values.shape[1:])

        memory = None if self.memory is None else tree_map(repeat, self.memory)
        return Inputs(tree_map(repeat, self.observations), repeat(self.is_pad), memory, self.ahead)

    @property
    def newest(self) -> Tensors:
        """Newest observations, shape (N, ...); a dict of such."""
        newest: Tensors = tree_map(lambda values: values[:, -1], self.observations)
        return newest


class PolicyFunction(ABC):
    """Function from what a policy sees to the numbers that decide its most likely action.

    The C numbers of an action are the action itself, flat. For discrete actions they are one number for each action,
    minus their mean: the logits, or the values Q(s, a), or the generated code of an action. The largest decides.

    Args:
        module: Network.
        action_space: Space of the actions.

    Attributes:
        horizon: Observations H that the policy sees.
    """

    horizon = 1

    def __init__(self, module: nn.Module, action_space: Space) -> None:
        self.module = module.eval()
        self.action_space = action_space
        self.is_discrete = isinstance(action_space, spaces.Discrete)

    @abstractmethod
    def _numbers(self, inputs: Inputs) -> torch.Tensor:
        """Return the numbers that decide the action, shape (N, C)."""

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        """Return the numbers that decide the action, shape (N, C); they have a gradient."""
        numbers = self._numbers(inputs)
        return numbers - numbers.mean(dim=1, keepdim=True) if self.is_discrete else numbers

    @torch.no_grad()
    def draws(self, inputs: Inputs, count: int) -> torch.Tensor | None:
        """Draw actions, shape (count, N, C); None for a policy that draws none.

        Args:
            inputs: What the policy sees.
            count: Number of draws. They use PyTorch's global generator.
        """
        return None

    @property
    def members(self) -> Sequence[PolicyFunction]:
        """Functions of the policies of an ensemble; the function itself if there is one policy."""
        return (self,)

    @torch.no_grad()
    def features(self, inputs: Inputs) -> torch.Tensor:
        """Return the policy's own features, shape (N, F): what its last linear layer sees.

        Raises:
            UnavailableError: It has no linear layer.
        """
        seen: dict[str, torch.Tensor] = {}

        def keep(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            seen["last"] = given[0]

        linear = [layer for layer in self.module.modules() if isinstance(layer, nn.Linear)]
        handles = [layer.register_forward_pre_hook(keep) for layer in linear]
        try:
            self(inputs)
        finally:
            for handle in handles:
                handle.remove()
        if "last" not in seen:
            raise UnavailableError(
                f"a {type(self.module).__name__} has no linear layer, and so no features of its own"
            )
        return seen["last"].flatten(1)


class ReactiveFunction(PolicyFunction):
    """Function of a policy of Stable-Baselines3, or of a network that maps observations to actions.

    Args:
        module: Policy, or network.
        action_space: Space of the actions.
    """

    def _numbers(self, inputs: Inputs) -> torch.Tensor:
        if isinstance(self.module, KNOWN):
            return output_of(self.module, inputs.newest)
        numbers: torch.Tensor = self.module(inputs.newest)
        return numbers.flatten(1)

    @torch.no_grad()
    def draws(self, inputs: Inputs, count: int) -> torch.Tensor | None:
        """Draw actions of a Gaussian policy, shape (count, N, C); None for discrete actions and networks."""
        if self.is_discrete or not isinstance(self.module, (ActorCriticPolicy, SACPolicy)):
            return None
        policy: Any = self.module
        drawn = torch.stack([policy._predict(inputs.newest, deterministic=False).flatten(1) for _ in range(count)])
        if not policy.squash_output:
            return drawn
        # Squashed actions are between -1 and 1: Stable-Baselines3 scales them in predict.
        low, high = (torch.as_tensor(bound).ravel() for bound in (policy.action_space.low, policy.action_space.high))
        return low + 0.5 * (drawn + 1.0) * (high - low)


class EnsembleFunction(PolicyFunction):
    """Function of policies that act by their mean.

    Args:
        members: Functions of the policies, of one action space.
    """

    def __init__(self, members: Sequence[PolicyFunction]) -> None:
        super().__init__(nn.ModuleList(member.module for member in members), members[0].action_space)
        self._members = tuple(members)
        self.horizon = max(member.horizon for member in members)

    @property
    def members(self) -> Sequence[PolicyFunction]:
        """Functions of the policies."""
        return self._members

    def _numbers(self, inputs: Inputs) -> torch.Tensor:
        return torch.stack([member(inputs) for member in self._members]).mean(dim=0)

    def features(self, inputs: Inputs) -> torch.Tensor:
        """Return the features of all policies, one after the other, shape (N, F)."""
        return torch.cat([member.features(inputs) for member in self._members], dim=1)


class SequenceFunction(PolicyFunction):
    """Function of a policy that plans chunks from its last observations.

    For discrete actions, its numbers are log-probabilities minus their mean, which are the logits minus theirs. Those
    of a generative policy (``diffusion``) are the code that it generates: about 1 for the action and -1 for others.

    Args:
        policy: Policy.
    """

    def __init__(self, policy: SequencePolicy) -> None:
        super().__init__(policy, policy.action_space)
        self.policy = policy
        self.horizon = policy.horizons.observations

    def chunk(self, inputs: Inputs, *, deterministic: bool = True) -> torch.Tensor:
        """Return the codes of the planned actions, shape (N, K, C)."""
        context = Context(self.policy.encoder(inputs.observations), inputs.is_pad)
        memory = inputs.memory
        age = self.horizon - 1 - inputs.is_pad.sum(dim=1) if memory is None else memory["age"]
        noise = self.policy.draw_noise(age, deterministic=deterministic)
        planned = self.policy.predict_chunk(context, noise, deterministic=deterministic)
        return self.policy.from_frame(planned, inputs.newest)

    def _numbers(self, inputs: Inputs) -> torch.Tensor:
        codes = self.chunk(inputs)[:, inputs.ahead]
        if self.is_discrete and isinstance(self.policy, PLANS_PROBABILITIES):
            return codes.clamp(min=torch.finfo(codes.dtype).tiny).log()
        return self._decoded(codes)

    def _decoded(self, codes: torch.Tensor) -> torch.Tensor:
        return codes if self.is_discrete else self.policy.codec.decode(codes).flatten(1)

    @torch.no_grad()
    def draws(self, inputs: Inputs, count: int) -> torch.Tensor | None:
        """Draw actions, shape (count, N, C); None where each draw is the same."""
        if self.is_discrete:
            return None
        chunks = torch.stack([self.chunk(inputs, deterministic=False) for _ in range(count)])
        if bool((chunks == chunks[0]).all()):
            return None
        return torch.stack([self._decoded(each) for each in chunks[:, :, inputs.ahead]])


class MemoryFunction(PolicyFunction):
    """Function of any other :class:`agents.policies.torch_policy.TorchPolicy` with continuous actions.

    Its memory is held as it was, but without the rest of a chunk: the function is one of the newest observation.

    Args:
        policy: Policy.
    """

    def __init__(self, policy: TorchPolicy[Any]) -> None:
        super().__init__(policy, policy.action_space)
        self.policy = policy

    def _numbers(self, inputs: Inputs) -> torch.Tensor:
        memory: Any = inputs.memory
        if memory is None:
            memory = self.policy.initial_memory(len(inputs.is_pad))
        if isinstance(memory, dict) and LEFT in memory:
            # Else it would execute the chunk that the agent has planned earlier, whatever is seen now.
            memory = {**memory, LEFT: torch.zeros_like(memory[LEFT])}
        for _ in range(inputs.ahead + 1):
            action, memory = self.policy.predict_action(inputs.newest, memory)
        return action.flatten(1)


@runtime_checkable
class ActsByPolicy(Protocol):
    """Agent that acts by a policy or network, as ours and those of Stable-Baselines3 do."""

    policy: Any


@runtime_checkable
class HasActionSpace(Protocol):
    """Agent that knows its action space, without which a plain network has no known outputs."""

    action_space: Space


def function_of(agent: object) -> PolicyFunction | None:
    """Return the function of an agent's policy; None for an agent without a network of PyTorch.

    Args:
        agent: Agent, model of Stable-Baselines3, policy, or network with ``action_space``.
    """
    if isinstance(agent, BehaviorCloning) and len(agent.policies) > 1:
        return EnsembleFunction([cast(PolicyFunction, function_of(policy)) for policy in agent.policies])
    policy = agent.policy if isinstance(agent, ActsByPolicy) and not isinstance(agent, nn.Module) else agent
    if isinstance(policy, EnsemblePolicy):
        return EnsembleFunction([cast(PolicyFunction, function_of(member)) for member in policy.members])
    if isinstance(policy, BCPolicy):
        return ReactiveFunction(policy.network, policy.action_space)
    if isinstance(policy, SequencePolicy):
        return SequenceFunction(policy)
    if isinstance(policy, TorchPolicy):
        return MemoryFunction(policy) if isinstance(policy.action_space, spaces.Box) else None
    if isinstance(policy, KNOWN):
        return ReactiveFunction(policy, policy.action_space)
    if isinstance(policy, nn.Module) and not isinstance(policy, BasePolicy) and isinstance(agent, HasActionSpace):
        return ReactiveFunction(policy, agent.action_space)
    return None
