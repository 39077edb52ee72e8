"""A BC policy becomes the policy of PPO and SAC, acts there as before, and learns on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
import demos
from agents.rl.finetuning import add_demonstrations_to_buffer, ppo_from, sac_from
from demos.datasets.reading import episodes_of

from ..conftest import Make


def trained(env_id: str, env: Any, root: Path, **settings: Any) -> Any:
    agent = agents.make("bc", env, batch_size=32, hidden_sizes=[32, 32], **settings)
    agent.learn(demos.collect(env_id, episodes=4, root=root), env, seed=0, budget=3)
    return agent


def observations(env: Any) -> list[Any]:
    return [env.reset(seed=seed)[0] for seed in range(5)]


@pytest.mark.parametrize(
    "env_id",
    [
        "LamReachGoal-v0",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("LamReach-v0", "LamReachDiscrete-v0")),
    ],
)
def test_ppo_acts_as_the_bc_policy_and_learns_on(env_id: str, make: Make, tmp_path: Path) -> None:
    env = make(env_id)
    agent = trained(env_id, env, tmp_path)
    model = ppo_from(agent, env, n_steps=80, batch_size=40, n_epochs=1, device="cpu")
    for observation in observations(env):
        np.testing.assert_array_equal(
            model.predict(observation, deterministic=True)[0], agent.predict(observation, deterministic=True)[0]
        )
    before = torch.cat([values.flatten() for values in model.policy.parameters()]).clone()
    model.learn(80)
    assert not torch.equal(before, torch.cat([values.flatten() for values in model.policy.parameters()]))


@pytest.mark.parametrize("env_id", [pytest.param("LamReach-v0", marks=pytest.mark.slow), "LamReachGoal-v0"])
def test_sac_acts_as_the_bc_policy_has_the_demonstrations_and_learns_on(
    env_id: str, make: Make, tmp_path: Path
) -> None:
    env = make(env_id)
    agent = trained(env_id, env, tmp_path)
    model = sac_from(agent, env, buffer_size=1000, learning_starts=0, device="cpu")
    for observation in observations(env):
        np.testing.assert_allclose(
            model.predict(observation, deterministic=True)[0],
            agent.predict(observation, deterministic=True)[0],
            atol=1e-6,
        )
    dataset = demos.collect(env_id, episodes=4, root=tmp_path)
    assert add_demonstrations_to_buffer(model, dataset) == dataset.total_steps
    drawn = model.replay_buffer.sample(64)  # type: ignore[union-attr]
    rewards = np.concatenate([episode.rewards for episode in dataset.iterate_episodes()])
    assert np.isin(drawn.rewards.numpy(), rewards.astype(np.float32)).all()
    # The time limit is no end of the task.
    assert float(drawn.dones.max()) == 0.0
    model.learn(20)
    assert model.num_timesteps == 20


def test_policies_that_sac_cannot_start_from_are_refused(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    with pytest.raises(ValueError, match="train bc with squash=true"):
        sac_from(agents.make("bc", env, squash=False), env)
    discrete = make("LamReachDiscrete-v0")
    with pytest.raises(ValueError, match="train bc with squash=true"):
        sac_from(agents.make("bc", discrete), discrete)


def test_rewards_in_the_buffer_belong_to_the_executed_actions(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    noisy = demos.collect("LamReach-v0", episodes=1, demonstrator="noisy", root=tmp_path)
    model = sac_from(agents.make("bc", env, hidden_sizes=[8]), env, buffer_size=100, device="cpu")
    added = add_demonstrations_to_buffer(model, noisy)
    (episode,) = episodes_of(noisy)
    assert not np.allclose(episode.actions, episode.executed_actions, atol=0.01)
    buffer: Any = model.replay_buffer
    actions = model.policy.unscale_action(buffer.actions[:added, 0])
    np.testing.assert_allclose(actions, episode.executed_actions, atol=1e-6)


def test_demonstrations_with_images_are_added_as_the_model_sees_them(make: Make, tmp_path: Path) -> None:
    small = {"image_width": 24, "image_height": 28}
    env = make("LamReachPixels-v0", **small)
    shown = demos.collect("LamReachPixels-v0", episodes=1, env_kwargs=small, root=tmp_path)
    model = sac_from(agents.make("bc", env, hidden_sizes=[8]), env, buffer_size=100, device="cpu")
    added = add_demonstrations_to_buffer(model, shown)
    (episode,) = episodes_of(shown)
    buffer: Any = model.replay_buffer
    images = buffer.observations["front"][:added, 0].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(images, episode.observations["front"][:-1])
