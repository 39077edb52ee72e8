"""Rendering of a world in a separate PyBullet client: RGB images, depth images, or a window."""

from __future__ import annotations

import time
from typing import Literal

from lam_envs.bullet.cameras import CAMERAS, Camera, CameraImage, CameraMatrices
from lam_envs.bullet.geometry import Frame
from lam_envs.bullet.simulation import CONTROL_HZ, PIXEL_CENTER, Renderer
from lam_envs.randomization import PhysicsScale, RandomizationSample
from lam_envs.scene.scene import Scene
from lam_envs.scene.world import World

RENDER_MODES = ("rgb_array", "depth_array", "human")
RENDERERS: tuple[Renderer, ...] = ("tiny", "egl")

VERSION = 1
"""Increase it when images change: results and datasets of pixel observations are then outdated."""


def camera_matrices(world: World, name: str, width: int, height: int, renderer: Renderer) -> CameraMatrices:
    """Return the current intrinsics and pose of a camera.

    Args:
        world: World of the camera.
        name: A name of ``lam_envs.bullet.cameras.CAMERAS``.
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        renderer: Renderer of the image.

    Raises:
        ResetNeeded: ``reset`` has not been called.
    """
    tool = world.active_scene().robot.tool_frame()
    return _camera(world, name).opencv_matrices(tool, width, height, PIXEL_CENTER[renderer])


def _camera(world: World, name: str) -> Camera:
    """Return a camera with the pose that the randomization of the episode gives it."""
    return CAMERAS[name].shifted(world.randomization_sample.camera_position, world.randomization_sample.camera_target)


class Viewer:
    """Scene for rendering, with the poses of a world. Rendering does not change the world.

    Its client is made at the first :meth:`update`, in the process that uses it. Copies have no client.

    Args:
        world: World to render.
        detail: ``"fast"`` or ``"full"``, see :class:`lam_envs.bullet.simulation.Simulation`.
        renderer: ``"tiny"`` or ``"egl"``.
        window: Open PyBullet's window.
    """

    def __init__(
        self, world: World, detail: Literal["fast", "full"], renderer: Renderer, *, window: bool = False
    ) -> None:
        self._world = world
        self._detail = detail
        self._renderer = renderer
        self._window = window
        self._scene: Scene | None = None
        self._tool = Frame((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        self._color_sample = RandomizationSample()
        self._last_frame = 0.0

    def update(self) -> None:
        """Copy the current poses and colors of the world.

        Raises:
            ResetNeeded: ``reset`` has not been called.
            RuntimeError: A window without a display, or EGL does not work here.
        """
        world, sample = self._world, self._world.randomization_sample
        physics = world.active_scene()
        scene = self._current_scene(world.physics_scale(sample), physics.models)
        if self._color_sample is not sample:
            scene.set_colors(sample)
            self._color_sample = sample
        world.task.update_markers(physics.simulation, world.desired_goal)
        scene.copy_poses(physics)
        self._tool = physics.robot.tool_frame()

    def _current_scene(self, physics_scale: PhysicsScale, models: tuple[int, ...]) -> Scene:
        """Return the scene. Make a new one at first use, after a fork, and for another scale or other models."""
        scene = self._scene
        if scene is not None and scene.simulation.belongs_to_this_process:
            if scene.simulation.physics_scale == physics_scale and scene.models == models:
                return scene
            # A process can have only one window.
            scene.close()
        world = self._world
        scene = self._scene = Scene(
            world.model,
            world.task,
            physics_scale,
            self._detail,
            models=models,
            window=self._window,
            renderer=self._renderer,
        )
        self._color_sample = RandomizationSample()
        return scene

    def render_camera(self, camera: str, width: int, height: int) -> CameraImage:
        """Render an image of the scene as of the last :meth:`update`.

        Args:
            camera: A name of ``lam_envs.bullet.cameras.CAMERAS``.
            width: Width of the image, pixels.
            height: Height of the image, pixels.

        Raises:
            RuntimeError: There was no :meth:`update` yet.
        """
        if self._scene is None:
            raise RuntimeError("the viewer has no scene: call update() before render_camera()")
        sample = self._world.randomization_sample
        return self._scene.simulation.render_camera(
            _camera(self._world, camera), self._tool, width, height, light=sample.light, brightness=sample.brightness
        )

    def wait_for_real_time(self) -> None:
        """Sleep until a control step has passed since the last call. Episodes do not depend on it."""
        wait = self._last_frame + 1.0 / CONTROL_HZ - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last_frame = time.monotonic()

    def close(self) -> None:
        """Close the client, and its window."""
        if self._scene is not None:
            self._scene.close()
        self._scene = None

    def __getstate__(self) -> dict[str, object]:
        """Return the attributes of a copy: no client."""
        return {**self.__dict__, "_scene": None}
