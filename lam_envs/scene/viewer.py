"""Rendering of a world by a client of its own: images, depth, or a window."""

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
"""Raise it when images change: results and datasets of image observations are then outdated."""


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

    Args:
        world: World to render.
        detail: ``"fast"`` or ``"full"``, see :class:`lam_envs.bullet.simulation.Simulation`.
        renderer: ``"tiny"`` or ``"egl"``.
        window: Open PyBullet's window.

    Raises:
        RuntimeError: A window without a display, or EGL does not work here.
    """

    def __init__(
        self, world: World, detail: Literal["fast", "full"], renderer: Renderer, *, window: bool = False
    ) -> None:
        self._world = world
        self._detail = detail
        self._renderer = renderer
        self._window = window
        self._scene = self._make(world.physics_scale(world.randomization_sample))
        self._tool = Frame((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        self._colored_by = RandomizationSample()
        self._last_frame = 0.0

    def update(self) -> None:
        """Copy the present poses and colors of the world."""
        world, sample = self._world, self._world.randomization_sample
        physics = world.active_scene()
        physics_scale = world.physics_scale(sample)
        if self._scene.simulation.physics_scale != physics_scale:
            self._scene.close()
            self._scene, self._colored_by = self._make(physics_scale), RandomizationSample()
        if self._colored_by is not sample:
            self._scene.set_colors(sample)
            self._colored_by = sample
        world.task.update_markers(physics.simulation, world.desired_goal)
        self._scene.copy_poses(physics)
        self._tool = physics.robot.tool_frame()

    def render_camera(self, camera: str, width: int, height: int) -> CameraImage:
        """Render an image of the scene as of the last :meth:`update`.

        Args:
            camera: A name of ``lam_envs.bullet.cameras.CAMERAS``.
            width: Width of the image, pixels.
            height: Height of the image, pixels.
        """
        sample = self._world.randomization_sample
        return self._scene.simulation.render_camera(
            _camera(self._world, camera),
            self._tool,
            width,
            height,
            light=sample.light,
            brightness=sample.brightness,
        )

    @property
    def belongs_to_this_process(self) -> bool:
        """True in the process that made the viewer, and False in a fork of it."""
        return self._scene.simulation.belongs_to_this_process

    def wait_for_real_time(self) -> None:
        """Sleep until a control step has passed since the last call. Episodes do not depend on it."""
        wait = self._last_frame + 1.0 / CONTROL_HZ - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last_frame = time.monotonic()

    def close(self) -> None:
        """Close the window or the client."""
        self._scene.close()

    def _make(self, physics_scale: PhysicsScale) -> Scene:
        world = self._world
        return Scene(
            world.model, world.task, physics_scale, self._detail, window=self._window, renderer=self._renderer
        )
