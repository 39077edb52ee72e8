"""Episodes in a scene: initial states, control steps, and states that continue an episode.

Observations, rewards and images are made in ``env.py``.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded

from lam_envs.control import Control, ToolCommand
from lam_envs.observation import Action, Command, Features, Layout
from lam_envs.observation.instructions import Split
from lam_envs.randomization import SAMPLE_SIZE, PhysicsScale, Randomization, RandomizationSample, sample_randomization
from lam_envs.robots import RobotModel
from lam_envs.robots.state import ToolState
from lam_envs.scene import state as states
from lam_envs.scene.request import (
    Request,
    check_paraphrases,
    request_from_numbers,
    request_size,
    worded,
    wording_of,
)
from lam_envs.scene.reset_options import NO_OPTIONS, ResetOptions, check_desired_goal
from lam_envs.scene.scene import Scene
from lam_envs.scene.task_checks import check_initial_state, check_task_observation, is_reached, out_of_reach
from lam_envs.scene.tool_length import fingertip_values, to_controller
from lam_envs.tasks import Task, TaskObservation
from lam_envs.tasks.goals.checks import check_declarations, check_goal_features
from lam_envs.tasks.task import Flags

NO_EPISODE: npt.NDArray[np.float64] = np.empty(0)
"""Value of the base state (the physical state from which ``get_state`` counts actions) before the first episode."""


class World:
    """Physical part of an environment.

    Args:
        task: The task.
        model: The robot.
        control: The action space.
        randomization: Ranges of the randomization; None without randomization.
        paraphrases: Split of the instructions.
        instruct: True if observations have the instruction, which is then a part of the state.
    """

    def __init__(
        self,
        task: Task,
        model: RobotModel,
        control: Control,
        randomization: Randomization | None,
        paraphrases: Split = "train",
        *,
        instruct: bool = False,
    ) -> None:
        check_declarations(task)
        check_paraphrases(task, paraphrases)
        self.task = task
        self.model = model
        self.control = control
        self.randomization = randomization
        self._paraphrases: Split = paraphrases
        # Tasks with one command and without observed instructions keep the state that they always had.
        self._request_size = request_size(task) if instruct or task.command_high else 0
        self.request = Request()
        """Present command and instruction."""
        self.layout = Layout((*control.features, *task.features))
        """Features of :attr:`values`."""
        self._checksum = states.environment_checksum(
            task.name, model.name, control.name, repr(randomization), model.tool_length_offset
        )
        # The client is made at its first use, in the process that uses it.
        self._scene: Scene | None = None
        self.randomization_sample = RandomizationSample()
        """Randomization of the episode."""
        self.desired_goal = np.zeros(len(task.goal_low), dtype=np.float32)
        """The desired goal."""
        self.achieved_goal = self.desired_goal
        """The achieved goal."""
        self.values: list[float] = []
        """Physical values of all features of the layout, as the robot measures them."""
        self.exact_values = self.values
        """The same for the real fingertips: other ones if the model has a ``tool_length_offset``."""
        self._base = NO_EPISODE
        self._pending: list[list[float]] = []
        self._actions: list[list[float]] = []
        self._first_step = 0
        self._is_forked = False
        """True if there was an episode, and it belongs to the process that this one was forked from."""
        self._is_checked = False

    # Episodes

    def reset(self, rng: np.random.Generator, options: ResetOptions = NO_OPTIONS) -> None:
        """Start an episode that depends only on the generator and the options.

        Args:
            rng: Random number generator of the initial state.
            options: What to set instead of sampling it; see ``reset_options.py``.
        """
        sample = (
            RandomizationSample() if self.randomization is None else sample_randomization(self.randomization, rng)
        )
        sampled = self.task.sample_command(rng)
        command = sampled if options.command is None else options.command
        # The sampling may depend on the command, and an option changes only this episode: the following ones continue
        # after what the sampled command consumes.
        own_rng = rng if command == sampled else copy.deepcopy(rng)
        start = self.task.sample_initial_state(own_rng, sample.object_size, command)
        if own_rng is not rng:
            self.task.sample_initial_state(rng, sample.object_size, sampled)
        check_initial_state(self.task, start)
        for change in options.changes:
            start = change(start)
        scene = self.scene(self.physics_scale(sample), start.models)
        physical = scene.initial_state(start)
        try:
            scene.check_state(physical)
        except ValueError as error:
            raise ValueError(
                f"{type(self.task).__name__}.sample_initial_state returns a wrong state: {error}"
            ) from None
        desired = np.array(start.desired_goal, np.float32)
        wording = wording_of(np.concatenate([physical, desired]))
        request = worded(self.task, command, wording, self._paraphrases)
        if options.instruction is not None:
            request = request._replace(instruction=options.instruction)
        self._load(self._pack(physical, desired, sample, 0, [], request))
        self.request = request
        if not is_reached(self.scene().fingertips.position, start):
            self._base = NO_EPISODE
            raise ValueError(out_of_reach(self.task, self.model.name, self.scene().fingertips.position, start))

    def step(self, action: object) -> None:
        """Execute an action, 1/20 s of simulated time.

        Args:
            action: Element of the action space.

        Raises:
            ResetNeeded: ``reset`` has not been called.
            ValueError: The action is not finite, or has a wrong shape or type. The world has not changed then.
            RuntimeError: The simulation diverged. The next episode has a new simulation.
        """
        scene = self.active_scene()
        numbers = self.control.validate(action)
        self._actions.append(numbers)
        self._pending.append(numbers)
        # Until the first action arrives, the robot keeps its target.
        if len(self._pending) > self.randomization_sample.action_delay:
            numbers = self._pending.pop(0)
            scene.target = self.control.compute_target(numbers, scene.target, scene.tool, scene.robot)
        scene.step()
        self._read(scene)
        if self.task.is_due(self.achieved_goal, self.desired_goal):
            self._set_next_request(scene)

    def _set_next_request(self, scene: Scene) -> None:
        """Set the command, goal and instruction that follow in the episode. They follow from the state."""
        physical = scene.state()
        rng = np.random.default_rng(wording_of(np.concatenate([physical, self.desired_goal])))
        command, desired = self.task.next_request(scene.simulation, rng, self.desired_goal, self.request.command)
        self.desired_goal = np.array(desired, np.float32)
        wording = wording_of(np.concatenate([physical, self.desired_goal]))
        self.request = worded(self.task, command, wording, self._paraphrases)
        self._read(scene)

    def action_for(self, command: ToolCommand, features: Features) -> Action:
        """See ``ManipulationEnv.action_for``."""
        if self.model.tool_length_offset:
            command, features = to_controller(command, features, self.model.tool_length_offset)
        return self.control.compute_action(command, features, self.scene().robot)

    def active_scene(self) -> Scene:
        """Return the scene of the current episode.

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        scene = self.scene()
        if self._base is NO_EPISODE:
            if self._is_forked:
                raise ResetNeeded(
                    "this process was forked, and the episode belongs to the process that it was forked from: call "
                    "reset() first"
                )
            raise ResetNeeded("there is no episode yet: call reset() first")
        return scene

    def scene(self, physics_scale: PhysicsScale | None = None, models: tuple[int, ...] | None = None) -> Scene:
        """Return the scene. Make a new one at first use, after a fork, and where the old one cannot load a state.

        Args:
            physics_scale: Physics scale of the bodies; by default that of the current scene.
            models: Numbers that select the models of objects; by default those of the current scene.
        """
        scene = self._scene
        if scene is not None and scene.simulation.belongs_to_this_process:
            if scene.can_load(physics_scale, models):
                return scene
            scene.simulation.release()
        elif scene is not None and self._base is not NO_EPISODE:
            self._is_forked = True
        self._base = NO_EPISODE
        self._scene = Scene(self.model, self.task, physics_scale or PhysicsScale(), models=models)
        return self._scene

    def physics_scale(self, sample: RandomizationSample) -> PhysicsScale:
        """Return the physics scale of a sample; always 1 in tasks without movable and articulated objects."""
        has_objects = self.task.movable_objects or self.task.articulated_objects
        return sample.physics_scale if has_objects else PhysicsScale()

    def evaluate(self, command: Command, desired: npt.NDArray[np.float32]) -> dict[str, Flags]:
        """Return success and its conditions for a command and its goal in the present state."""
        scene, task = self.active_scene(), self.task
        seen = task.observe(scene.simulation, scene.robot, scene.fingertips, desired, command)
        achieved = np.array(seen.achieved_goal, np.float32)
        return task.evaluate(achieved, desired)

    @property
    def step_count(self) -> int:
        """Number of control steps since the beginning of the episode."""
        return self._first_step + len(self._actions)

    def close(self) -> None:
        """Free the simulation. ``reset`` makes a new one."""
        if self._scene is not None:
            self._scene.close()
        self._scene = None
        self._base = NO_EPISODE
        self._is_forked = False

    def __getstate__(self) -> dict[str, object]:
        """Return the attributes of a copy: the state of the episode without the client."""
        parts = dict(self.__dict__)
        parts["_scene"] = None
        parts["_base"] = None if self._base is NO_EPISODE else states.pack(self._checksum, self._base, self._actions)
        return parts

    def __setstate__(self, parts: dict[str, Any]) -> None:
        """Restore a copy, which continues the episode in its own client."""
        state = parts["_base"]
        self.__dict__.update({**parts, "_base": NO_EPISODE})
        if state is not None:
            self.set_state(state)
            self.request = parts["request"]

    # States

    def get_state(self) -> npt.NDArray[np.float64]:
        """See ``ManipulationEnv.get_state``."""
        self.active_scene()
        return states.pack(self._checksum, self._base, self._actions)

    def physical_state(self) -> npt.NDArray[np.float64]:
        """See ``ManipulationEnv.physical_state``."""
        scene = self.active_scene()
        # Before the first step the base state is returned unchanged: Bullet rounds quaternions that are set.
        physical = self._base
        if self._actions:
            physical = self._pack(
                scene.state(),
                self.desired_goal,
                self.randomization_sample,
                self.step_count,
                self._pending,
                self.request,
            )
        return states.pack(self._checksum, physical, [])

    def set_state(self, vector: npt.ArrayLike) -> None:
        """See ``ManipulationEnv.set_state``."""
        physical, recorded = states.unpack(self._checksum, self._state_size, self.control.action_size, vector)
        actions = [row if row.size > 1 else row[0] for row in recorded]
        for action in actions:
            self.control.validate(action)
        self.scene().check_state(physical[: self.scene().state_size])
        desired = physical[self.scene().state_size :][: self.desired_goal.size].tolist()
        check_desired_goal("the desired goal", desired, self.task)
        self._unpack(physical)
        self._load(physical)
        for action in actions:
            self.step(action)

    def instruction_of(self, vector: npt.ArrayLike) -> str:
        """See ``ManipulationEnv.instruction_of``."""
        physical, _ = states.unpack(self._checksum, self._state_size, self.control.action_size, vector)
        return self._unpack(physical)[-1].instruction

    @property
    def _state_size(self) -> int:
        return self.scene().state_size + self.desired_goal.size + self._sample_size + self._request_size

    @property
    def _sample_size(self) -> int:
        if self.randomization is None:
            return 0
        return SAMPLE_SIZE + 2 + self._longest_delay * self.control.action_size

    @property
    def _longest_delay(self) -> int:
        return 0 if self.randomization is None else int(self.randomization.action_delay[1])

    def _pack(
        self,
        physical: npt.NDArray[np.float64],
        desired: npt.NDArray[np.float32],
        sample: RandomizationSample,
        step: int,
        pending: list[list[float]],
        request: Request,
    ) -> npt.NDArray[np.float64]:
        """Join scene, goal, with randomization the sample, the step and the delayed actions, and the request."""
        asked = request.to_numbers() if self._request_size else []
        if self.randomization is None:
            return np.concatenate([physical, desired, asked])
        delayed = np.zeros(self._longest_delay * self.control.action_size)
        numbers = [number for row in pending for number in row]
        delayed[: len(numbers)] = numbers
        return np.concatenate([physical, desired, sample.to_numbers(), [step, len(pending)], delayed, asked])

    def _unpack(self, base: npt.NDArray[np.float64]) -> tuple[RandomizationSample, int, list[list[float]], Request]:
        """Invert :meth:`_pack` for the part after the goal.

        Raises:
            ValueError: No episode can have these numbers.
        """
        if self._request_size:
            request = request_from_numbers(base[-self._request_size :].tolist(), self.task)
        else:
            start = base[: self.scene().state_size + self.desired_goal.size]
            request = worded(self.task, (), wording_of(start), self._paraphrases)
        if self.randomization is None:
            return RandomizationSample(), 0, [], request
        rest = base[self.scene().state_size + self.desired_goal.size : base.size - self._request_size]
        sample, rest = RandomizationSample.from_numbers(rest[:SAMPLE_SIZE]), rest[SAMPLE_SIZE:]
        step, count, rows = rest[0], rest[1], rest[2:].reshape(-1, self.control.action_size)
        if (
            step < 0
            or step != int(step)
            or sample.action_delay > self._longest_delay
            or count not in range(sample.action_delay + 1)
        ):
            raise ValueError("the state has a step, a delay or delayed actions that this environment cannot have")
        pending = [self.control.validate(row if row.size > 1 else row[0]) for row in rows[: int(count)]]
        return sample, int(step), pending, request

    def _load(self, base: npt.NDArray[np.float64]) -> None:
        sample, step, pending, self.request = self._unpack(base)
        scene = self.scene(self.physics_scale(sample), self.scene().models_of(base))
        size = scene.state_size
        scene.set_state(base[:size])
        self._base = base
        self._is_forked = False
        self.randomization_sample, self._first_step, self._pending = sample, step, pending
        self.desired_goal = base[size : size + self.desired_goal.size].astype(np.float32)
        self._actions = []
        self._read(scene)

    def _observe(self, scene: Scene, tool: ToolState) -> TaskObservation:
        return self.task.observe(scene.simulation, scene.robot, tool, self.desired_goal, self.request.command)

    def _read(self, scene: Scene) -> None:
        scene.read_robot()
        observed = self._observe(scene, scene.fingertips)
        robot_values = self.control.values(scene.robot, scene.tool, scene.gripper, scene.target)
        if self.model.tool_length_offset:
            self.exact_values = [*fingertip_values(self.control, scene), *observed.values]
            self.values = [*robot_values, *self._observe(scene, scene.tool).values]
        else:
            self.exact_values = self.values = [*robot_values, *observed.values]
        self.achieved_goal = np.array(observed.achieved_goal, dtype=np.float32)
        if not self._is_checked:
            check_task_observation(self.task, observed, self.achieved_goal)
            check_goal_features(self.task, self.layout, self.values, self.desired_goal)
            self._is_checked = True
        if not math.isfinite(sum(self.values)):
            # Such numbers stay in Bullet's caches: only a new client helps.
            self.close()
            raise RuntimeError(
                "the simulation diverged to numbers that are not finite; call reset() for a new simulation"
            )
