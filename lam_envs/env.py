"""The environment: one class for every task, robot, control and way to observe."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded

from lam_envs import state as states
from lam_envs.control import CONTROLS
from lam_envs.keywords import known_name, positive_number, unknown_keyword
from lam_envs.observation import Features, Layout, goal_space, robot_features
from lam_envs.reward import Reward
from lam_envs.robots import ROBOTS
from lam_envs.scene import Scene
from lam_envs.simulation import CAMERAS, CONTROL_HZ, Simulation
from lam_envs.tasks import TASKS, Reading, make_task
from lam_envs.viewer import RENDER_MODES, Viewer

OBSERVATIONS = ("state", "goal")
REWARDS = ("dense", "sparse")

NO_EPISODE: npt.NDArray[np.float64] = np.empty(0)
"""Stands for the first state of an episode before there is one."""

Observation = npt.NDArray[np.float32] | dict[str, npt.NDArray[np.float32]]


class ManipulationEnv(gym.Env[Any, Any]):
    """A robot arm at a table with something to do.

    Args:
        task: A name of ``lam_envs.registration.TASKS``.
        robot: A name of ``lam_envs.robots.ROBOTS``.
        control: What actions mean: ``ee`` or ``discrete`` (see ``lam_envs/control.py``).
        obs: What agents see: ``state``, one vector whose parts ``layout`` names, or ``goal``, the dict of
            Gymnasium-Robotics with ``compute_reward``.
        reward: ``dense``, in [-1, 1], 1 exactly on success and at most 0 before it; or ``sparse``, 0 on success
            and -1 before it.
        terminate_on_success: End the episode at success. By default episodes have a fixed length: a length that
            depends on success tells the reward to algorithms that should learn it (imitation's documentation,
            "variable horizon").
        render_mode: ``rgb_array``, ``depth_array`` (metres) or ``human``.
        camera: A name of ``lam_envs.simulation.CAMERAS``, for :meth:`render`.
        render_width: Pixels.
        render_height: Pixels.
        unknown: Takes misspelt keywords, to say which are known.

    Raises:
        TypeError: An unknown keyword.
        ValueError: An unknown name, or a size that is not a positive whole number.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (Gymnasium declares an instance variable)
        "render_modes": list(RENDER_MODES),
        "render_fps": CONTROL_HZ,
    }

    def __init__(
        self,
        *,
        task: str,
        robot: str = "panda",
        control: str = "ee",
        obs: str = "state",
        reward: str = "dense",
        terminate_on_success: bool = False,
        render_mode: str | None = None,
        camera: str = "front",
        render_width: int = 480,
        render_height: int = 480,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(unknown_keyword(next(iter(unknown)), ManipulationEnv.__init__))
        self._task = make_task(known_name("task", task, TASKS))
        self._model = ROBOTS[known_name("robot", robot, ROBOTS)]
        self._control = CONTROLS[known_name("control", control, CONTROLS)](self._model.max_width)
        self._goal_observations = known_name("obs", obs, OBSERVATIONS) == "goal"
        self._reward = Reward(self._task, dense=known_name("reward", reward, REWARDS) == "dense")
        if not isinstance(terminate_on_success, bool):
            raise ValueError(f"terminate_on_success is {terminate_on_success!r}; expected True or False")
        self._terminates = terminate_on_success
        self._looks: dict[str, Any] = {
            "camera": known_name("camera", camera, CAMERAS),
            "width": positive_number("render_width", render_width),
            "height": positive_number("render_height", render_height),
        }
        if render_mode is not None:
            known_name("render_mode", render_mode, RENDER_MODES)
        self.render_mode = render_mode
        self._label = states.label(task, robot, control)

        full = Layout((*robot_features(self._model.max_width), *self._task.features))
        self._full_layout = full
        self.layout = full.without_goal() if self._goal_observations else full
        """Maps each feature's name to its slice, unit and scale in the observed vector."""
        self.action_space = self._control.space
        if self._goal_observations:
            self.observation_space = goal_space(self.layout, self._task.goal_low, self._task.goal_high)
            # An instance attribute: Stable-Baselines3 takes any environment that has the name for a goal one.
            self.compute_reward = self._reward.compute_reward
        else:
            self.observation_space = self.layout.space

        # Clients are made on first use, in the process that uses them.
        self._scene: Scene | None = None
        self._viewer: Viewer | None = None
        self._desired = np.zeros(len(self._task.goal_low), dtype=np.float32)
        self._achieved = self._desired
        self._values: list[float] = []
        self._tool = (0.0, 0.0, 0.0)
        self._base = NO_EPISODE
        self._actions: list[list[float]] = []

    # Gymnasium's interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode that depends on the seed alone.

        Args:
            seed: Seeds the draws of this and the following episodes.
            options: Not used.

        Returns:
            The first observation, and an info with the keys that every step's info has.
        """
        super().reset(seed=seed)
        draw = self._task.sample(self.np_random)
        state = self._physics().initial_state(draw)
        self._load(np.concatenate([state, np.array(draw.desired, dtype=np.float32)]))
        return self._begun()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Does one action, 1/20 s of simulated time.

        Args:
            action: An element of ``action_space``; displacements out of range are clipped.

        Raises:
            ResetNeeded: There was no reset yet.
            ValueError: The action is not finite, or has a wrong shape. The episode has not advanced then.
        """
        scene = self._running()
        target, numbers = self._control.command(action, scene.target, self._tool)
        self._advance(scene, target, numbers)
        observation, reward, info = self._outcome()
        if self.render_mode == "human":
            self.render()
        return observation, reward, self._terminates and info["is_success"], False, info

    def render(self) -> Any:
        """Draws the scene.

        Returns:
            ``rgb_array``: uint8, shape (height, width, 3). ``depth_array``: float32 metres, shape (height,
            width). ``human``: None; the window shows it.

        Raises:
            ResetNeeded: There was no reset yet.
            RuntimeError: ``human`` without a display.
        """
        if self.render_mode is None:
            gym.logger.warn('render() draws nothing: make the environment with render_mode="rgb_array".')
            return None
        physics = self._running()
        if self._viewer is None:
            self._viewer = Viewer(self._model, self._task, mode=self.render_mode, **self._looks)
        return self._viewer.show(physics, self._desired)

    def close(self) -> None:
        """Frees the simulation. Closing twice is fine; a reset opens it again."""
        for opened in (self._scene, self._viewer):
            if opened is not None:
                opened.close()
        self._scene = self._viewer = None
        self._base = NO_EPISODE

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes along: not the client, which is no copy's, but the state of the episode."""
        parts = dict(self.__dict__)
        parts["_scene"] = parts["_viewer"] = None
        parts["_base"] = None if self._base is NO_EPISODE else self.get_state()
        return parts

    def __setstate__(self, parts: dict[str, Any]) -> None:
        """Makes a copy that continues the episode in a client of its own."""
        state = parts["_base"]
        self.__dict__.update({**parts, "_base": NO_EPISODE})
        if state is not None:
            self.set_state(state)

    # What experts, datasets and planners use

    @property
    def task_name(self) -> str:
        """The task's name in ``lam_envs.registration.TASKS``."""
        return self._task.name

    @property
    def simulation(self) -> Simulation:
        """The physics, for measurements; to change it breaks the promise of equal episodes."""
        return self._physics().simulation

    @property
    def control(self) -> Any:
        """The control: turns actions into tool commands and, by its ``inverse``, back."""
        return self._control

    @property
    def max_width(self) -> float:
        """Widest opening of the gripper, metres."""
        return self._model.max_width

    def features(self, observation: Observation | None = None) -> Features:
        """Names the parts of an observation, in physical units.

        Args:
            observation: One observation of ``observation_space``; by default the present scene, not clipped.

        Returns:
            Every feature of the task, the goal's included, float64 vectors.

        Raises:
            ValueError: The observation has a wrong shape.
            ResetNeeded: No observation was given and there was no reset yet.
        """
        if observation is None:
            self._running()
            return self._full_layout.split(np.array(self._values))
        if isinstance(observation, dict):
            features = self.layout.decode(observation["observation"])
            return {**features, **self._task.goal_features(features, observation["desired_goal"])}
        return self.layout.decode(observation)

    def get_state(self) -> npt.NDArray[np.float64]:
        """Returns everything that decides how the episode goes on, exactly.

        Bullet's contact caches cannot be written, so the vector holds the state at the beginning of the episode
        (:meth:`physical_state`, of fixed length) and the actions since.

        Returns:
            Shape (header and physical size + steps * numbers of an action,).

        Raises:
            ResetNeeded: There was no reset yet.
        """
        self._running()
        return states.pack(self._label, self._base, self._actions)

    def physical_state(self) -> npt.NDArray[np.float64]:
        """Returns positions, velocities, targets and the goal, of fixed length, without the past.

        ``set_state`` takes it too, at once and without replaying; what follows then is reproducible, and equal
        to the first course but for the contact forces that a new start has to find again.

        Raises:
            ResetNeeded: There was no reset yet.
        """
        scene = self._running()
        # What was written and not yet stepped from is returned as it was: Bullet rounds quaternions it is given.
        physical = np.concatenate([scene.state(), self._desired]) if self._actions else self._base
        return states.pack(self._label, physical, [])

    def set_state(self, state: npt.ArrayLike) -> tuple[Observation, dict[str, Any]]:
        """Continues from a state of :meth:`get_state` (exactly) or :meth:`physical_state`.

        Time limits are kept by wrappers and are not part of it.

        Returns:
            The observation and info of that state.

        Raises:
            ValueError: The vector is not finite, is of another task, robot or control, or has a wrong length.
                Nothing has changed then.
        """
        scene = self._physics()
        base, actions = self._checked_state(scene, state)
        self._load(base)
        for action in actions:
            self._advance(scene, *self._control.command(action, scene.target, self._tool))
        return self._begun()

    # Inside

    def _checked_state(self, scene: Scene, vector: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], list[Any]]:
        """Takes a state apart and refuses it before anything changes: physical state, and actions to replay."""
        size = scene.state_size + self._desired.size
        physical, recorded = states.unpack(self._label, size, self._control.action_size, vector)
        actions: list[Any] = [row if row.size > 1 else row[0] for row in recorded]
        scene.check(physical[: scene.state_size])
        for action in actions:
            self._control.command(action, scene.target, self._tool)
        return physical, actions

    def _begun(self) -> tuple[Observation, dict[str, Any]]:
        """Observation and info of an episode that was just put to its place."""
        if self.render_mode == "human":
            self.render()
        observation, _, info = self._outcome()
        return observation, info

    def _physics(self) -> Scene:
        """The scene, made anew when this is its first use or the process was forked."""
        if self._scene is None or not self._scene.simulation.belongs_to_this_process:
            self._scene = Scene(self._model, self._task)
            self._viewer = None
            self._base = NO_EPISODE
        return self._scene

    def _running(self) -> Scene:
        scene = self._physics()
        if self._base is NO_EPISODE:
            raise ResetNeeded("call reset() before step(), render() or a state: there is no episode yet")
        return scene

    def _load(self, base: npt.NDArray[np.float64]) -> None:
        scene = self._physics()
        size = scene.state_size
        scene.load(base[:size])
        self._base = base
        self._desired = base[size:].astype(np.float32)
        self._actions = []
        self._read(scene)

    def _advance(self, scene: Scene, target: Any, numbers: list[float]) -> None:
        scene.target = target
        scene.robot.move(target.position, target.width)
        scene.simulation.step()
        self._actions.append(numbers)
        self._read(scene)

    def _read(self, scene: Scene) -> None:
        tool = scene.robot.tool_state()
        gripper = scene.robot.gripper_state()
        reading: Reading = self._task.read(scene.simulation, scene.robot, tool, self._desired)
        self._tool = tool.position
        (x, y, z), (tx, ty, tz) = tool.position, scene.target.position
        self._values = [
            *tool.position,
            *tool.velocity,
            tx - x,
            ty - y,
            tz - z,
            gripper.width,
            scene.target.width,
            gripper.velocity,
            *reading.values,
        ]
        self._achieved = np.array(reading.achieved, dtype=np.float32)
        if not math.isfinite(sum(self._values)):
            # Such numbers stay in Bullet's caches: only a new client is free of them.
            self.close()
            raise RuntimeError("the simulation diverged to numbers that are not finite; reset() starts afresh")

    def _outcome(self) -> tuple[Observation, float, dict[str, Any]]:
        """Observation, reward and info of the present scene."""
        flags, reward = self._reward.judge(self._achieved, self._desired)
        info = {name: bool(flag) for name, flag in flags.items()}
        if not self._goal_observations:
            return self.layout.encode(self._values), float(reward), info
        observation = {
            "observation": self.layout.encode(self._values[: self.layout.size]),
            "achieved_goal": self._achieved.copy(),
            "desired_goal": self._desired.copy(),
        }
        return observation, float(reward), info
