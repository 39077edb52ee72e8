"""Gymnasium environment for every task, robot, control and observation mode."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from lam_envs.bullet.cameras import CAMERAS, CameraMatrices
from lam_envs.bullet.simulation import CONTROL_HZ, Renderer
from lam_envs.control import CONTROLS, ToolCommand
from lam_envs.observation import Action, Array, Features, Info, Observation
from lam_envs.observation.instructions import INSTRUCTION_KEY, SPLITS, Split, encode_instruction
from lam_envs.randomization import Randomization, parse_randomization
from lam_envs.registration import chain_steps
from lam_envs.robots import ROBOTS, RobotModel
from lam_envs.scene import reset_options
from lam_envs.scene.episode import EpisodeProperties
from lam_envs.scene.observer import OBSERVATIONS, ImageSettings, Observer, to_info_flag
from lam_envs.scene.viewer import RENDER_MODES, RENDERERS, Viewer, camera_matrices
from lam_envs.scene.world import World
from lam_envs.tasks import TASKS, Task, make_task
from lam_envs.tasks import task_keywords as names_of_keywords
from lam_envs.tasks.goals.reward import Reward
from lam_envs.validation import check_bool, check_name, check_names, check_pixels, resolve, unknown_keyword

REWARDS = ("dense", "sparse")


class ManipulationEnv(EpisodeProperties, gym.Env[Any, Any]):
    """Robot arm at a table with a manipulation task.

    Args:
        task: A name of ``lam_envs.registration.TASKS``, or your own :class:`lam_envs.tasks.Task`.
        robot: A name of ``lam_envs.robots.ROBOTS``, or your own :class:`lam_envs.robots.RobotModel`.
        tool_length_offset: Length by which the fingers are longer than the controller and the observations assume,
            meters, 0 to 0.05: the real fingertips are below the observed ``tool/position``. Success, rewards,
            achieved goals and initial poses refer to the real fingertips.
        control: Meaning of actions: a name of ``lam_envs.control.CONTROLS``.
        obs: Observation mode: ``state``, a vector whose features ``layout`` describes; ``goal``, the dict of
            Gymnasium-Robotics with ``compute_reward``; or ``pixels``, a dict of images and the features of the robot.
        reward: ``dense``, in [-1, 1], 1 exactly on success and at most 0 before it; or ``sparse``, 0 on success
            and -1 before it.
        randomize: Randomization besides poses and goals: ``none``, ``physics``, ``visual``, ``full``, or a
            :class:`lam_envs.Randomization` (or a mapping of its fields). The sample of the episode is in
            ``info["randomization"]``.
        terminate_on_success: End the episode at success. By default episodes have a fixed length: a length that
            depends on success leaks the reward to algorithms that should learn it (imitation's documentation,
            "variable horizon").
        instruct: Also observe the instruction, as UTF-8 bytes under the key ``instruction``; a vector is then under
            the key ``state``. ``info["instruction"]`` has the bytes in every mode; :attr:`instruction` is the text.
        paraphrases: Wording of the instructions that the seed draws: ``train``; ``held-out``, with words that the
            ``train`` sentences do not contain; or ``known-words``, other sentences of the words of ``train``, in
            tasks that have some.
        cameras: Names of ``lam_envs.bullet.cameras.CAMERAS``, for pixel observations.
        image_width: Width of an observed image, pixels.
        image_height: Height of an observed image, pixels.
        depth: Also observe depth (meters) for each image.
        renderer: Renderer of images: ``tiny``, PyBullet's software renderer, or ``egl``, OpenGL on a GPU or in
            software (Mesa). Their pixels differ; ``egl`` does not randomize the brightness of the light. A process
            that was forked after its parent rendered with ``egl`` cannot use it: start processes with ``spawn``.
        render_mode: ``rgb_array``, ``depth_array`` (meters) or ``human``.
        camera: A name of ``lam_envs.bullet.cameras.CAMERAS``, for :meth:`render`.
        render_width: Width of an image of :meth:`render`, pixels.
        render_height: Height of an image of :meth:`render`, pixels.
        task_keywords: Keywords that the task has of its own, such as ``objects`` of Clutter; see the page of the
            task. The error for an unknown one suggests the closest known one.

    Raises:
        TypeError: A keyword is unknown.
        ValueError: A name is unknown, or a value is invalid.
    """

    version = 1
    """Increase it when episodes of all tasks change: all results and datasets are then outdated."""
    metadata: dict[str, Any] = {  # noqa: RUF012  (Gymnasium declares an instance variable)
        "render_modes": list(RENDER_MODES),
        "render_fps": CONTROL_HZ,
    }

    def __init__(
        self,
        *,
        task: str | Task,
        robot: str | RobotModel = "panda",
        tool_length_offset: float = 0.0,
        control: str = "ee",
        obs: str = "state",
        reward: str = "dense",
        randomize: str | Randomization | Mapping[str, object] = "none",
        terminate_on_success: bool = False,
        instruct: bool = False,
        paraphrases: str = "train",
        cameras: Sequence[str] = ("front", "wrist"),
        image_width: int = 84,
        image_height: int = 84,
        depth: bool = False,
        renderer: str = "tiny",
        render_mode: str | None = None,
        camera: str = "overview",
        render_width: int = 480,
        render_height: int = 480,
        **task_keywords: object,
    ) -> None:
        _check_keywords(task, task_keywords)
        make = partial(make_task, **task_keywords)
        self._task = resolve("task", task, Task, TASKS, make)  # type: ignore[type-abstract]
        model = resolve("robot", robot, RobotModel, ROBOTS, ROBOTS.__getitem__)
        model = model.with_tool_length_offset(tool_length_offset)
        self._control = CONTROLS[check_name("control", control, CONTROLS)](model)
        check_name("obs", obs, OBSERVATIONS)
        self._reward = Reward(self._task, dense=check_name("reward", reward, REWARDS) == "dense")
        self._terminates = check_bool("terminate_on_success", terminate_on_success)
        self._image_size = check_pixels("image_width", image_width), check_pixels("image_height", image_height)
        use_depth, use_instruction = check_bool("depth", depth), check_bool("instruct", instruct)
        self._renderer = cast(Renderer, check_name("renderer", renderer, RENDERERS))
        self._camera = check_name("camera", camera, CAMERAS)
        self._render_size = (
            check_pixels("render_width", render_width),
            check_pixels("render_height", render_height),
        )
        if render_mode is not None:
            check_name("render_mode", render_mode, RENDER_MODES)
        self.render_mode = render_mode

        self._world = World(
            self._task,
            model,
            self._control,
            parse_randomization(randomize),
            cast(Split, check_name("paraphrases", paraphrases, SPLITS)),
            instruct=use_instruction,
        )
        images = ImageSettings(check_names("cameras", cameras, CAMERAS), *self._image_size, use_depth, self._renderer)
        self._observer = Observer(self._world, obs, images, instruct=use_instruction)
        self.layout = self._observer.layout
        """Slice, unit and scale of each feature in the observed vector, by name."""
        self.observation_space = self._observer.space
        self.action_space = self._control.space
        if obs == "goal":
            # An instance attribute: Stable-Baselines3 treats every environment with this attribute as a goal
            # environment.
            self.compute_reward = self._reward.compute_reward
        self._render_viewer = Viewer(self._world, "full", self._renderer, window=render_mode == "human")

    # Gymnasium's interface

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Start an episode that depends only on the seed and the options.

        Args:
            seed: Seed of this and the following episodes.
            options: Parts of the initial state to set instead of sampling them, only in this episode. The following
                episodes of the same seed do not change.

                - ``goal``: the desired goal in the units of the task's goal, shape (goal size,). In tasks with
                  several commands, success then refers to this goal, and not to the command.
                - ``poses``: a dict of poses by name of the task's objects. A pose has 7 numbers: x, y, z (meters) of
                  the object's frame in world coordinates, and its orientation as a quaternion x, y, z, w. Objects
                  that are not named keep the pose that the seed samples. Poses of objects that the episode
                  lacks have no effect.
                - ``joints``: a dict of joint positions (meters or radians) by name of the task's articulated objects.
                - ``command``: one of :attr:`commands`.
                - ``instruction``: the sentence that the agent gets. A sentence of the task also sets its command, if
                  ``command`` is not given. In other words, tasks with several commands also need that option.

        Returns:
            The first observation, and an info with the same keys as in steps.

        Raises:
            ValueError: An option is unknown, or its value is invalid. Episode and seed have not changed then.
        """
        checked = reset_options.parse_options(options, self._task)
        super().reset(seed=seed)
        self._world.reset(self.np_random, checked)
        return self._reset_result()

    def step(self, action: object) -> tuple[Observation, float, bool, bool, Info]:
        """Execute an action, 1/20 s of simulated time.

        Args:
            action: Element of ``action_space``; displacements out of range are clipped.

        Returns:
            The observation; the reward, a float; terminated and truncated, bools; and an info with ``is_success`` and
            the other conditions of the task as arrays of bool, shape (); the encoded ``instruction``, see
            ``lam_envs.decode_instruction``; and the randomization sample.

        Raises:
            ResetNeeded: ``reset`` has not been called.
            ValueError: The action is not finite, or has a wrong shape. The episode has not changed then.
        """
        self._world.step(action)
        observation, reward, info = self._step_result()
        if self.render_mode == "human":
            self.render()
        return observation, reward, self._terminates and bool(info["is_success"]), False, info

    def render(self) -> Array | None:
        """Render the scene.

        Returns:
            ``rgb_array``: uint8, shape (height, width, 3). ``depth_array``: float32 meters, shape (height,
            width). ``human``: None; the image is in the window.

        Raises:
            ResetNeeded: ``reset`` has not been called.
            RuntimeError: ``human`` without a display, or ``egl`` does not work here.
        """
        if self.render_mode is None:
            gym.logger.warn(
                'render() returns None without a render_mode: make the environment with render_mode="rgb_array".'
            )
            return None
        self._render_viewer.update()
        if self.render_mode == "human":
            self._render_viewer.wait_for_real_time()
            return None
        image = self._render_viewer.render_camera(self._camera, *self._render_size)
        return image.rgb if self.render_mode == "rgb_array" else image.depth

    def close(self) -> None:
        """Free the simulation. Can be called twice; ``reset`` makes a new simulation."""
        for part in (self._world, self._observer, self._render_viewer):
            part.close()

    # For experts, datasets and planners

    def action_for(self, command: ToolCommand, features: Features) -> Action:
        """Return the action that moves the tool toward a desired pose.

        Args:
            command: Desired pose of the tool and opening of the gripper; of the real fingertips with a
                ``tool_length_offset``, which the features must also be of (those of the current scene are).
            features: Result of :meth:`features`. The current state of the simulated robot does not matter.
        """
        return self._world.action_for(command, features)

    def features(self, observation: Observation | None = None) -> Features:
        """Return the features of an observation by name, in physical units.

        Args:
            observation: Element of ``observation_space``; by default the current scene, without clipping and noise,
                and for the real fingertips with a ``tool_length_offset``.
                Pixel observations lack the features of objects: for them the features are those of the current scene,
                which are privileged information for experts.

        Returns:
            All features of the task, including those of the goal, as float64 vectors.

        Raises:
            ValueError: The observation has a wrong shape.
            ResetNeeded: The observation is None and ``reset`` has not been called.
        """
        return self._observer.features(observation)

    def get_state(self) -> npt.NDArray[np.float64]:
        """Return the state of the episode, from which :meth:`set_state` continues exactly.

        Bullet's contact caches cannot be set, so the vector has the physical state at the beginning of the episode
        (:meth:`physical_state`) and the actions since then. It lacks a sentence of the reset option ``instruction``
        where observations have no instruction and the task has one command.

        Returns:
            Vector of shape (header + physical size + steps * action size,).

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        return self._world.get_state()

    def physical_state(self) -> npt.NDArray[np.float64]:
        """Return positions, velocities, targets, goal and randomization: a vector of fixed length.

        :meth:`set_state` also accepts it, and does not replay actions then. The continuation is reproducible. It
        differs from the original one only by contact forces, which are computed from scratch. An instruction is
        missing as in :meth:`get_state`.

        Raises:
            ResetNeeded: ``reset`` has not been called.
        """
        return self._world.physical_state()

    def set_state(self, state: npt.ArrayLike) -> tuple[Observation, Info]:
        """Continue from a state of :meth:`get_state` (exactly) or :meth:`physical_state`.

        Time limits belong to wrappers and are not part of the state. Keywords of the task and ``paraphrases`` are not
        either, and are not checked: continue a state in an environment with the same ones. With others, for example,
        the commands that follow differ.

        Returns:
            Observation and info of the state.

        Raises:
            ValueError: The vector is not finite, belongs to another task, robot, control or randomization, or has a
                wrong length. The episode has not changed then.
        """
        self._world.set_state(state)
        return self._reset_result()

    def instruction_of(self, state: npt.ArrayLike) -> str:
        """Return the instruction in a state of :meth:`get_state` or :meth:`physical_state`.

        States do not hold it where observations have no instruction and the task always asks for the same: then it
        follows from the first state of an episode. In an episode with successive commands, a state of
        :meth:`get_state` has the first instruction, and one of :meth:`physical_state` the present one.

        Raises:
            ValueError: See :meth:`set_state`.
        """
        return self._world.instruction_of(state)

    def camera_images(
        self, cameras: Sequence[str] | None = None, width: int | None = None, height: int | None = None
    ) -> dict[str, Array]:
        """Return current images of cameras, in every observation mode; faster than :meth:`render`, and less detailed.

        Args:
            cameras: Names of ``lam_envs.bullet.cameras.CAMERAS``; by default those of pixel observations.
            width: Width of an image, pixels; by default ``image_width``.
            height: Height of an image, pixels; by default ``image_height``.

        Returns:
            For each camera uint8, shape (height, width, 3); with depth also float32 meters, shape (height, width, 1).

        Raises:
            ResetNeeded: ``reset`` has not been called.
            ValueError: A camera is unknown, or a width or height is not a positive whole number.
        """
        return self._observer.camera_images(
            None if cameras is None else check_names("cameras", cameras, CAMERAS), *self._size(width, height)
        )

    def camera_matrices(self, width: int | None = None, height: int | None = None) -> dict[str, CameraMatrices]:
        """Return the current intrinsics and pose of each camera, to turn depth into points.

        The convention is OpenCV's: in the camera's frame x points right in the image, y down and z forward, and the
        center of the pixel in column ``u`` and row ``v`` is at ``(u, v)``. A pixel with depth ``d`` shows the point
        ``p = d * inv(intrinsics) @ (u, v, 1)`` of the camera's frame, which is ``pose @ (*p, 1)`` in the world. Depth
        is the camera's ``far`` where nothing is visible. Randomized cameras and the camera on the hand have the pose
        of the current image.

        Args:
            width: Width of the image, pixels; by default ``image_width``. For images of :meth:`render` pass its size.
            height: Height of the image, pixels; by default ``image_height``.

        Returns:
            For each name of ``lam_envs.bullet.cameras.CAMERAS``: ``intrinsics``, float64, shape (3, 3), pixels;
            ``pose``, float64, shape (4, 4), meters, from the camera's frame to the world's.

        Raises:
            ResetNeeded: ``reset`` has not been called.
            ValueError: A width or height is not a positive whole number.
        """
        size = self._size(width, height)
        return {name: camera_matrices(self._world, name, *size, self._renderer) for name in CAMERAS}

    def _size(self, width: int | None, height: int | None) -> tuple[int, int]:
        """Return the size of an image, pixels; by default that of pixel observations."""
        return (
            self._image_size[0] if width is None else check_pixels("width", width),
            self._image_size[1] if height is None else check_pixels("height", height),
        )

    # Results of reset and step

    def _reset_result(self) -> tuple[Observation, Info]:
        """Return observation and info after a reset."""
        if self.render_mode == "human":
            self.render()
        observation, _, info = self._step_result()
        return observation, info

    def _step_result(self) -> tuple[Observation, float, Info]:
        """Return observation, reward and info of the current scene."""
        world = self._world
        flags, reward = self._reward.evaluate(world.achieved_goal, world.desired_goal)
        info: Info = {name: to_info_flag(flag) for name, flag in flags.items()}
        counts = world.task.counts(flags, world.desired_goal)
        info.update({name: np.int64(count) for name, count in counts.items()})
        info[INSTRUCTION_KEY] = encode_instruction(world.request.instruction)
        if world.randomization is not None:
            info["randomization"] = world.randomization_sample.info()
        return self._observer.observe(), float(reward), info


def _check_keywords(task: object, keywords: Iterable[str], others: Iterable[str] = ()) -> None:
    """Check the keywords that a task has of its own.

    Args:
        task: The keyword ``task`` of :class:`ManipulationEnv`.
        keywords: The names of the keywords.
        others: More known keywords, for the error message.

    Raises:
        TypeError: A keyword is unknown.
        ValueError: The task is unknown.
    """
    known = names_of_keywords(check_name("task", task, TASKS)) if isinstance(task, str) else []
    for keyword in keywords:
        if keyword not in known:
            raise TypeError(unknown_keyword(keyword, ManipulationEnv.__init__, [*known, *others]))


def make_chained_env(*, steps_per_command: int | None = None, **keywords: Any) -> gym.Env[Any, Any]:
    """Make an environment whose time limit grows with the number of successive commands.

    ``gym.make`` does not give its ``max_episode_steps`` to this function: that can only shorten episodes. With a
    longer one, episodes end at the limit of this function, and ``env.spec`` has the longer one.

    Args:
        steps_per_command: Time limit for each command, control steps; by default that of the registration.
        keywords: Keywords of :class:`ManipulationEnv`.

    Raises:
        TypeError: A keyword is unknown.
        ValueError: ``steps_per_command`` is not a positive whole number, or is missing for a task of your own.
    """
    own = inspect.signature(ManipulationEnv.__init__).parameters
    _check_keywords(keywords.get("task"), [name for name in keywords if name not in own], ["steps_per_command"])
    env = ManipulationEnv(**keywords)
    return gym.wrappers.TimeLimit(env, chain_steps(env.task_name, env.chain, steps_per_command))


# Gymnasium reads the render modes there.
make_chained_env.metadata = ManipulationEnv.metadata  # type: ignore[attr-defined]
