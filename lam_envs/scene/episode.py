"""Properties of an environment that describe its present episode, for experts, datasets and measurements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Features, Instructions
from lam_envs.scene.request import check_command, find_command
from lam_envs.scene.world import World


class EpisodeProperties:
    """Properties of an environment that describe its present episode."""

    _world: World

    @property
    def task_name(self) -> str:
        """Name of the task in ``lam_envs.registration.TASKS``."""
        return self._world.task.name

    @property
    def instruction(self) -> str:
        """Instruction of the present episode.

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        self._world.active_scene()
        return self._world.request.instruction

    @property
    def command(self) -> Command:
        """Command of the present episode, which success refers to; ``()`` in tasks that always ask for the same.

        Privileged information for experts: an agent has to understand the instruction.

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        self._world.active_scene()
        return self._world.request.command

    @property
    def commands(self) -> list[Command]:
        """All commands of the task."""
        return self._world.task.commands()

    @property
    def feasible_commands(self) -> list[Command]:
        """Commands that can be carried out in the present state and are not fulfilled.

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        return self._world.task.feasible_commands(self._world.active_scene().simulation)

    def instructions_for(self, command: Command) -> Instructions:
        """Return the sentences that ask for a command.

        Args:
            command: One of :attr:`commands`.

        Raises:
            ValueError: The task has no such command.
        """
        task = self._world.task
        return task.instructions_for(check_command("the command", command, task))

    def find_command(self, instruction: str) -> Command | None:
        """Return the command whose sentences include an instruction; None if the task has no such sentence.

        Case, surrounding white space and ``.`` or ``!`` at the end are ignored.

        Args:
            instruction: Sentence.

        Raises:
            ValueError: The instruction is not a string.
        """
        task = self._world.task
        if not isinstance(instruction, str):
            known = task.instructions_for(task.commands()[0]).train[0]
            raise ValueError(
                f"the instruction is {instruction!r}; expected a string, such as {known!r}: pass one of "
                "instructions_for(command)"
            )
        return find_command(instruction, task)

    def can_evaluate(self, command: Command) -> bool:
        """Return True if :meth:`evaluate_command` can evaluate a command.

        For this, a task with commands defines ``goal_of``.

        Args:
            command: One of :attr:`commands`.

        Raises:
            ResetNeeded: ``reset`` has not been called.
            ValueError: The task has no such command.
        """
        return self._goal_of(check_command("the command", command, self._world.task)) is not None

    def evaluate_command(self, command: Command) -> dict[str, bool]:
        """Return ``is_success`` and its conditions for any command in the present state, which does not change.

        Privileged information, for measurements and for programs in which a person chooses the command.

        Args:
            command: One of :attr:`commands`.

        Raises:
            NotImplementedError: The task does not define ``goal_of``.
            ResetNeeded: ``reset`` has not been called.
            ValueError: The task has no such command.
        """
        task = self._world.task
        checked = check_command("the command", command, task)
        goal = self._goal_of(checked)
        if goal is None:
            raise NotImplementedError(
                f"task {task.name} cannot evaluate a command: define goal_of in {type(task).__name__}"
            )
        return {name: bool(flag) for name, flag in self._world.evaluate(checked, goal).items()}

    def _goal_of(self, command: Command) -> npt.NDArray[np.float32] | None:
        """Return the desired goal of a command in the present scene; None if the task does not define it."""
        scene = self._world.active_scene()
        if not command:
            return self._world.desired_goal
        goal = self._world.task.goal_of(scene.simulation, command)
        return None if goal is None else np.array(goal, np.float32)

    @property
    def chain(self) -> int:
        """Number of successive commands of an episode; 1 in most tasks."""
        return self._world.task.chain

    @property
    def tool_length_offset(self) -> float:
        """Length by which the fingers are longer than the controller and the observations assume, meters.

        Privileged information for experts: an agent does not know it.
        """
        return self._world.model.tool_length_offset

    @property
    def geometry(self) -> Features:
        """Shapes of the objects of the present episode, by name.

        They are ``<object>/surface``, points on its surface in its frame, meters, shape (n, 3), and
        ``<object>/normals``, the outward normals there. Empty in tasks whose objects are always the same.

        Privileged information for experts: an agent knows objects only from its observations.

        Raises:
            ResetNeeded: ``reset`` has not been called, and the objects differ from episode to episode.
        """
        if not self._world.task.model_ranges:
            return {}
        scene = self._world.active_scene()
        return self._world.task.geometry(scene.models, scene.simulation.physics_scale.size)

    @property
    def simulation(self) -> Simulation:
        """Physics simulation, for measurements. Do not change it: episodes would not be reproducible.

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        return self._world.active_scene().simulation

    @property
    def contact_force(self) -> float:
        """Largest contact force of the robot on a body in the last physics step, newtons.

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        return self._world.active_scene().robot.max_contact_force()

    @property
    def max_width(self) -> float:
        """Largest opening of the gripper, meters."""
        return self._world.control.max_width
