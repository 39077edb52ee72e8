"""Network of DQfD with dueling streams (Wang et al. 2016), and softmax exploration."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from agents.policies.networks import ObservationEncoder
from agents.types import Tensors


class DuelingQNetwork(QNetwork):
    """Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a') (Wang et al. 2016, equation 9).

    One stream learns the value of states, from all actions; the other only the differences between actions. They
    share all hidden layers except the last.

    Args:
        args: Arguments of Stable-Baselines3's ``QNetwork``.
        kwargs: Keyword arguments of Stable-Baselines3's ``QNetwork``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        *shared, last = self.net_arch
        self.q_net = nn.Sequential(*create_mlp(self.features_dim, -1, shared, self.activation_fn))
        width = shared[-1] if shared else self.features_dim
        actions = int(self.action_space.n)
        self.value = nn.Sequential(nn.Linear(width, last), self.activation_fn(), nn.Linear(last, 1))
        self.advantage = nn.Sequential(nn.Linear(width, last), self.activation_fn(), nn.Linear(last, actions))

    def forward(self, obs: Tensors) -> torch.Tensor:
        """Return Q(s, .), shape (N, actions), for observations of shape (N, ...), or a dict of such."""
        features: torch.Tensor = super().forward(obs)
        advantages: torch.Tensor = self.advantage(features)
        value: torch.Tensor = self.value(features)
        return value + advantages - advantages.mean(dim=1, keepdim=True)


class DuelingPolicy(DQNPolicy):
    """Policy that takes the action with the largest value of a :class:`DuelingQNetwork`."""

    def make_q_net(self) -> DuelingQNetwork:
        """Return a Q-network or a target network."""
        keywords = self._update_features_extractor(self.net_args, features_extractor=None)
        return DuelingQNetwork(**keywords).to(self.device)

    @property
    def extractors(self) -> tuple[ObservationEncoder, ObservationEncoder]:
        """Encoders of the Q-network and of the target network."""
        networks: Any = (self.q_net, self.q_net_target)
        return networks[0].features_extractor, networks[1].features_extractor


def softmax_actions(q_values: torch.Tensor, temperature: float) -> torch.Tensor:
    """Draw actions with probabilities exp(Q(s, a) / T) / sum_a' exp(Q(s, a') / T); shape (N,).

    They are drawn by PyTorch's global generator.

    Args:
        q_values: Q(s, .), shape (N, A).
        temperature: T, in units of Q: an action that is worse by T is e times less likely.
    """
    return torch.multinomial(torch.softmax(q_values / temperature, dim=1), 1)[:, 0]
