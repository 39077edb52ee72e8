"""What eyes and cameras see of a world: pictures, depth or a window, drawn apart from the physics."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.cameras import CAMERAS, Camera, CameraMatrices, Picture
from lam_envs.bullet.geometry import Frame
from lam_envs.bullet.simulation import CONTROL_HZ, PIXEL_CENTER, Renderer
from lam_envs.randomization import PhysicsScale, RandomizationSample
from lam_envs.scene.scene import Scene
from lam_envs.scene.world import World

RENDER_MODES = ("rgb_array", "depth_array", "human")
RENDERERS: tuple[Renderer, ...] = ("tiny", "egl")

VERSION = 1
"""Raise it when images change: results and datasets of image observations are then outdated."""

Shown = npt.NDArray[np.uint8] | npt.NDArray[np.float32] | None


def camera_matrices(world: World, name: str, width: int, height: int, renderer: Renderer) -> CameraMatrices:
    """Return the current intrinsics and pose of a camera.

    Args:
        world: World that the camera sees.
        name: A name of ``lam_envs.bullet.cameras.CAMERAS``.
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        renderer: Renderer that draws the image.

    Raises:
        ResetNeeded: There was no reset yet.
    """
    tool = world.running().robot.tool_frame()
    return _camera(world, name).opencv_matrices(tool, width, height, PIXEL_CENTER[renderer])


def _camera(world: World, name: str) -> Camera:
    """Return a camera where the episode's variation puts it."""
    return CAMERAS[name].shifted(world.variation.camera_position, world.variation.camera_target)


class Viewer:
    """A scene that is only looked at, placed as the world's: looking changes nothing.

    Args:
        world: What to look at.
        detail: ``"fast"`` or ``"full"``, see :class:`lam_envs.bullet.simulation.Simulation`.
        renderer: What draws.
        window: Open PyBullet's own window.

    Raises:
        RuntimeError: A window without a display, or EGL where there is none.
    """

    def __init__(
        self, world: World, detail: Literal["fast", "full"], renderer: Renderer, *, window: bool = False
    ) -> None:
        self._world = world
        self._detail = detail
        self._renderer = renderer
        self._window = window
        self._scene = self._make(world.physique(world.variation))
        self._tool = Frame((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        self._tinted = RandomizationSample()
        self._last_frame = 0.0

    def follow(self) -> None:
        """Places everything where it is in the world now, in the colours of its episode."""
        world, variation = self._world, self._world.variation
        physics = world.running()
        physique = world.physique(variation)
        if self._scene.simulation.physique != physique:
            self._scene.close()
            self._scene, self._tinted = self._make(physique), RandomizationSample()
        if self._tinted is not variation:
            self._scene.tint(variation)
            self._tinted = variation
        world.task.show(physics.simulation, world.desired)
        self._scene.copy_poses(physics)
        self._tool = physics.robot.tool_frame()

    def picture(self, camera: str, width: int, height: int) -> Picture:
        """Draws what was followed last.

        Args:
            camera: A name of ``lam_envs.bullet.cameras.CAMERAS``.
            width: Pixels.
            height: Pixels.
        """
        variation = self._world.variation
        return self._scene.simulation.picture(
            _camera(self._world, camera),
            self._tool,
            width,
            height,
            light=variation.light,
            brightness=variation.brightness,
        )

    @property
    def belongs_to_this_process(self) -> bool:
        """False in a child process that was forked after it was made."""
        return self._scene.simulation.belongs_to_this_process

    def keep_pace(self) -> None:
        """Shows the window in real time. The clock is for the eye: nothing in an episode depends on it."""
        wait = self._last_frame + 1.0 / CONTROL_HZ - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last_frame = time.monotonic()

    def close(self) -> None:
        """Closes the window or the client."""
        self._scene.close()

    def _make(self, physique: PhysicsScale) -> Scene:
        world = self._world
        return Scene(world.model, world.task, physique, self._detail, window=self._window, renderer=self._renderer)
