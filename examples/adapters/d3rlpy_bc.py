"""d3rlpy: train its behavior cloning on demonstrations, and evaluate it like an agent of lam-envs.

Usage: python d3rlpy_bc.py --env-id LamGrasp-v0 --demonstrations 100 --updates 6000
"""

import argparse

import d3rlpy
import gymnasium as gym
import numpy as np

import agents
import demos


class D3rlpyAgent:
    """Adapter: d3rlpy predicts for batches, lam-envs asks for one action."""

    def __init__(self, learner):
        self.learner = learner

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.learner.predict(observation[None])[0], state


def replay_buffer(dataset):
    """Return the episodes of a Minari dataset as d3rlpy stores them."""
    episodes = [
        d3rlpy.dataset.Episode(
            np.asarray(episode.observations[:-1]),
            episode.actions,
            episode.rewards[:, None].astype(np.float32),
            bool(episode.terminations[-1]),
        )
        for episode in dataset.iterate_episodes()
    ]
    return d3rlpy.dataset.create_infinite_replay_buffer(episodes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="LamGrasp-v0")
    parser.add_argument("--demonstrations", type=int, default=100)
    parser.add_argument("--updates", type=int, default=6_000)
    options = parser.parse_args()

    d3rlpy.seed(0)
    dataset = demos.collect(options.env_id, episodes=options.demonstrations, seed=0)
    learner = d3rlpy.algos.BCConfig(batch_size=256, learning_rate=1e-3).create(device=False)
    learner.fit(
        replay_buffer(dataset),
        n_steps=options.updates,
        n_steps_per_epoch=min(options.updates, 1_000),
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )
    env = gym.make(options.env_id)
    result = agents.evaluate(D3rlpyAgent(learner), env, seeds=range(1000, 1050))
    print(f"success rate: {result.success_rate:.0%}")
