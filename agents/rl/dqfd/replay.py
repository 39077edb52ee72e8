"""Prioritized replay (Schaul et al. 2016): transitions with large errors are drawn most often.

A sum tree draws in proportion to priorities in logarithmic time. Demonstrations stay in the first rows of the buffer;
the rest is a ring buffer of the agent's transitions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer

from agents.training.stable_baselines.training import stored_observations
from agents.types import Array, Info, Observation, Space, State, Tensors
from demos.datasets.episode import Episode
from demos.datasets.tree import tree_map

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

WIDE = 1024
"""Nodes in the level at which a search starts: one cumulative sum is as fast as about three levels of the tree."""


class SumTree:
    """Binary tree whose leaves are priorities and whose other nodes are the sums of their two children.

    All nodes are in one array: the root is number 1, the children of node i are 2 i and 2 i + 1.

    Sums are always computed from the children, never corrected by differences: after any number of changes they are
    as exact as those of a new tree.

    Args:
        size: Number of leaves.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._depth = max(size - 1, 0).bit_length()
        self._first = 2**self._depth
        self.nodes: Numbers = np.zeros(2 * self._first)

    @property
    def total(self) -> float:
        """Sum of all leaves."""
        return float(self.nodes[1])

    def __getitem__(self, indices: Rows | slice) -> Numbers:
        """Return the priorities of some leaves."""
        return self.nodes[self._first : self._first + self.size][indices]

    def set(self, indices: Rows, priorities: Numbers) -> None:
        """Set leaves, in O(log size) each; if an index occurs twice, its last value counts.

        Args:
            indices: Indices of leaves, shape (B,).
            priorities: Priorities of at least 0, shape (B,).
        """
        nodes = indices + self._first
        self.nodes[nodes] = priorities
        for _ in range(self._depth):
            nodes = nodes >> 1
            self.nodes[nodes] = self.nodes[2 * nodes] + self.nodes[2 * nodes + 1]

    def find(self, masses: Numbers) -> Rows:
        """Return the leaves at which the cumulative sum of priorities passes some masses, shape (B,).

        Uniform masses find leaves in proportion to their priorities; a leaf of priority 0 is never found.

        Args:
            masses: Numbers from 0 to the total, shape (B,).
        """
        wide = min(WIDE, self._first)
        sums = np.zeros(wide + 1)
        np.add.accumulate(self.nodes[wide : 2 * wide], out=sums[1:])
        # The total may be larger than the last sum by a rounding error.
        masses = np.minimum(masses, np.nextafter(sums[-1], 0.0))
        nodes = sums[1:].searchsorted(masses, side="right")
        masses -= sums.take(nodes)
        nodes += wide
        for _ in range(self._depth - (wide.bit_length() - 1)):
            nodes <<= 1
            left = self.nodes.take(nodes)
            is_right = masses >= left
            masses -= left * is_right
            nodes += is_right
        # A rounding error may lead past the last leaf that is not empty, to leaves on the right of it.
        while True:
            is_empty = self.nodes.take(nodes) == 0.0
            if not is_empty.any():
                return np.asarray(nodes - self._first, dtype=np.int64)
            nodes -= is_empty


class Batch(NamedTuple):
    """Minibatch of N transitions as tensors of shape (N,), except ``rows``; observations have the shape (N, ...).

    Attributes:
        rows: Rows of the buffer.
        observations: s, before the action.
        actions: a, the executed action.
        labels: a_E, the demonstrator's action; differs from a where noise was added.
        rewards: r.
        discounts: gamma; 0 where the episode terminated with this step.
        next_observations: Observation one step later.
        returns: Sum of gamma^k r_k over up to n steps.
        n_step_discounts: gamma to the power of the number of these steps; 0 where the episode terminated at the last.
        n_step_observations: Observation after the last of these steps.
        demonstrated: 1 for demonstrations, 0 for the agent's own transitions.
        weights: Importance weights, at most 1.
    """

    rows: Rows
    observations: Tensors
    actions: torch.Tensor
    labels: torch.Tensor
    rewards: torch.Tensor
    discounts: torch.Tensor
    next_observations: Tensors
    returns: torch.Tensor
    n_step_discounts: torch.Tensor
    n_step_observations: Tensors
    demonstrated: torch.Tensor
    weights: torch.Tensor


