"""Add a task of your own: move the tool to a height. It works with every robot, control and observation mode."""

import gymnasium as gym
import numpy as np

from lam_envs.observation import Feature
from lam_envs.tasks import InitialState, Task, TaskObservation


class Hover(Task):
    """Move the tool to a height."""

    name = "hover"
    features = (Feature("goal/height", 1, "m", "desired height of the tool", 0.2, 0.2, 1.0, noisy=False),)
    goal_low, goal_high = (-1.0,), (2.0,)

    def build_scene(self, simulation, scale):
        simulation.add_marker("height", size=(0.3, 0.3, 0.002), color=(0.1, 0.75, 0.3, 0.7))

    def update_markers(self, simulation, desired):
        simulation.bodies["height"].marker_position = (0.5, 0.0, float(desired[0]))

    def sample_initial_state(self, rng, scale, command):
        return InitialState(tool_position=self.sample_tool(rng), desired_goal=(rng.uniform(0.35, 0.4),))

    def observe(self, simulation, robot, tool, desired, command):
        return TaskObservation(values=(float(desired[0]),), achieved_goal=(tool.position[2],))

    def evaluate(self, achieved, desired):
        return {"is_success": np.abs(achieved[..., 0] - desired[..., 0]) <= 0.01}

    def progress(self, achieved, desired):
        return 0.1 / (0.1 + np.abs(achieved[..., 0] - desired[..., 0]))

    def goal_features(self, features, desired):
        return {"goal/height": np.asarray(desired, dtype=np.float64)}


gym.register("Hover-v0", entry_point="lam_envs.env:ManipulationEnv", max_episode_steps=40, kwargs={"task": Hover()})
env = gym.make("Hover-v0", robot="xarm6")
env.reset(seed=0)
for _ in range(40):
    tool, goal = (env.unwrapped.features()[name][-1] for name in ("tool/position", "goal/height"))
    info = env.step(np.clip([0, 0, (goal - tool) / 0.02, 0], -1, 1))[-1]
print("success:", bool(info["is_success"]))
