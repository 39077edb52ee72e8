"""A small task with its expert, for tests of your own tasks. It is written for simplicity, not for speed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lam_envs import ToolCommand
from lam_envs.observation import Feature
from lam_envs.tasks import InitialState, Task, TaskObservation
from lam_envs.tasks.objects import object_features, object_values, resting_at, sample_position


class Above(Task):
    """Hold the tool 10 cm above a cube."""

    name = "above"
    features = (
        *object_features("cube", with_rotation=False),
        Feature("goal/height", 1, "m", "how far above", 0.1, 0.1, 1.0, noisy=False),
    )
    goal_low = (-2.0, -2.0, -2.0, 0.0)
    goal_high = (2.0, 2.0, 2.0, 10.0)
    movable_objects = ("object",)
    tool_low = (0.4, -0.15, 0.2)
    tool_high = (0.6, 0.15, 0.3)

    def build_scene(self, simulation: Any, scale: float) -> None:
        edge = 0.05 * scale
        simulation.add_box(
            "object", size=(edge, edge, edge), position=(0.5, 0, edge / 2), mass=0.2, color=(0.9, 0.8, 0.1)
        )
        simulation.add_marker("spot", size=(0.03, 0.03, 0.03), color=(0.9, 0.0, 0.9, 1.0), shape="ball")

    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Any) -> InitialState:
        tool = self.sample_tool(rng)
        x, y = sample_position(rng, (0.42, -0.15), (0.58, 0.15))
        return InitialState(
            tool_position=tool, desired_goal=(0, 0, 0.1, 0.05), objects={"object": resting_at(x, y, 0.025 * scale)}
        )

    def observe(self, simulation: Any, robot: Any, tool: Any, desired: Any, command: Any) -> TaskObservation:
        cube = simulation.bodies["object"].motion()
        away = np.clip(np.subtract(tool.position, cube.position), -2, 2)
        speed = min(float(np.linalg.norm(tool.velocity)), 10.0)
        values = [*object_values(cube, tool, with_rotation=False), float(desired[2])]
        return TaskObservation(values, [*away.tolist(), speed])

    def evaluate(self, achieved: Any, desired: Any) -> dict[str, Any]:
        is_close = np.linalg.norm(achieved[..., :3] - desired[..., :3], axis=-1) <= 0.02
        is_still = achieved[..., 3] <= desired[..., 3]
        return {"is_success": is_close & is_still, "is_close": is_close, "is_still": is_still}

    def progress(self, achieved: Any, desired: Any) -> Any:
        return np.exp(-5 * np.linalg.norm((achieved - desired)[..., :3], axis=-1))

    def update_markers(self, simulation: Any, desired: Any) -> None:
        x, y, z = simulation.bodies["object"].motion().position
        simulation.bodies["spot"].marker_position = (x, y, z + float(desired[2]))

    def goal_features(self, features: Any, desired: Any) -> Any:
        return {"goal/height": np.asarray(desired[2:3], dtype=np.float64)}


class AboveExpert:
    version = 1

    def act(self, features: Any) -> ToolCommand:
        x, y, z = features["object/position"].tolist()
        return ToolCommand((x, y, z + features["goal/height"].item()), features["gripper/target"].item())