class PrioritizedReplayBuffer(BaseBuffer):
    """Replay buffer of demonstrations, which stay, and the agent's transitions, with a priority for each.

    The priority of a transition is p = |delta| + e, where delta is its last error of one step, and e is larger for
    demonstrations. It is drawn with probability P = p^alpha / sum p^alpha. The importance weights
    w = (N P)^-beta, divided by the largest in the minibatch, undo the bias of this as beta reaches 1. New transitions
    get the largest error so far, so that all are drawn soon.

    Args:
        buffer_size: Total number of rows.
        observation_space: A Box, or a Dict of such.
        action_space: Discrete actions.
        device: Device of the minibatches.
        n_envs: Number of environments; must be 1.
        optimize_memory_usage: Ignored; Stable-Baselines3 passes it.
        demonstrations: Number of rows for demonstrations, fewer than all rows.
        n_step: Steps of the n-step return.
        gamma: Discount factor.
        alpha: Exponent of priorities; 0 draws uniformly with weights of 1.
        agent_bonus: e of the agent's transitions.
        demonstration_bonus: e of demonstrations.
        seed: Seeds its generator.

    Raises:
        ValueError: Several environments, or no rows besides the demonstrations.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: Space,
        action_space: Space,
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        *,
        demonstrations: int,
        n_step: int,
        gamma: float,
        alpha: float,
        agent_bonus: float,
        demonstration_bonus: float,
        seed: int,
    ) -> None:
        super().__init__(buffer_size, observation_space, action_space, device, n_envs)
        if n_envs != 1:
            raise ValueError(f"there are {n_envs} environments; expected 1, whose consecutive steps fill the rows")
        if not 0 <= demonstrations < buffer_size:
            raise ValueError(f"{demonstrations} demonstrated transitions leave no room in {buffer_size} rows")
        self.demonstrations = demonstrations
        self.n_step, self.gamma, self.alpha = n_step, gamma, alpha
        self.agent_bonus, self.demonstration_bonus = agent_bonus, demonstration_bonus
        self.tree = SumTree(buffer_size)
        self.largest_error = 1.0
        self._rng = np.random.default_rng([seed, 1])
        self.observations = _empty(observation_space, buffer_size)
        self.next_observations = _empty(observation_space, buffer_size)
        self.actions = np.zeros(buffer_size, dtype=np.int64)
        self.labels = np.zeros(buffer_size, dtype=np.int64)
        self.rewards = np.zeros(buffer_size)
        self.terminations = np.zeros(buffer_size, dtype=bool)
        self.ends = np.zeros(buffer_size, dtype=bool)
        """True where an episode ended, terminated or truncated."""

    def add_demonstration(self, episode: Episode) -> None:
        """Add a demonstration to the first rows.

        Raises:
            ValueError: The demonstration has more steps than rows are left for demonstrations.
        """
        rows = np.arange(self.pos, self.pos + len(episode))
        if self.full or self.pos + len(episode) > self.demonstrations:
            raise ValueError(f"a demonstration of {len(episode)} steps ends beyond row {self.demonstrations}")
        observations = stored_observations(episode.observations, self.observation_space)
        _write(self.observations, rows, tree_map(lambda values: values[:-1], observations))
        _write(self.next_observations, rows, tree_map(lambda values: values[1:], observations))
        self.actions[rows] = episode.executed_actions
        self.labels[rows] = episode.actions
        self.rewards[rows] = episode.rewards
        self.terminations[rows] = episode.terminations
        self.ends[rows] = episode.terminations | episode.truncations
        self.ends[rows[-1]] = True
        self.pos += len(episode)
        self.set_errors(rows, np.full(len(rows), self.largest_error))

    def add(
        self, obs: Observation, next_obs: Observation, action: Array, reward: Array, done: Array, infos: list[Info]
    ) -> None:
        """Add a step of the agent; it replaces the oldest step if the buffer is full.

        Args:
            obs: Observation before the step, with a first axis of length 1, like the other arguments.
            next_obs: Observation after the step.
            action: Index of the action.
            reward: Reward of the step.
            done: True if the episode ended.
            infos: Info with ``TimeLimit.truncated``, True if the episode ended by its time limit.
        """
        row = np.array([self.pos])
        _write(self.observations, row, obs)
        _write(self.next_observations, row, next_obs)
        self.actions[row] = self.labels[row] = np.reshape(action, 1)
        self.rewards[row] = reward
        self.ends[row] = done
        self.terminations[row] = bool(done[0]) and not infos[0].get("TimeLimit.truncated", False)
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, self.demonstrations
        self.set_errors(row, np.array([self.largest_error]))

    def set_errors(self, rows: Rows, errors: Numbers) -> None:
        """Set priorities to (|delta| + e)^alpha.

        Args:
            rows: Rows, shape (N,).
            errors: delta, shape (N,).
        """
        sizes = np.abs(errors)
        self.largest_error = max(self.largest_error, float(sizes.max()))
        bonus = np.where(rows < self.demonstrations, self.demonstration_bonus, self.agent_bonus)
        self.tree.set(rows, (sizes + bonus) ** self.alpha)

    def sample(self, batch_size: int, env: object = None, *, beta: float = 1.0) -> Batch:
        """Draw transitions, stratified by priority (Schaul et al. 2016, appendix B.2.1).

        Args:
            batch_size: N.
            env: Not used: the network standardizes observations.
            beta: Exponent of importance weights.
        """
        masses = (np.arange(batch_size) + self._rng.random(batch_size)) * (self.tree.total / batch_size)
        return self._get_samples(self.tree.find(masses), beta=beta)

    def weights(self, rows: Rows, beta: float) -> Numbers:
        """Return w = (N P)^-beta / max w, shape (N,)."""
        raw = (self.size() * self.tree[rows] / self.tree.total) ** -beta
        return np.asarray(raw / raw.max(), dtype=np.float64)

    def n_step_returns(self, rows: Rows) -> tuple[Numbers, Numbers, Rows]:
        """Return the discounted sums of up to n rewards from some rows on.

        They end early with the episode, and at the newest step.

        Args:
            rows: Rows, shape (N,).

        Returns:
            R = sum_k gamma^k r_k; the discount of the value after it, 0 after a termination; the last rows. Each of
            shape (N,).
        """
        last = rows.copy()
        returns, discounts = self.rewards[rows], np.full(len(rows), self.gamma)
        for _ in range(self.n_step - 1):
            following = np.where(last + 1 == self.buffer_size, self.demonstrations, last + 1)
            # The row that will be written next holds an old step, or none.
            goes_on = ~self.ends[last] & (following != self.pos)
            last = np.where(goes_on, following, last)
            returns = returns + np.where(goes_on, discounts * self.rewards[last], 0.0)
            discounts = np.where(goes_on, discounts * self.gamma, discounts)
        return returns, np.where(self.terminations[last], 0.0, discounts), last

    def _get_samples(self, batch_inds: Rows, env: object = None, beta: float = 1.0) -> Batch:  # type: ignore[override]
        rows = batch_inds
        returns, discounts, last = self.n_step_returns(rows)

        def taken(arrays: Observation, which: Rows) -> Any:
            return tree_map(lambda values: torch.as_tensor(values[which], device=self.device), arrays)

        def floats(values: Array) -> torch.Tensor:
            return torch.as_tensor(values.astype(np.float32), device=self.device)

        return Batch(
            rows,
            taken(self.observations, rows),
            taken(self.actions, rows),
            taken(self.labels, rows),
            floats(self.rewards[rows]),
            floats(np.where(self.terminations[rows], 0.0, self.gamma)),
            taken(self.next_observations, rows),
            floats(returns),
            floats(discounts),
            taken(self.next_observations, last),
            floats(rows < self.demonstrations),
            floats(self.weights(rows, beta)),
        )

    def extra_state(self) -> State:
        """Return what a checkpoint needs besides the arrays."""
        return {
            "priorities": self.tree[: self.size()],
            "largest_error": self.largest_error,
            "generator": self._rng.bit_generator.state,
        }

    def set_extra_state(self, state: State) -> None:
        """Set a state of :meth:`extra_state`."""
        priorities = np.asarray(state["priorities"], dtype=np.float64)
        self.tree.set(np.arange(len(priorities)), priorities)
        self.largest_error = float(state["largest_error"])
        self._rng.bit_generator.state = state["generator"]


def _empty(space: Space, rows: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _empty(part, rows) for name, part in space.spaces.items()}
    return np.zeros((rows, *(space.shape or ())), dtype=space.dtype)


def _write(arrays: Observation, rows: Rows, values: Any) -> None:
    if isinstance(arrays, dict):
        for name, part in arrays.items():
            _write(part, rows, values[name])
    else:
        arrays[rows] = values
