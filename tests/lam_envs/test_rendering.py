"""Images show the scene and do not change it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from demos.experts import make_expert

from ..conftest import Make
from .traces import contact_rich_actions, fingerprint


def test_an_image_has_the_size_asked_for_and_shows_something(make: Make) -> None:
    env = make("LamGrasp-v0", render_mode="rgb_array", render_width=160, render_height=120)
    env.reset(seed=0)
    image: Any = env.render()
    assert image.shape == (120, 160, 3)
    assert image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50


def test_the_cube_is_seen_where_it_lies(make: Make) -> None:
    env = make("LamGrasp-v0", render_mode="rgb_array", render_width=120, render_height=120)
    red_at = []
    for seed in (1, 2, 3):
        env.reset(seed=seed)
        image: Any = env.render()
        red = (image[..., 0] > 120) & (image[..., 1] < 70) & (image[..., 2] < 70)
        assert red.any()
        red_at.append(np.argwhere(red).mean(axis=0).tolist())
    assert len({tuple(place) for place in red_at}) == 3


def test_the_wrist_camera_moves_with_the_hand(make: Make) -> None:
    env = make("LamGrasp-v0", render_mode="rgb_array", camera="wrist", render_width=64, render_height=64)
    expert = make_expert(env)
    observation, info = env.reset(seed=3)
    while not info["is_held"]:
        observation, *_, info = env.step(expert.predict(observation)[0])
    held: Any = env.render()
    for _ in range(12):
        observation, *_, info = env.step(expert.predict(observation)[0])
    lifted: Any = env.render()
    assert info["is_success"]
    # The held cube stays where it is in the image, while the table sinks.
    red = [(image[..., 0] > 100) & (image[..., 1] < 70) for image in (held, lifted)]
    assert red[0].sum() > 50
    assert (red[0] & red[1]).sum() > 0.7 * red[0].sum()


def test_depth_is_in_meters(make: Make) -> None:
    env = make("LamGrasp-v0", render_mode="depth_array", camera="front", render_width=64, render_height=64)
    env.reset(seed=0)
    depth: Any = env.render()
    assert depth.shape == (64, 64)
    assert depth.dtype == np.float32
    # The camera is 1.5 m from the middle of the scene.
    assert 0.8 < float(np.median(depth)) < 3.0
    assert depth.min() > 0.5


def test_rendering_changes_nothing_in_an_episode(make: Make) -> None:
    seen, unseen = (
        make("LamGrasp-v0", render_mode="rgb_array", render_width=32, render_height=32),
        make("LamGrasp-v0"),
    )
    actions = contact_rich_actions(unseen, 6, 12)
    seen.reset(seed=6)
    unseen.reset(seed=6)
    for action in actions:
        seen.render()
        assert fingerprint(list(seen.step(action))) == fingerprint(list(unseen.step(action)))


def test_equal_states_give_equal_images(make: Make) -> None:
    env = make("LamReach-v0", render_mode="rgb_array", render_width=48, render_height=48)
    images = []
    for _ in range(2):
        env.reset(seed=8)
        images.append(env.render())
        env.reset(seed=9)
    np.testing.assert_array_equal(images[0], images[1])


def test_a_window_without_a_display_says_what_to_do(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    env = make("LamReach-v0", render_mode="human")
    with pytest.raises(RuntimeError, match=r"no display .* render_mode='rgb_array'"):
        env.reset(seed=0)


WINDOW = """
import gymnasium as gym, numpy as np
env = gym.make("LamReach-v0", render_mode="human")
plain = gym.make("LamReach-v0")
env.reset(seed=0); plain.reset(seed=0)
for _ in range(5):
    action = np.full(4, 0.5, dtype=np.float32)
    assert (env.step(action)[0] == plain.step(action)[0]).all()
env.close()
"""


@pytest.mark.slow
def test_a_window_opens_and_shows_the_same_episode() -> None:
    assert shutil.which("xvfb-run"), "this test needs a virtual display: install xvfb"
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    subprocess.run(["xvfb-run", "-a", sys.executable, "-c", WINDOW], check=True, timeout=120, env=environment)


SECOND_WINDOW = """
import multiprocessing
import gymnasium as gym
import lam_envs

def refused():
    try:
        gym.make("LamReach-v0", render_mode="human").reset(seed=0)
    except RuntimeError as error:
        return "one window in a process" in str(error)
    return False

env = gym.make("LamReach-v0", render_mode="human")
env.reset(seed=0)
assert refused()
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.apply_async(refused).get(60)
env.step(env.action_space.sample())
env.close()
gym.make("LamReach-v0", render_mode="human").reset(seed=0)
"""


@pytest.mark.slow
def test_a_second_window_of_a_process_is_refused() -> None:
    assert shutil.which("xvfb-run"), "this test needs a virtual display: install xvfb"
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    subprocess.run(["xvfb-run", "-a", sys.executable, "-c", SECOND_WINDOW], check=True, timeout=240, env=environment)
