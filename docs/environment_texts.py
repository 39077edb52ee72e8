"""Sections of the page on environments that people write; the tables between them are made from the code."""

from __future__ import annotations

from lam_envs.bullet.cameras import CAMERAS

ENVIRONMENTS = f"""# Environments

*Written by `make docs` from the docstrings and spaces of the code.*

`import lam_envs` registers the ids. `gym.make("lam_envs:LamGrasp-v0")` imports it automatically: use this form where
another process makes the environment, such as spawned workers of an `AsyncVectorEnv` or a `SubprocVecEnv`.
`gym.make_vec("LamGrasp-v0", ...)` needs no prefix.

`gym.make_vec("LamGrasp-v0", num_envs=16)` makes a `lam_envs.vector.ParallelVectorEnv`: one process for each core
(`num_workers=`) steps a part of the environments. Its interface is that of Gymnasium's vector environments, with all
autoreset modes (`autoreset_mode="SameStep"`), and its episodes are those of single environments with the same seeds,
bit for bit. It takes no `wrappers=`: for them use `vectorization_mode="async"`, or `ParallelVectorEnv` with functions
that make wrapped environments. For your own ids, register `vector_entry_point="lam_envs.vector:MyTask-v0"`. With
Gymnasium 0.29 add `vectorization_mode="custom"`, and give all keywords in `vector_kwargs={{...}}`.

Every id is the class `ManipulationEnv` with other keyword arguments. Control runs at 20 Hz of simulated time, physics
at 240 Hz. Episodes have a fixed length: success ends them only with `terminate_on_success=True`. Evaluate an episode
by `info["is_success"]` at its last step.

The render modes are `rgb_array`, `depth_array` (meters) and `human` (a window). The cameras are
{", ".join(f"`{name}`" for name in CAMERAS)}. Rendering takes about 0.15 s per image on a CPU.

Episodes are deterministic: the same seed and actions give the same observations, rewards and infos, bit for bit, in
any process and after any other episodes. `env.unwrapped.get_state()` returns an array from which `set_state`
continues exactly.

## Tasks

"""
SPACES = """

## Actions and observations

Actions of the default control, `control="ee"`, move the tool along the axes of the world, and set the opening
of the gripper:

{actions}

Numbers outside of [-1, 1] are clipped. `ee_yaw` also turns the hand, `joint` moves the joints, and `discrete` has 21
fixed actions.

A `state` observation is a vector of features that are centered and scaled to about [-1, 1]. `layout` names its parts
and converts it to physical units. `features()` returns the exact values, without sensor noise:

```python
import gymnasium as gym

import lam_envs

env = gym.make("LamGrasp-v0")
observation, info = env.reset(seed=0)
layout = env.unwrapped.layout
print(layout)  # names and indices of all features
print(observation[layout["object/position"].slice])  # scaled
print(layout.decode(observation)["object/position"])  # meters
print(env.unwrapped.features()["object/position"])  # meters, without noise
env.close()
```

`info` has `is_success` and flags that explain it. `make docs` builds a page of each task, with all features, and
pages of controls, robots and randomization.
"""
CAMERA_MATRICES = """

## Point clouds from depth

`env.unwrapped.camera_matrices()` returns the current 3x3 intrinsics and 4x4 pose of every camera, including
randomized cameras and the camera on the hand. The convention is OpenCV's: x points right in the image, y down, z
forward, and the pose transforms points from the camera's frame to the world's. For images of `render()` pass their
size, `camera_matrices(480, 480)`. In a vector environment use `envs.call("camera_matrices")`.

```python
import gymnasium as gym
import lam_envs
import numpy as np

CAMERAS = ("front", "overview", "side", "wrist")
env = gym.make("LamStackPixels-v0", cameras=CAMERAS, depth=True, randomize="visual")
observation, info = env.reset(seed=0)
clouds = []
for name, (intrinsics, pose) in env.unwrapped.camera_matrices().items():
    depth = observation[f"{name}_depth"]  # (height, width, 1), meters
    rows, columns = np.indices(depth.shape[:2])
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    points = depth * (pixels @ np.linalg.inv(intrinsics).T)  # in the camera's frame
    clouds.append((points @ pose[:3, :3].T + pose[:3, 3]).reshape(-1, 3))  # in the world
cloud = np.concatenate(clouds)
print(cloud.shape, (np.abs(cloud[:, 2]) < 0.001).mean())  # the table's top is the plane z = 0
env.close()
```
"""
INSTRUCTIONS = """

## Instructions

Every episode has an instruction in plain English. The seed selects one of the task's sentences. In tasks with several
commands, such as `LamDrawer-v0` (open or close), only the instruction specifies the goal. `instruct=True` adds it to
the observation as UTF-8 bytes, since Stable-Baselines3, Minari and several trainers do not support text
observations:

```python
import gymnasium as gym
import lam_envs

env = gym.make("LamDrawer-v0", instruct=True)
observation, info = env.reset(seed=0)
print(lam_envs.decode_instruction(observation["instruction"]), observation["state"].shape)
observation, info = env.reset(seed=0, options={"instruction": "open the drawer"})
assert lam_envs.decode_instruction(info["instruction"]) == env.unwrapped.instruction == "open the drawer"
```

`paraphrases="held-out"` selects sentences with words that no training sentence contains, to measure generalization.
`paraphrases="known-words"` (only in `LamTable-v0`) selects other sentences that consist of words of the training
sentences. `env.unwrapped.command` is the command as integers: for experts, not for agents. Datasets hold the
instruction of each episode, and exports to LeRobot have it as `task`.

`LamTable-v0` has 123 commands in one scene. With `chain=5`, an episode has five of them: the next instruction comes
when a command is done, and `info["completed"]` counts them:

```python
import gymnasium as gym
import lam_envs

env = gym.make("LamTable-v0", commands=["lift", "open", "close"], chain=5, instruct=True)
observation, info = env.reset(seed=0)
print(lam_envs.decode_instruction(observation["instruction"]), info["completed"], env.spec.max_episode_steps)
```

Its time limit is 200 steps for each command, or those of the keyword `steps_per_command`. `max_episode_steps` of
`gym.make` can only shorten it.

"""

