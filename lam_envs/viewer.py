"""What people see of an environment: pictures, depth or a window, drawn apart from the physics."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from lam_envs.robots import RobotModel
from lam_envs.scene import Scene
from lam_envs.simulation import CAMERAS, CONTROL_HZ
from lam_envs.tasks import Task
from lam_envs.tasks.task import Goals

RENDER_MODES = ("rgb_array", "depth_array", "human")

Shown = npt.NDArray[np.uint8] | npt.NDArray[np.float32] | None


class Viewer:
    """Draws a scene of its own, with full-detail bodies, placed as those of the physics: looking changes nothing.

    Args:
        model: Which robot.
        task: Whose objects and markers.
        mode: One of ``RENDER_MODES``.
        camera: A name of ``lam_envs.simulation.CAMERAS``.
        width: Pixels.
        height: Pixels.

    Raises:
        RuntimeError: ``human`` without a display.
    """

    def __init__(self, model: RobotModel, task: Task, *, mode: str, camera: str, width: int, height: int) -> None:
        self._scene = Scene(model, task, "pictures", window=mode == "human")
        self._task = task
        self._mode = mode
        self._camera = CAMERAS[camera]
        self._size = (width, height)
        self._last_frame = 0.0

    def show(self, physics: Scene, desired: Goals) -> Shown:
        """Draws the present state.

        Args:
            physics: The scene to show.
            desired: The goal that markers show.

        Returns:
            ``rgb_array``: uint8, shape (height, width, 3). ``depth_array``: float32 metres, shape (height, width).
            ``human``: None; the window shows it.
        """
        self._task.show(physics.simulation, desired)
        self._scene.copy_poses(physics)
        if self._mode == "human":
            self._keep_pace()
            return None
        picture = self._scene.simulation.picture(self._camera, physics.robot.tool_frame(), *self._size)
        return picture.rgb if self._mode == "rgb_array" else picture.depth

    def close(self) -> None:
        """Closes the window or the client."""
        self._scene.close()

    def _keep_pace(self) -> None:
        """Shows the window in real time. The clock is for the eye: nothing in an episode depends on it."""
        wait = self._last_frame + 1.0 / CONTROL_HZ - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last_frame = time.monotonic()
