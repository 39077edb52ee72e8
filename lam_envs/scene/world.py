"""One episode after another in a scene: where it starts, how actions advance it, and the state that continues it.

Knows nothing of observations, rewards or pictures: see ``env.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded

from lam_envs.control import Control
from lam_envs.observation import Layout
from lam_envs.randomization import VARIATION_SIZE, PhysicsScale, Randomization, RandomizationSample, draw
from lam_envs.robots import RobotModel
from lam_envs.scene import state as states
from lam_envs.scene.reset_options import Change, check_goal
from lam_envs.scene.scene import Scene
from lam_envs.tasks import InitialState, Task, TaskObservation
from lam_envs.tasks.checks import check_declarations, check_goal_features

NO_EPISODE: npt.NDArray[np.float64] = np.empty(0)
"""Stands for the first state of an episode before there is one."""


class World:
    """The physical side of an environment.

    Args:
        task: What is to be done.
        model: Which robot does it.
        control: What actions mean.
        randomization: What varies from episode to episode; None where nothing does.
    """

    def __init__(self, task: Task, model: RobotModel, control: Control, randomization: Randomization | None) -> None:
        check_declarations(task)
        self.task = task
        self.model = model
        self.control = control
        self.randomization = randomization
        self.layout = Layout((*control.features, *task.features))
        """Names every feature of :attr:`values`."""
        self._label = states.label(task.name, model.name, control.name, repr(randomization))
        # The client is made on first use, in the process that uses it.
        self._scene: Scene | None = None
        self.variation = RandomizationSample()
        """What the episode drew."""
        self.desired = np.zeros(len(task.goal_low), dtype=np.float32)
        """The desired goal."""
        self.achieved = self.desired
        """The achieved goal."""
        self.values: list[float] = []
        """Physical values of the layout's features."""
        self._base = NO_EPISODE
        self._pending: list[list[float]] = []
        self._actions: list[list[float]] = []
        self._first_step = 0
        self._is_checked = False

    # Episodes

    def begin(self, rng: np.random.Generator, changes: Sequence[Change] = ()) -> None:
        """Starts an episode that depends on the generator and the changes alone.

        Args:
            rng: Generator of the initial state. It draws the same numbers with and without changes.
            changes: Changes to the drawn initial state; see ``reset_options.py``.
        """
        variation = RandomizationSample() if self.randomization is None else draw(self.randomization, rng)
        start = self.task.sample(rng, variation.object_size)
        self._check_draw(start)
        for change in changes:
            start = change(start)
        physical = self.scene(self.physique(variation)).initial_state(start)
        self._load(self._joined(physical, np.array(start.desired, np.float32), variation, 0, []))

    def advance(self, action: Any) -> None:
        """Does one action, 1/20 s of simulated time.

        Args:
            action: An action of the control.

        Raises:
            ResetNeeded: There is no episode.
            ValueError: The action is not finite, or has a wrong shape or type. Nothing has changed then.
            RuntimeError: The simulation diverged; the next episode has a new one.
        """
        scene = self.running()
        numbers = self.control.checked(action)
        self._actions.append(numbers)
        self._pending.append(numbers)
        # Until the first action arrives the robot keeps to what it was told.
        if len(self._pending) > self.variation.action_delay:
            numbers = self._pending.pop(0)
            scene.target = self.control.command(numbers, scene.target, scene.tool, scene.robot)
        scene.advance()
        self._read(scene)

    def running(self) -> Scene:
        """The scene of an episode.

        Raises:
            ResetNeeded: There was no reset yet.
        """
        scene = self.scene()
        if self._base is NO_EPISODE:
            raise ResetNeeded("call reset() before step(), render() or a state: there is no episode yet")
        return scene

    def scene(self, physique: PhysicsScale | None = None) -> Scene:
        """The scene, made anew when this is its first use, the process was forked, or bodies have another physique.

        Args:
            physique: What bodies are built with; by default whatever they are.
        """
        scene = self._scene
        if scene is not None and scene.simulation.belongs_to_this_process:
            if physique is None or scene.simulation.physique == physique:
                return scene
            scene.close()
        self._base = NO_EPISODE
        self._scene = Scene(self.model, self.task, physique or PhysicsScale())
        return self._scene

    def physique(self, variation: RandomizationSample) -> PhysicsScale:
        """What bodies are built with in a variation: always the same where nothing can be moved."""
        return variation.physique if self.task.movable else PhysicsScale()

    @property
    def step_count(self) -> int:
        """Control steps since the episode began."""
        return self._first_step + len(self._actions)

    def close(self) -> None:
        """Frees the simulation. A reset makes it again."""
        if self._scene is not None:
            self._scene.close()
        self._scene = None
        self._base = NO_EPISODE

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes along: not the client, which is no copy's, but the state of the episode."""
        parts = dict(self.__dict__)
        parts["_scene"] = None
        parts["_base"] = None if self._base is NO_EPISODE else states.pack(self._label, self._base, self._actions)
        return parts

    def __setstate__(self, parts: dict[str, Any]) -> None:
        """Makes a copy that continues the episode in a client of its own."""
        state = parts["_base"]
        self.__dict__.update({**parts, "_base": NO_EPISODE})
        if state is not None:
            self.set_state(state)

    # What a task says

    def _check_draw(self, start: InitialState) -> None:
        """Refuses a start that does not fit what the task declares.

        Raises:
            ValueError: The goal has another size, is not finite or is outside of the goal space, or the objects are
                not those that can be moved.
        """
        sample = f"{type(self.task).__name__}.sample"
        self._check_numbers(f"the desired goal of {sample}", start.desired, len(self.task.goal_low), "goal_low")
        check_goal(f"the desired goal of {sample}", np.array(start.desired, np.float32).tolist(), self.task)
        if set(start.objects) != set(self.task.movable):
            raise ValueError(
                f"{sample} places {', '.join(start.objects) or 'nothing'}; "
                f"expected what movable names: {', '.join(self.task.movable) or 'nothing'}"
            )

    def _check_reading(self, reading: TaskObservation) -> None:
        """Refuses a first reading that does not fit what the task declares.

        Raises:
            ValueError: Values or achieved goal have another size or are not finite, or the goal is outside of the
                goal space.
        """
        read = f"{type(self.task).__name__}.read"
        size = sum(feature.size for feature in self.task.features)
        self._check_numbers(f"the values of {read}", reading.values, size, "features")
        self._check_numbers(f"the achieved goal of {read}", reading.achieved, len(self.task.goal_low), "goal_low")
        check_goal(f"the achieved goal of {read}", self.achieved.tolist(), self.task)

    @staticmethod
    def _check_numbers(what: str, numbers: Sequence[float], size: int, declared: str) -> None:
        if len(numbers) != size:
            raise ValueError(f"{what} has {len(numbers)} numbers; expected {size}, as {declared} declares")
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{what} is {list(numbers)}; expected finite numbers")

    # States

    def get_state(self) -> npt.NDArray[np.float64]:
        """See ``ManipulationEnv.get_state``."""
        self.running()
        return states.pack(self._label, self._base, self._actions)

    def physical_state(self) -> npt.NDArray[np.float64]:
        """See ``ManipulationEnv.physical_state``."""
        scene = self.running()
        # What was written and not yet stepped from is returned as it was: Bullet rounds quaternions it is given.
        physical = self._base
        if self._actions:
            physical = self._joined(scene.state(), self.desired, self.variation, self.step_count, self._pending)
        return states.pack(self._label, physical, [])

    def set_state(self, vector: npt.ArrayLike) -> None:
        """See ``ManipulationEnv.set_state``."""
        size = self.scene().state_size + self.desired.size + self._variation_size
        physical, recorded = states.unpack(self._label, size, self.control.action_size, vector)
        actions = [row if row.size > 1 else row[0] for row in recorded]
        for action in actions:
            self.control.checked(action)
        self.scene().check(physical[: self.scene().state_size])
        check_goal("the desired goal", physical[self.scene().state_size :][: self.desired.size].tolist(), self.task)
        self._parts(physical)
        self._load(physical)
        for action in actions:
            self.advance(action)

    @property
    def _variation_size(self) -> int:
        if self.randomization is None:
            return 0
        return VARIATION_SIZE + 2 + self._longest_delay * self.control.action_size

    @property
    def _longest_delay(self) -> int:
        return 0 if self.randomization is None else int(self.randomization.action_delay[1])

    def _joined(
        self,
        physical: npt.NDArray[np.float64],
        desired: npt.NDArray[np.float32],
        variation: RandomizationSample,
        step: int,
        pending: list[list[float]],
    ) -> npt.NDArray[np.float64]:
        """Scene, goal and, where something varies, the variation, the step and the actions under way."""
        if self.randomization is None:
            return np.concatenate([physical, desired])
        waiting = np.zeros(self._longest_delay * self.control.action_size)
        numbers = [number for row in pending for number in row]
        waiting[: len(numbers)] = numbers
        return np.concatenate([physical, desired, variation.numbers(), [step, len(pending)], waiting])

    def _parts(self, base: npt.NDArray[np.float64]) -> tuple[RandomizationSample, int, list[list[float]]]:
        """The inverse of :meth:`_joined` for what follows the goal.

        Raises:
            ValueError: Numbers that no episode can have.
        """
        if self.randomization is None:
            return RandomizationSample(), 0, []
        rest = base[self.scene().state_size + self.desired.size :]
        variation, rest = RandomizationSample.of(rest[:VARIATION_SIZE]), rest[VARIATION_SIZE:]
        step, count, rows = rest[0], rest[1], rest[2:].reshape(-1, self.control.action_size)
        if (
            step < 0
            or step != int(step)
            or variation.action_delay > self._longest_delay
            or count not in range(variation.action_delay + 1)
        ):
            raise ValueError("the state has a step, a delay or actions under way that this environment cannot have")
        pending = [self.control.checked(row if row.size > 1 else row[0]) for row in rows[: int(count)]]
        return variation, int(step), pending

    def _load(self, base: npt.NDArray[np.float64]) -> None:
        variation, step, pending = self._parts(base)
        scene = self.scene(self.physique(variation))
        size = scene.state_size
        scene.load(base[:size])
        self._base = base
        self.variation, self._first_step, self._pending = variation, step, pending
        self.desired = base[size : size + self.desired.size].astype(np.float32)
        self._actions = []
        self._read(scene)

    def _read(self, scene: Scene) -> None:
        scene.look()
        reading = self.task.read(scene.simulation, scene.robot, scene.tool, self.desired)
        self.values = [
            *self.control.values(scene.robot, scene.tool, scene.gripper, scene.target),
            *reading.values,
        ]
        self.achieved = np.array(reading.achieved, dtype=np.float32)
        if not self._is_checked:
            self._check_reading(reading)
            check_goal_features(self.task, self.layout, self.values, self.desired)
            self._is_checked = True
        if not math.isfinite(sum(self.values)):
            # Such numbers stay in Bullet's caches: only a new client is free of them.
            self.close()
            raise RuntimeError("the simulation diverged to numbers that are not finite; reset() starts afresh")
