"""Train behavior cloning (BC) on demonstrations and save the policy."""

import gymnasium as gym

import agents
import demos
import lam_envs  # noqa: F401  (registers the ids)

ENV_ID = "LamReach-v0"

dataset = demos.collect(ENV_ID, episodes=20, seed=0)
env = gym.make(ENV_ID)
agent = agents.make("bc", env, hidden_sizes=(128, 128))  # keywords are settings of the agent
agent.learn(dataset, env, seed=0, budget=20)  # 20 epochs
agent.save("runs/bc-reach")  # weights as safetensors, everything else as JSON
env.close()
print("saved runs/bc-reach")
