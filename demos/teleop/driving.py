"""Driving of one episode in real time: who acts, when the next step is due, and when the robot stops."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import gymnasium as gym
import numpy as np

from demos.collection.demonstrators import demonstrate
from demos.collection.human_demonstrator import DrivenAction, TeleopDemonstrator
from demos.collection.recording import Policy, Step, record
from demos.datasets.episode import INTERVENTION, QUALITY, STRATEGY, SUCCESS, Episode
from demos.runtime.types import Action, Env, Info, Memory, Observation
from demos.teleop.asking import Asking, FailurePredictor
from demos.teleop.inputs import Inputs
from demos.teleop.messages import Command
from demos.teleop.motion import Steering

SUCCESS_STEPS = 10
"""Steps of lasting success, half a second, after which an episode ends by itself."""
REWIND_STEPS = 20
"""Steps that a rewind takes back, one second."""
POLL_SECONDS = 0.01
"""Time between two checks of a robot that stands still."""


class Closed(Exception):  # noqa: N818  (a signal, no error)
    """End of the program."""


class _Finished(Exception):  # noqa: N818  (a signal, no error)
    """End of the episode."""


class _Abandoned(Exception):  # noqa: N818  (a signal, no error)
    """The person discards the episode."""


class _Rewound(Exception):  # noqa: N818  (a signal, no error)
    """The person takes back the last steps."""


@dataclass
class Attempt:
    """Attempt at one scene.

    Attributes:
        seed: Seed of the scene.
        driven: Actions so far, and who chose them.
        asked: Numbers of the steps at which the policy asked the person.
        episode: Recorded episode; None while the attempt has not ended.
    """

    seed: int
    driven: list[DrivenAction] = field(default_factory=list)
    episode: Episode | None = None
    asked: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, episode: Episode, asked: Sequence[int] = ()) -> Attempt:
        """Return the finished attempt of an episode that a person drove."""
        if episode.seed is None:
            raise ValueError("the episode has no seed")
        by_person = episode.infos[INTERVENTION][1:]
        driven = [DrivenAction(action, bool(own)) for action, own in zip(episode.actions, by_person, strict=True)]
        return cls(episode.seed, driven, episode, list(asked))

    def rewound(self) -> Attempt:
        """Return the attempt without its last second."""
        driven = self.driven[: max(len(self.driven) - REWIND_STEPS, 0)]
        return Attempt(self.seed, driven, asked=[step for step in self.asked if step < len(driven)])


class Watcher(Protocol):
    """Program around the driving."""

    def show(self) -> None:
        """Show the present scene."""

    def notice(self, text: str, *, is_error: bool = False) -> None:
        """Show a text."""

    def handle(self, command: Command) -> bool:
        """Handle a command that does not concern the driving; return False if it is not possible now."""


class Driving:
    """Driving of episodes by a person, and by a policy that the person takes over from.

    Args:
        env: Environment with a time limit.
        inputs: Inputs of the person.
        steering: Conversion of motions to actions.
        watcher: Program around the driving.
        policy: Policy that acts until the person takes over; None if the person drives alone.
        period: Wall time of a step, seconds.
        predict: Failure predictor. The policy asks for help above its threshold; None for one that never asks.
        clock: Function that returns the time, seconds.

    Attributes:
        by_person: True while the person drives.
        asking: Requests of the policy.
        hold: Reason why the robot stands still: ``motion`` (it waits for the first motion), ``paused``, ``silent``
            (the page sends nothing), or ``asks`` (the policy asks the person to take over); None while it moves.
        attempt: Present attempt.
        info: Last info of the environment.
        rate: Steps per second, from a moving average of the time between steps; 0 while the robot stands still.
        work: Time of the last step with its images, seconds.
    """

    def __init__(
        self,
        env: Env,
        inputs: Inputs,
        steering: Steering,
        watcher: Watcher,
        policy: Policy | None,
        period: float,
        predict: FailurePredictor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._env, self._inputs, self._steering, self._watcher = env, inputs, steering, watcher
        self._policy, self._period, self._clock = policy, period, clock
        self._demonstrator = TeleopDemonstrator(env, self._drive)
        self.by_person = policy is None
        self.asking = Asking(predict)
        self.hold: str | None = None
        self.attempt = Attempt(-1)
        self.info: Info = {}
        self.rate = self.work = 0.0
        self._again: deque[DrivenAction] = deque()
        self._reset_live()

    def _reset_live(self) -> None:
        self._live = self._paused = False
        self._waits = True
        self._streak = 0
        self._next = 0.0
        self._stepped: float | None = None
        self._begun: float | None = None
        self._interval = 0.0
        self.rate = 0.0
        self.hold = "motion"
        self._forget_memory()

    def _forget_memory(self) -> None:
        self.asking.restart()
        self._memory: Memory = None
        self._starts = True
        # A key that is still pressed does not take the robot back at once.
        self._may_take = False

    def drive(self, attempt: Attempt) -> Attempt:
        """Continue an attempt until it ends; without an episode, the person discarded it.

        Raises:
            Closed: The program ends.
        """
        while True:
            self.attempt = Attempt(attempt.seed, asked=attempt.asked)
            self._again = deque(attempt.driven)
            self._reset_live()
            self._waits = self._policy is None or bool(attempt.driven)
            self.by_person = self._policy is None
            notes: Info = {QUALITY: np.int8(0), STRATEGY: np.int8(0)}
            steps = demonstrate(self._env, self._demonstrator, attempt.seed, notes)
            try:
                episode = record(self._env, self._watched(steps), attempt.seed)
            except _Abandoned:
                return self.attempt
            except _Rewound:
                attempt = self.attempt.rewound()
                continue
            # A person may stop at any step, which counts as a truncation.
            truncations = episode.truncations.copy()
            truncations[-1] = not episode.terminations[-1]
            return replace(self.attempt, episode=replace(episode, truncations=truncations))

    def _watched(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Yield steps until the episode is finished; remember the last info."""
        try:
            for step in steps:
                self.info = step.info
                flag = next((step.info[name] for name in SUCCESS if name in step.info), False)
                self._streak = self._streak + 1 if bool(np.all(flag)) and step.action is not None else 0
                yield step
        except _Finished:
            return

    def _drive(self, observation: Observation) -> DrivenAction:
        """Wait for the next step; return its action."""
        if self._again:
            driven = self._again.popleft()
        else:
            if not self._live:
                self._live = True
                self._steering.reset()
                self._next = self._clock()
                if self.attempt.driven:
                    self.by_person = self.attempt.driven[-1].by_person
            self._watcher.show()
            self.asking.step()
            self._wait(observation)
            self._begun = self._clock()
            driven = self._choose(observation)
        self.attempt.driven.append(driven)
        return driven

    def _wait(self, observation: Observation) -> None:
        """Wait until the next step is due, and the robot may move; carry out commands meanwhile."""
        if self._streak >= SUCCESS_STEPS:
            raise _Finished
        if self._begun is not None:
            self.work = self._clock() - self._begun
        while True:
            # Also where steps are late, and there is no time to wait for commands.
            while (command := self._inputs.command(0.0)) is not None:
                self._handle(command)
            now = self._clock()
            due = self._next - now
            reason = self._reason(observation) if due <= 0.0 else self.hold
            if due <= 0.0 and reason is None:
                break
            if reason != self.hold:
                self.hold = reason
                self.rate, self._stepped = 0.0, None
                self._watcher.show()
            command = self._inputs.command(due if due > 0.0 else POLL_SECONDS)
            if command is not None:
                self._handle(command)
        self.hold = None
        if self._stepped is not None:
            # The mean of rates would exceed the rate of steps that are alternately late and early.
            self._interval += (now - self._stepped - self._interval) * (0.1 if self.rate else 1.0)
            self.rate = 1.0 / max(self._interval, 1e-3)
        self._stepped = now
        # A step after a late one comes earlier, to keep the rate; at most one late step is compensated.
        self._next = max(self._next + self._period, now)

    def _reason(self, observation: Observation) -> str | None:
        """Return the reason why the robot may not move; None if it may."""
        if self._paused:
            return "paused"
        if not self._inputs.is_live:
            return "silent"
        if self._inputs.motion.is_still:
            self._may_take = True
        elif self._may_take or self.by_person:
            self._waits = False
            self._take()
        if self._waits:
            return "motion"
        return "asks" if not self.by_person and self._asks(observation) else None

    def _asks(self, observation: Observation) -> bool:
        """Return True if the policy asks the person to take over; note the step at which it does."""
        try:
            asks = self.asking.check(observation, self._memory)
        except Exception as error:  # A third party's policy may raise anything.
            self._watcher.notice(
                f"the failure predictor failed; you control the robot: {error!r}"[:300], is_error=True
            )
            self._take()
            return False
        step = len(self.attempt.driven)
        if asks and step not in self.attempt.asked:
            self.attempt.asked.append(step)
        return asks

    def _take(self) -> None:
        if not self.by_person:
            self.by_person = True
            self._steering.reset()

    def _handle(self, command: Command) -> None:
        name = command.name
        if name == "gripper":
            self._waits = False
            self._take()
            self._steering.gripper(command.value)
        elif name == "take":
            self._take()
        elif name == "give" and self._policy is not None:
            self.by_person = False
            self._forget_memory()
        elif name == "give":
            self._watcher.notice("there is no policy to give the robot to", is_error=True)
        elif name in ("pause", "resume"):
            self._paused = name == "pause"
            if name == "resume":
                self.asking.dismiss()
            self._waits = self._waits and self._paused
        elif name == "disconnected":
            self._waits = True
        elif name == "finish" and self.attempt.driven:
            raise _Finished
        elif name == "finish":
            self._watcher.notice("the robot has not moved yet", is_error=True)
        elif name == "discard":
            raise _Abandoned
        elif name == "rewind" and self.attempt.driven:
            raise _Rewound
        elif name == "rewind":
            self._watcher.notice("this is the start of the episode", is_error=True)
        elif not self._watcher.handle(command):
            self._watcher.notice(f"{name} is not possible while you control the robot", is_error=True)
        self._watcher.show()

    def _choose(self, observation: Observation) -> DrivenAction:
        if self.by_person or self._policy is None:
            return DrivenAction(self._steering.action(self._inputs.motion), True)
        try:
            return DrivenAction(self._predicted(self._policy, observation), False)
        except Exception as error:  # A third party's policy may raise anything.
            self._watcher.notice(f"the policy failed; you control the robot: {error!r}"[:300], is_error=True)
            self._take()
            return DrivenAction(self._steering.action(self._inputs.motion), True)

    def _predicted(self, policy: Policy, observation: Observation) -> Action:
        action: Action
        starts = np.array([self._starts])
        action, self._memory = policy.predict(
            observation, state=self._memory, episode_start=starts, deterministic=True
        )
        self._starts = False
        space = self._env.action_space
        if isinstance(space, gym.spaces.Box):
            # Displacements out of range are clipped by the environment.
            action = np.asarray(action, dtype=space.dtype)
            is_valid = action.shape == space.shape and bool(np.isfinite(action).all())
        else:
            is_valid = space.contains(action)
        if not is_valid:
            raise ValueError(f"its action is {action!r}; expected an element of {space}")
        return action


def steps_by_person(driven: Sequence[DrivenAction]) -> int:
    """Return the number of steps whose action the person chose."""
    return sum(each.by_person for each in driven)
