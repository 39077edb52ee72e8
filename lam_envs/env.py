"""The environment: one class for every task, robot, control and way to observe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from lam_envs.bullet.cameras import CAMERAS, CameraMatrices
from lam_envs.bullet.simulation import CONTROL_HZ, Renderer, Simulation
from lam_envs.control import CONTROLS, ToolCommand
from lam_envs.observation import (
    DEPTH_SUFFIX,
    ROBOT_KEY,
    Features,
    Layout,
    goal_space,
    pixels_space,
)
from lam_envs.randomization import Randomization, parse_randomization, sample_noise
from lam_envs.robots import ROBOTS, RobotModel
from lam_envs.scene import reset_options
from lam_envs.scene.viewer import RENDER_MODES, RENDERERS, Viewer, camera_matrices
from lam_envs.scene.world import World
from lam_envs.tasks import TASKS, Task, make_task
from lam_envs.tasks.reward import Reward
from lam_envs.validation import check_bool, known_name, known_names, one_of, positive_number, unknown_keyword

OBSERVATIONS = ("state", "goal", "pixels")
REWARDS = ("dense", "sparse")

Observation = npt.NDArray[np.float32] | dict[str, npt.NDArray[Any]]

to_info_flag: Callable[[Any], Any] = bool if gym.__version__.startswith("0.") else np.asarray
"""Convert the value of a condition in an info to an array of bool, shape (); before Gymnasium 1.0 to a bool.