RESET_OPTIONS = """

## Reset options

The seed determines the initial state. The options of `reset` set parts of it for one episode, in physical units:

```python
import gymnasium as gym
import lam_envs

env = gym.make("LamPickPlaceGoal-v0")
goal = [0.5, 0.1, 0.02, 0.08, 1.0, 0.0]
cube = [0.45, -0.1, 0.02, 0.0, 0.0, 0.0, 1.0]
observation, info = env.reset(seed=0, options={"goal": goal, "poses": {"object": cube}})
assert abs(observation["desired_goal"] - goal).max() < 1e-6
```

The seed determines the rest. The same seed and options give the same episode, and options do not change later
episodes. Objects start at rest, except on the conveyor belt. Objects whose poses overlap are pushed apart by the
physics engine. An unknown option or an invalid value raises `ValueError`, and the environment stays as it was.

"""
PANDA_GYM = """
## Coming from panda-gym

| panda-gym | lam-envs |
|---|---|
| `PandaReach-v3` | `LamReachGoal-v0` |
| `PandaPush-v3` | `LamPushGoal-v0` |
| `PandaPickAndPlace-v3` | `LamPickPlaceGoal-v0` |
| `PandaStack-v3` | `LamStackGoal-v0` |
| `PandaSlide-v3`, `PandaFlip-v3` | none |
| `PandaReachDense-v3`, `reward_type="dense"` | `gym.make("LamReachGoal-v0", reward="dense")` |
| `PandaReachJoints-v3`, `control_type="joints"` | `gym.make("LamReachGoal-v0", control="joint")` |
| `renderer="OpenGL"` | `renderer="egl"` |
| `render_distance`, `render_yaw`, `render_pitch` and so on | `camera`, such as `"front"` or `"side"` |

Observations are dicts of `observation`, `achieved_goal` and `desired_goal`, and `compute_reward` takes batches:
hindsight experience replay works as with panda-gym. These are the differences:

- **Episodes** have a fixed length. panda-gym ends them at success: for that, set `terminate_on_success=True`.
- **Success** is stricter. In Reach, the tool must be within 2 cm of the goal (5 cm in panda-gym), and slow.
- **Goals** contain what success depends on, such as the speed of the tool. The page of a task lists their numbers.
- **Actions** have four numbers in all of these tasks: also the opening of the gripper in Reach and Push, where
  panda-gym has three. Control runs at 20 Hz (25 Hz in panda-gym).
- **Observations** are scaled; `env.unwrapped.layout` converts them to meters.
- **Dense rewards** are in [-1, 1] instead of minus the distance; sparse ones are 0 and -1 in both.
"""
