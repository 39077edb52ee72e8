"""Pixel observations: their content, and that they do not change episodes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet
import pytest
from gymnasium import spaces

from demos.experts import make_expert
from lam_envs.bullet.cameras import CAMERAS, Camera
from lam_envs.bullet.geometry import Frame
from lam_envs.bullet.simulation import Detail, Simulation
from lam_envs.observation import ROBOT_KEY
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from lam_envs.scene.scene import FLOOR_CENTER, FLOOR_COLOR, FLOOR_SIZE, TABLE_CENTER, TABLE_COLOR, TABLE_SIZE

from ..conftest import Make
from .traces import contact_rich_actions, fingerprint, play

TOOL = Frame((0.5, 0.0, 0.25), (1.0, 0.0, 0.0, 0.0))
"""Pose of a tool that points down."""
SMALL = {"image_width": 40, "image_height": 32}
PIXEL_IDS = [env_id(task, "Pixels") for task in TASKS]


def depth_of_level(camera: Camera, height: float, row: int, column: int, size: int) -> float:
    """Return the depth of a horizontal plane in meters, from the ray of each pixel."""
    eye, target = np.array(camera.eye), np.array(camera.target)
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, camera.up)
    right /= np.linalg.norm(right)
    slope = 2.0 * np.tan(np.radians(camera.field_of_view) / 2) / size
    ray = forward + slope * ((column - size / 2) * right + (size / 2 - 1 - row) * np.cross(right, forward))
    return float((height - eye[2]) / ray[2])


def shows(image: npt.NDArray[np.uint8], channel: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the pixels that are red (0), green (1) or blue (2)."""
    others = [image[..., other].astype(int) for other in range(3) if other != channel]
    seen: npt.NDArray[np.bool_] = (image[..., channel] > 1.5 * others[0]) & (image[..., channel] > 1.5 * others[1])
    return seen


@pytest.mark.parametrize("name", PIXEL_IDS)
def test_every_task_has_pixels(make: Make, name: str) -> None:
    env = make(name)
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"front", "wrist", ROBOT_KEY}
    for _ in range(3):
        assert env.observation_space.contains(observation)
        for camera in ("front", "wrist"):
            assert observation[camera].shape == (84, 84, 3)
            assert observation[camera].dtype == np.uint8
            assert observation[camera].flags.c_contiguous
        observation, *_ = env.step(env.action_space.sample())