TorchRL's info reader needs a ``dtype``, which Python's bool lacks. Gymnasium's vector environments make an array of
objects of ``np.bool_``, and of arrays too before Gymnasium 1.0: the sum of such objects is True and no count.
"""


class ManipulationEnv(gym.Env[Any, Any]):
    """A robot arm at a table with something to do.

    Args:
        task: A name of ``lam_envs.registration.TASKS``, or a :class:`lam_envs.tasks.Task` of one's own.
        robot: A name of ``lam_envs.robots.ROBOTS``, or a :class:`lam_envs.robots.RobotModel` of one's own.
        control: What actions mean: a name of ``lam_envs.control.CONTROLS``.
        obs: What agents see: ``state``, one vector whose parts ``layout`` names; ``goal``, the dict of
            Gymnasium-Robotics with ``compute_reward``; or ``pixels``, a dict of images and the robot's own
            features.
        reward: ``dense``, in [-1, 1], 1 exactly on success and at most 0 before it; or ``sparse``, 0 on success
            and -1 before it.
        randomize: What varies besides poses and goals: ``none``, ``physics``, ``visual``, ``full``, or a
            :class:`lam_envs.Randomization` (or a mapping of its fields). What was drawn is in
            ``info["randomization"]``.
        terminate_on_success: End the episode at success. By default episodes have a fixed length: a length that
            depends on success tells the reward to algorithms that should learn it (imitation's documentation,
            "variable horizon").
        cameras: Names of ``lam_envs.bullet.cameras.CAMERAS``, for pixel observations.
        image_width: Pixels of an observed image.
        image_height: Pixels of an observed image.
        depth: Observe depth (meters) beside each image.
        renderer: What draws images: ``tiny``, PyBullet's software renderer, or ``egl``, OpenGL on a GPU or Mesa.
            Their pixels differ; with ``egl`` the brightness of the light does not vary. A process
            that was forked after its parent drew with ``egl`` cannot use it: start processes with ``spawn``.
        render_mode: ``rgb_array``, ``depth_array`` (meters) or ``human``.
        camera: A name of ``lam_envs.bullet.cameras.CAMERAS``, for :meth:`render`.
        render_width: Pixels.
        render_height: Pixels.
        unknown: Takes misspelt keywords, to say which are known.

    Raises:
        TypeError: An unknown keyword.
        ValueError: An unknown name, or a value that cannot be.
    """

    version = 1
    """Raise it when episodes of all tasks change: all results and datasets are then outdated."""
    metadata: dict[str, Any] = {  # noqa: RUF012  (Gymnasium declares an instance variable)
        "render_modes": list(RENDER_MODES),
        "render_fps": CONTROL_HZ,
    }

    def __init__(
        self,
        *,
        task: Any,
        robot: Any = "panda",
        control: str = "ee",
        obs: str = "state",
        reward: str = "dense",
        randomize: str | Randomization | dict[str, Any] = "none",
        terminate_on_success: bool = False,
        cameras: Sequence[str] = ("front", "wrist"),
        image_width: int = 84,
        image_height: int = 84,
        depth: bool = False,
        renderer: str = "tiny",
        render_mode: str | None = None,
        camera: str = "overview",
        render_width: int = 480,
        render_height: int = 480,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(unknown_keyword(next(iter(unknown)), ManipulationEnv.__init__))
        self._task = one_of("task", task, Task, TASKS, make_task)  # type: ignore[type-abstract]
        model = one_of("robot", robot, RobotModel, ROBOTS, ROBOTS.__getitem__)
        self._control = CONTROLS[known_name("control", control, CONTROLS)](model)
        self._obs = known_name("obs", obs, OBSERVATIONS)
        self._reward = Reward(self._task, dense=known_name("reward", reward, REWARDS) == "dense")
        self._terminates = check_bool("terminate_on_success", terminate_on_success)
        self._cameras = known_names("cameras", cameras, CAMERAS)
        self._image_size = positive_number("image_width", image_width), positive_number("image_height", image_height)
        self._depth = check_bool("depth", depth)
        self._renderer = cast(Renderer, known_name("renderer", renderer, RENDERERS))
        self._camera = known_name("camera", camera, CAMERAS)
        self._render_size = (
            positive_number("render_width", render_width),
            positive_number("render_height", render_height),
        )
        if render_mode is not None:
            known_name("render_mode", render_mode, RENDER_MODES)
        self.render_mode = render_mode

        self._world = World(self._task, model, self._control, parse_randomization(randomize))
        full = self._world.layout
        self.layout = {"state": full, "goal": full.without_goal(), "pixels": Layout(self._control.features)}[obs]
        """Maps each feature's name to its slice, unit and scale in the observed vector."""
        self._select = list if self.layout is full else itemgetter(*full.feature_indices(self.layout))
        self.action_space = self._control.space
        if obs == "goal":
            self.observation_space = goal_space(self.layout, self._task.goal_low, self._task.goal_high)
            # An instance attribute: Stable-Baselines3 takes any environment that has the name for a goal one.
            self.compute_reward = self._reward.compute_reward
        elif obs == "pixels":
            far = max(CAMERAS[name].far for name in self._cameras) if depth else None
            self.observation_space = pixels_space(self.layout, self._cameras, *self._image_size, far)
        else:
            self.observation_space = self.layout.space

        # Clients are made on first use, in the process that uses them.
        self._image_viewer: Viewer | None = None
        self._render_viewer: Viewer | None = None

    # Gymnasium's interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode that depends on the seed and the options alone.

        Args:
            seed: Seeds the draws of this and the following episodes.
            options: Parts of the initial state to set instead of drawing them, for this episode alone. The following
                episodes of the same seed stay the same.

                - ``goal``: the desired goal in the units of the task's goal, shape (goal size,).
                - ``poses``: a dict of poses by name of the task's movable objects. A pose has 7 numbers: x, y, z
                  (meters) of the object's frame in world coordinates, and its orientation as a quaternion x, y, z,
                  w. Objects that are not named keep the pose that the seed draws.

        Returns:
            The first observation, and an info with the keys that every step's info has.

        Raises:
            ValueError: An option is unknown, or its value is invalid. The episode and the seed do not change then.
        """
        changes = reset_options.changes(options, self._task)
        super().reset(seed=seed)
        self._world.reset(self.np_random, changes)
        return self._reset_result()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do one action, 1/20 s of simulated time.

        Args:
            action: An element of ``action_space``; displacements out of range are clipped.

        Returns:
            The observation; the reward, a float; terminated and truncated, bools; and an info with ``is_success`` and
            the task's other conditions as arrays of bool, shape (), and what :class:`lam_envs.Randomization` drew.

        Raises:
            ResetNeeded: There was no reset yet.
            ValueError: The action is not finite, or has a wrong shape. The episode has not advanced then.
        """
        self._world.step(action)
        observation, reward, info = self._step_result()
        if self.render_mode == "human":
            self.render()
        return observation, reward, self._terminates and bool(info["is_success"]), False, info

    def render(self) -> Any:
        """Draw the scene.

        Returns:
            ``rgb_array``: uint8, shape (height, width, 3). ``depth_array``: float32 meters, shape (height,
            width). ``human``: None; the window shows it.

        Raises:
            ResetNeeded: There was no reset yet.
            RuntimeError: ``human`` without a display, or ``egl`` where there is none.
        """
        if self.render_mode is None:
            gym.logger.warn('render() draws nothing: make the environment with render_mode="rgb_array".')
            return None
        self._world.active_scene()
        if self._render_viewer is None or not self._render_viewer.belongs_to_this_process:
            self._render_viewer = Viewer(self._world, "full", self._renderer, window=self.render_mode == "human")
        self._render_viewer.update()
        if self.render_mode == "human":
            self._render_viewer.wait_for_real_time()
            return None
        picture = self._render_viewer.render_camera(self._camera, *self._render_size)
        return picture.rgb if self.render_mode == "rgb_array" else picture.depth

    def close(self) -> None:
        """Free the simulation. Closing twice is fine; a reset opens it again."""
        for opened in (self._world, self._image_viewer, self._render_viewer):
            if opened is not None:
                opened.close()
        self._image_viewer = self._render_viewer = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes along: the episode, and not the clients, which are no copy's."""
        return {**self.__dict__, "_image_viewer": None, "_render_viewer": None}

    # What experts, datasets and planners use

    @property
    def task_name(self) -> str:
        """The task's name in ``lam_envs.registration.TASKS``."""
        return self._task.name

    @property
    def simulation(self) -> Simulation:
        """The physics, for measurements; to change it breaks the promise of equal episodes."""
        return self._world.scene().simulation

    @property
    def contact_force(self) -> float:
        """How hard the robot pushes what it pushes hardest, newtons; as of the last physics step."""
        return self._world.scene().robot.max_contact_force()

    @property
    def max_width(self) -> float:
        """Widest opening of the gripper, meters."""
        return self._control.max_width

    def action_for(self, command: ToolCommand, features: Features) -> Any:
        """Return the action of ``action_space`` that brings the robot nearest to what is wanted.

        Args:
            command: What is wanted.
            features: Of :meth:`features`; where the simulated robot is at the moment does not matter.
        """
        return self._control.compute_action(command, features, self._world.scene().robot)

    def features(self, observation: Observation | None = None) -> Features:
        """Names the parts of an observation, in physical units.

        Args:
            observation: One observation of ``observation_space``; by default the present scene, neither clipped nor
                noisy. Pixels do not hold the objects' features: for them this returns those of the present scene,
                which an expert may know and an agent may not.

        Returns:
            Every feature of the task, the goal's included, float64 vectors.

        Raises:
            ValueError: The observation has a wrong shape.
            ResetNeeded: The present scene is wanted and there was no reset yet.
        """
        if observation is None or self._obs == "pixels":
            self._world.active_scene()
            return self._world.layout.split(np.array(self._world.values))
        if isinstance(observation, dict):
            features = self.layout.decode(observation["observation"])
            return {**features, **self._task.goal_features(features, observation["desired_goal"])}
        return self.layout.decode(observation)

    def get_state(self) -> npt.NDArray[np.float64]:
        """Return everything that decides how the episode goes on, exactly.

        Bullet's contact caches cannot be written, so the vector holds the state at the beginning of the episode
        (:meth:`physical_state`, of fixed length) and the actions since.

        Returns:
            Shape (header and physical size + steps * numbers of an action,).

        Raises:
            ResetNeeded: There was no reset yet.
        """
        return self._world.get_state()

    def physical_state(self) -> npt.NDArray[np.float64]:
        """Return positions, velocities, targets, goal and variation: of fixed length, without the past.

        ``set_state`` takes it too, at once and without replaying; what follows then is reproducible, and equal
        to the first course but for the contact forces that a new start has to find again.

        Raises:
            ResetNeeded: There was no reset yet.
        """
        return self._world.physical_state()

    def set_state(self, state: npt.ArrayLike) -> tuple[Observation, dict[str, Any]]:
        """Continue from a state of :meth:`get_state` (exactly) or :meth:`physical_state`.

        Time limits are kept by wrappers and are not part of it.

        Returns:
            The observation and info of that state.

        Raises:
            ValueError: The vector is not finite, is of another task, robot, control or randomization, or has a wrong
                length. Nothing has changed then.
        """
        self._world.set_state(state)
        return self._reset_result()

    def camera_images(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the cameras of pixel observations see now, whatever the observation mode.

        Returns:
            For each camera uint8, shape (height, width, 3); with depth also float32 meters, shape (height, width, 1).

        Raises:
            ResetNeeded: There was no reset yet.
        """
        if self._image_viewer is None or not self._image_viewer.belongs_to_this_process:
            self._image_viewer = Viewer(self._world, "fast", self._renderer)
        self._image_viewer.update()
        seen = {name: self._image_viewer.render_camera(name, *self._image_size) for name in self._cameras}
        parts: dict[str, npt.NDArray[Any]] = {name: picture.rgb for name, picture in seen.items()}
        if self._depth:
            parts.update({name + DEPTH_SUFFIX: picture.depth[..., None] for name, picture in seen.items()})
        return parts

    def camera_matrices(self, width: int | None = None, height: int | None = None) -> dict[str, CameraMatrices]:
        """Return the current intrinsics and pose of each camera, to turn depth into points.

        The convention is OpenCV's: in the camera's frame x points right in the image, y down and z forward, and the
        center of the pixel in column ``u`` and row ``v`` is at ``(u, v)``. A pixel with depth ``d`` shows the point
        ``p = d * inv(intrinsics) @ (u, v, 1)`` of the camera's frame, which is ``pose @ (*p, 1)`` in the world. Depth
        is the camera's ``far`` where it sees nothing.
        Randomized cameras and the camera on the hand have the pose of the current image.

        Args:
            width: Width of the image, pixels; by default ``image_width``. For images of :meth:`render` pass its size.
            height: Height of the image, pixels; by default ``image_height``.

        Returns:
            For each name of ``lam_envs.bullet.cameras.CAMERAS``: ``intrinsics``, float64, shape (3, 3), pixels;
            ``pose``, float64, shape (4, 4), meters, from the camera's frame to the world's.

        Raises:
            ResetNeeded: There was no reset yet.
            ValueError: A width or height is not a positive whole number.
        """
        size = (
            self._image_size[0] if width is None else positive_number("width", width),
            self._image_size[1] if height is None else positive_number("height", height),
        )
        return {name: camera_matrices(self._world, name, *size, self._renderer) for name in CAMERAS}

    # Inside

    def _reset_result(self) -> tuple[Observation, dict[str, Any]]:
        """Observation and info of an episode that was just put to its place."""
        if self.render_mode == "human":
            self.render()
        observation, _, info = self._step_result()
        return observation, info

    def _step_result(self) -> tuple[Observation, float, dict[str, Any]]:
        """Observation, reward and info of the present scene."""
        world = self._world
        flags, reward = self._reward.evaluate(world.achieved_goal, world.desired_goal)
        info: dict[str, Any] = {name: to_info_flag(flag) for name, flag in flags.items()}
        if world.randomization is not None:
            info["randomization"] = world.randomization_sample.info()
        vector = self.layout.encode(self._select(world.values), self._noise())
        if self._obs == "state":
            return vector, float(reward), info
        if self._obs == "pixels":
            return {**self.camera_images(), ROBOT_KEY: vector}, float(reward), info
        goals = {"achieved_goal": world.achieved_goal.copy(), "desired_goal": world.desired_goal.copy()}
        return {"observation": vector, **goals}, float(reward), info

    def _noise(self) -> npt.NDArray[np.float64] | None:
        sample = self._world.randomization_sample
        if sample.sensor_noise == 0.0:
            return None
        return sample.sensor_noise * sample_noise(sample, self._world.step_count, self.layout.size)
