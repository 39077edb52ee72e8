"""Make an environment, run an episode with random actions and save its last image."""

import gymnasium as gym
from PIL import Image

import lam_envs  # noqa: F401  (registers the ids)

env = gym.make("LamGrasp-v0", robot="panda", randomize="visual", render_mode="rgb_array")
observation, info = env.reset(seed=0)
env.action_space.seed(0)

episode_return, over = 0.0, False
while not over:
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    episode_return += reward
    over = terminated or truncated

features = env.unwrapped.features()  # named parts of the observation, in physical units
print(f"return {episode_return:.2f}, success {bool(info['is_success'])}, cube at {features['object/position']}")
Image.fromarray(env.render()).save("grasp.png")
env.close()
