"""Record of an episode for explanations: what the agent saw, remembered and did at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agents.explain.functions import LEFT, Inputs
from agents.types import Action, Array, Env, Memory, Observation, Start
from demos.collection.recording import Policy, rollout
from demos.datasets.episode import SUCCESS, instruction_in
from demos.datasets.tree import tree_map

EXPORTED_LEFT = f"memory_{LEFT}"
"""Name of the same number in the memory of an exported policy."""


@dataclass(frozen=True)
class Trace:
    """Episode of T steps.

    Attributes:
        seed: Seed of the reset.
        observations: Observation before each action, T of them.
        memories: Memory of the agent before each action, T of them; None without one.
        actions: Actions, T of them.
        rewards: Reward of each step, T of them.
        success: True if the task is solved after the last step; None if the environment does not report it.
        success_step: First step of those until the end that are successes; None without success at the end.
        states: State of the simulator before each action; None if the environment has none.
        frames: Images of the environment before each action, shape (height, width, 3); empty if it renders none.
        instruction: Instruction in words; None without one.
    """

    seed: int
    observations: list[Observation]
    memories: list[Memory]
    actions: list[Action]
    rewards: list[float]
    success: bool | None
    success_step: int | None
    states: list[Array] | None
    frames: list[Array]
    instruction: str | None

    def __len__(self) -> int:
        """Return the number of steps, T."""
        return len(self.actions)

    def planned(self, step: int) -> int:
        """Return the step at which the action of a step was decided on: an earlier one within a chunk.

        Our policies that execute chunks have the actions left of the present chunk in their memory.
        """
        while step and _left(self.memories[step]) > 0:
            step -= 1
        return step

    def inputs(self, step: int, horizon: int, *, ahead: int = 0) -> Inputs:
        """Return what a policy sees at a step, with one row.

        Args:
            step: Number of the step.
            horizon: Observations H that the policy sees.
            ahead: See :class:`Inputs`.
        """
        numbers = range(step - horizon + 1, step + 1)
        seen = [self.observations[max(number, 0)] for number in numbers]
        return Inputs(
            _stacked(seen),
            torch.tensor([[number < 0 for number in numbers]]),
            self.memories[step] if _is_state(self.memories[step]) else None,
            ahead,
        )

    def deciding_inputs(self, step: int, horizon: int) -> Inputs:
        """Return what a policy saw when it decided on the action of a step; see :meth:`inputs`."""
        planned = self.planned(step)
        return self.inputs(planned, horizon, ahead=step - planned)


def _left(memory: Memory) -> int:
    names = (LEFT, EXPORTED_LEFT)
    name = next((name for name in names if isinstance(memory, dict) and name in memory), None)
    return 0 if name is None else int(np.asarray(memory[name]).reshape(-1)[0])


def _is_state(memory: Memory) -> bool:
    return isinstance(memory, dict) and all(isinstance(values, torch.Tensor) for values in memory.values())


def _stacked(observations: list[Observation]) -> Any:
    """Return observations as tensors of shape (1, H, ...), or a dict of such."""
    first = observations[0]
    if isinstance(first, dict):
        return {name: _stacked([each[name] for each in observations]) for name in first}
    return torch.from_numpy(np.stack([np.asarray(each) for each in observations]))[None]


class _Recorder:
    """Wrapper of an agent that records what it sees, remembers and does."""

    def __init__(self, agent: Policy) -> None:
        self._agent = agent
        self.observations: list[Observation] = []
        self.memories: list[Memory] = []

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Action, Memory]:
        self.observations.append(tree_map(lambda values: np.array(values, copy=True), observation))
        self.memories.append(state)
        predicted: tuple[Action, Memory] = self._agent.predict(
            observation, state=state, episode_start=episode_start, deterministic=deterministic
        )
        return predicted


def trace_episode(agent: Policy, env: Env, seed: int) -> Trace:
    """Run an agent for one episode, deterministically, and record it.

    Args:
        agent: Agent.
        env: Environment with a time limit.
        seed: Seed of the reset.

    Raises:
        ValueError: The seed is negative.
    """
    if seed < 0:
        raise ValueError(f"the seed is {seed}; expected at least 0")
    recorder = _Recorder(agent)
    inner: Any = env.unwrapped
    states: list[Array] = []
    frames: list[Array] = []
    actions: list[Action] = []
    rewards: list[float] = []
    flags: list[bool | None] = []
    instruction = None
    for step in rollout(env, recorder, seed):
        if step.action is None:
            instruction = instruction_in(step.info)
        else:
            actions.append(step.action)
            rewards.append(step.reward)
            flags.append(next((bool(step.info[name]) for name in SUCCESS if name in step.info), None))
        if hasattr(inner, "physical_state"):
            states.append(inner.physical_state())
        elif env.render_mode == "rgb_array":
            frames.append(np.asarray(env.render(), dtype=np.uint8))
    success = flags[-1]
    failed = [number for number, flag in enumerate(flags) if not flag]
    return Trace(
        seed=seed,
        observations=recorder.observations,
        memories=recorder.memories,
        actions=actions,
        rewards=rewards,
        success=success,
        success_step=(failed[-1] + 1 if failed else 0) if success else None,
        states=states[:-1] or None,
        frames=frames[:-1],
        instruction=instruction,
    )