def test_cameras_sizes_and_depth_are_those_asked_for(make: Make) -> None:
    env = make("LamGraspPixels-v0", cameras=["side", "overview"], image_width=40, image_height=24, depth=True)
    observation, _ = env.reset(seed=0)
    assert isinstance(env.observation_space, spaces.Dict)
    assert set(env.observation_space) == {"side", "overview", "side_depth", "overview_depth", ROBOT_KEY}
    assert env.observation_space.contains(observation)
    assert observation["side"].shape == (24, 40, 3)
    assert observation["side_depth"].shape == (24, 40, 1)
    assert observation["side_depth"].dtype == np.float32
    assert not np.array_equal(observation["side"], observation["overview"])


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        (["top"], "unknown name in cameras 'top'; expected one of front, overview, side, wrist"),
        ("front", "cameras is 'front'; expected a list of names"),
        ([], "expected a list of names"),
        (["front", "front"], "expected unique names"),
    ],
)
def test_bad_cameras_are_refused(make: Make, cameras: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("LamReachPixels-v0", cameras=cameras)


@pytest.mark.parametrize("name", PIXEL_IDS)
def test_where_the_objects_are_is_only_seen(make: Make, name: str) -> None:
    env: Any = make(name)
    observation, _ = env.reset(seed=0)
    assert all(feature.split("/")[0] in ("tool", "gripper") for feature in env.unwrapped.layout)
    assert observation[ROBOT_KEY].shape == (env.unwrapped.layout.size,)


@pytest.mark.parametrize("detail", ["fast", "full"])
def test_depth_is_the_distance_to_the_table(make: Make, detail: Detail) -> None:
    if detail == "fast":
        env = make("LamReachPixels-v0", cameras=["front"], depth=True)
        depth = env.reset(seed=0)[0]["front_depth"][..., 0]
    else:
        env = make("LamReach-v0", render_mode="depth_array", camera="front", render_width=84, render_height=84)
        env.reset(seed=0)
        depth = env.render()
    for row, column in ((60, 42), (75, 42), (75, 10), (75, 75)):
        expected = depth_of_level(CAMERAS["front"], 0.0, row, column, 84)
        assert depth[row, column] == pytest.approx(expected, abs=0.001), (row, column)
    # In the far corner the floor, 40 cm below.
    assert depth[10, 80] == pytest.approx(depth_of_level(CAMERAS["front"], -0.4, 10, 80, 84), abs=0.005)


@pytest.fixture
def simulations() -> Iterator[list[Simulation]]:
    made = [Simulation("fast"), Simulation("fast")]
    yield made
    for simulation in made:
        simulation.close()


@pytest.mark.parametrize("name", sorted(CAMERAS))
def test_painted_ground_is_what_the_renderer_would_draw(simulations: list[Simulation], name: str) -> None:
    painted, drawn = simulations
    for add in (painted.add_ground, drawn.add_box):
        add("floor", size=FLOOR_SIZE, position=FLOOR_CENTER, color=FLOOR_COLOR)
        add("table", size=TABLE_SIZE, position=TABLE_CENTER, color=TABLE_COLOR)
    for simulation in simulations:
        simulation.add_box("on it", size=(0.1, 0.2, 0.3), position=(0.5, 0.1, 0.15), color=(0.2, 0.3, 0.9))
        # Half sunk into the table, which hides that half.
        simulation.add_box("in it", size=(0.1, 0.1, 0.1), position=(0.6, -0.1, 0.0), color=(0.9, 0.3, 0.2))
    rng = np.random.default_rng(0)
    for _ in range(5):
        change = rng.uniform(-0.2, 0.2, 3).tolist()
        for simulation in simulations:
            simulation.set_color_offset("table", change)
        keywords: dict[str, Any] = {"light": rng.uniform(-0.6, 0.6, 3).tolist(), "brightness": rng.uniform(0.7, 1.3)}
        camera = CAMERAS[name].shifted(rng.uniform(-0.03, 0.03, 3).tolist(), rng.uniform(-0.02, 0.02, 3).tolist())
        images = [simulation.render_camera(camera, TOOL, 96, 64, **keywords) for simulation in simulations]
        difference = np.abs(images[0].rgb.astype(int) - images[1].rgb)
        # Except the sides of the table, which fast images lack, and the last digit of edges and colors.
        assert (difference.max(axis=2) > 2).mean() < 0.05
        assert (np.abs(images[0].depth - images[1].depth) > 1e-3).mean() < 0.05


def test_looking_does_not_change_the_episode(make: Make) -> None:
    seeing, blind = make("LamPickPlacePixels-v0"), make("LamPickPlace-v0")
    actions = contact_rich_actions(blind, 4, 20)
    size = seeing.observation_space[ROBOT_KEY].shape[0]  # type: ignore[index]
    for seen, felt in zip(play(seeing, 4, actions), play(blind, 4, actions), strict=True):
        assert fingerprint([seen[0][ROBOT_KEY], *seen[1:]]) == fingerprint([felt[0][:size], *felt[1:]])


@pytest.mark.parametrize("randomize", ["none", "full"])
def test_the_same_seed_gives_the_same_pixels_after_other_episodes(make: Make, randomize: str) -> None:
    fresh, used = (make("LamPushPixels-v0", randomize=randomize, depth=True, **SMALL) for _ in range(2))
    actions = contact_rich_actions(fresh, 11, 15)
    for seed in (5, 6):
        list(play(used, seed, actions))
    for new, old in zip(play(fresh, 11, actions), play(used, 11, actions), strict=True):
        assert fingerprint(list(new)) == fingerprint(list(old))


@pytest.mark.parametrize(("task", "first"), [("reach", -4), ("push", -5), ("pick_place", -6)])
def test_the_goal_is_seen(make: Make, task: str, first: int) -> None:
    env: Any = make(env_id(task, "Pixels")).unwrapped
    env.reset(seed=3)
    state = env.physical_state()
    images, features = [], []
    for x, y in ((0.55, -0.2), (0.6, 0.15)):
        # The goal is the end of the state.
        state[first : first + 2] = x, y
        observation, _ = env.set_state(state)
        assert env.features()["goal/position"][:2] == pytest.approx((x, y), abs=1e-6)
        images.append(observation["front"])
        features.append(observation[ROBOT_KEY])
    np.testing.assert_array_equal(features[0], features[1])
    changed = (images[0] != images[1]).any(axis=2)
    assert changed.sum() >= 8
    for image in images:
        assert shows(image, 1).sum() >= 4


@pytest.mark.parametrize("robot", sorted(ROBOTS))
def test_the_wrist_camera_sees_what_the_fingers_hold(make: Make, robot: str) -> None:
    env = make("LamGraspPixels-v0", robot=robot)
    expert = make_expert(env)
    observation, info = env.reset(seed=3)
    while not info["is_success"]:
        observation, *_, info = env.step(expert.predict(observation)[0])
    red = shows(observation["wrist"], 0)
    # In the middle of the lower half, whole: neither at a side nor hidden behind the hand.
    rows, columns = np.nonzero(red)
    assert red.sum() > 200
    assert 30 < columns.mean() < 54
    assert columns.min() > 20
    assert columns.max() < 63
    assert rows.max() < 83
    # The fingers, dark and gray, are on both sides.
    level = observation["wrist"][int(rows.mean())].astype(int)
    for side in (level[columns.min() - 4], level[columns.max() + 4]):
        assert side.max() < 140
        assert np.ptp(side) < 30


def test_visual_variation_changes_pixels_only(make: Make) -> None:
    plain, varied = make("LamStackPixels-v0"), make("LamStackPixels-v0", randomize="visual")
    corners = []
    for seed in range(4):
        same, other = plain.reset(seed=seed)[0], varied.reset(seed=seed)[0]
        np.testing.assert_array_equal(same[ROBOT_KEY], other[ROBOT_KEY])
        assert (same["front"] != other["front"]).mean() > 0.5
        corners.append(tuple(other["front"][-1, -1].tolist()))
    assert len(set(corners)) == 4


EGL = """
import gymnasium as gym, lam_envs
env = gym.make("LamGraspPixels-v0", renderer="egl")
env.reset(seed=1)
"""


def test_without_egl_the_error_says_what_to_do() -> None:
    hidden = {"__EGL_VENDOR_LIBRARY_FILENAMES": os.devnull, "__EGL_VENDOR_LIBRARY_DIRS": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", EGL],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **hidden},
    )
    assert done.returncode == 1
    assert 'RuntimeError: renderer="egl" needs OpenGL' in done.stderr
    assert 'use renderer="tiny"' in done.stderr


def test_egl_draws_the_same_scene_or_says_why_not(make: Make) -> None:
    keywords: dict[str, Any] = {"depth": True, "cameras": ["front", "wrist"]}
    env = make("LamPickPlacePixels-v0", renderer="egl", **keywords)
    try:
        seen, _ = env.reset(seed=3)
    except RuntimeError as trouble:
        assert 'renderer="egl" needs OpenGL' in str(trouble)  # noqa: PT017  (either way is right)
        return
    tiny, _ = make("LamPickPlacePixels-v0", **keywords).reset(seed=3)
    for camera in keywords["cameras"]:
        image, other = seen[camera].astype(int), tiny[camera].astype(int)
        assert np.abs(image - other).mean() < np.abs(image[::-1] - other).mean()
        assert (
            np.abs(np.argwhere(shows(seen[camera], 0)).mean(0) - np.argwhere(shows(tiny[camera], 0)).mean(0)).max()
            < 2
        )
        assert np.median(np.abs(seen[camera + "_depth"] - tiny[camera + "_depth"])) < 0.02
    # From the first image on, after other episodes, and after another start.
    env.reset(seed=5)
    assert fingerprint([env.reset(seed=3)[0]]) == fingerprint([seen])
    env.close()
    assert fingerprint([env.reset(seed=3)[0]]) == fingerprint([seen])


def test_looking_leaves_no_client_behind(make: Make) -> None:
    env: Any = make("LamReachPixels-v0", render_mode="rgb_array", render_width=16, render_height=16)
    env.reset(seed=0)
    env.render()
    viewers = (env.unwrapped._observer._viewer, env.unwrapped._render_viewer)
    clients = [viewer._scene.simulation.client for viewer in viewers]
    env.close()
    assert not any(pybullet.isConnected(client) for client in clients)
