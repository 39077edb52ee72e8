"""Camera matrices convert depth to points that agree with the scene and with other cameras."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pytest

from demos.experts import make_expert
from lam_envs.bullet.cameras import CAMERAS, CameraMatrices

from ..conftest import Make
from .traces import contact_rich_actions, fingerprint, play

Points = npt.NDArray[np.float64]
CUBE = 0.04
"""Edge of the cube of Grasp, meters."""
EXACT = 0.0005
"""Meters; a pixel of the images here is 5 to 15 mm wide on the table."""


def point_cloud(depth: npt.NDArray[np.float32], matrices: CameraMatrices) -> Points:
    """Return points in world coordinates, shape (height, width, 3)."""
    rows, columns = np.indices(depth.shape)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    points = depth[..., None] * (pixels @ np.linalg.inv(matrices.intrinsics).T)
    return points @ matrices.pose[:3, :3].T + matrices.pose[:3, 3]


def above_the_cube(env: gym.Env[Any, Any], seed: int) -> tuple[Any, dict[str, Any]]:
    """Return observation and info when the expert is over the cube, so that the camera on the hand sees it."""
    expert = make_expert(env)
    observation, info = env.reset(seed=seed)
    while np.linalg.norm(env.unwrapped.features()["object/relative"][:2]) > 0.03:  # type: ignore[attr-defined]
        observation, *_, info = env.step(expert.predict(observation)[0])
    return observation, info


def check_clouds(env: Any, depths: dict[str, npt.NDArray[np.float32]], edge: float) -> None:
    """Check that each camera sees the table's top at height 0, and the cube's faces as the simulation does."""
    height, width = next(iter(depths.values())).shape
    features = env.unwrapped.features()
    x, y = features["object/rotation"][:3], features["object/rotation"][3:]
    turn = np.stack([x, y, np.cross(x, y)], axis=1)
    for name, matrices in env.unwrapped.camera_matrices(width, height).items():
        points = point_cloud(depths[name], matrices)
        on_table = (np.abs(points - (0.4, 0.0, 0.0)) < (0.6, 0.7, 0.01)).all(axis=-1)
        assert on_table.mean() > 0.15, name
        # What else is as low is the base of the robot.
        assert np.quantile(np.abs(points[on_table][:, 2]), 0.95) < EXACT, name
        beside = np.abs((points - features["object/position"]) @ turn).max(axis=-1) - edge / 2
        on_cube = beside[(beside < 0.01) & (points[..., 2] > 0.004)]
        assert on_cube.size >= 5, name
        assert np.abs(on_cube).max() < EXACT, name


@pytest.mark.parametrize(("randomize", "width", "height"), [("none", 84, 84), ("visual", 120, 72), ("full", 64, 96)])
def test_the_point_clouds_of_all_cameras_meet(make: Make, randomize: str, width: int, height: int) -> None:
    env = make(
        "LamGraspPixels-v0",
        cameras=list(CAMERAS),
        depth=True,
        image_width=width,
        image_height=height,
        randomize=randomize,
    )
    observation, info = above_the_cube(env, 3)
    edge = CUBE * info.get("randomization", {}).get("object_size", 1.0)
    check_clouds(env, {name: observation[f"{name}_depth"][..., 0] for name in CAMERAS}, edge)
    observed = env.unwrapped.camera_matrices()  # type: ignore[attr-defined]
    for name, matrices in env.unwrapped.camera_matrices(width, height).items():  # type: ignore[attr-defined]
        np.testing.assert_array_equal(observed[name].intrinsics, matrices.intrinsics)


def test_rendered_depth_has_the_matrices_of_its_size(make: Make) -> None:
    depths = {}
    for name in CAMERAS:
        env = make(
            "LamGrasp-v0", render_mode="depth_array", camera=name, render_width=160, render_height=120, robot="xarm6"
        )
        above_the_cube(env, 3)
        depths[name] = env.render()
    check_clouds(env, depths, CUBE)  # type: ignore[arg-type]


def test_the_camera_on_the_hand_moves_and_the_others_stand(make: Make) -> None:
    env: Any = make("LamReach-v0", randomize="visual").unwrapped
    env.reset(seed=0)
    before = env.camera_matrices()
    for _ in range(5):
        env.step(np.ones(4, dtype=np.float32))
    after = env.camera_matrices()
    moved = [name for name in CAMERAS if not np.array_equal(before[name].pose, after[name].pose)]
    assert moved == ["wrist"]
    travelled = after["wrist"].pose[:3, 3] - before["wrist"].pose[:3, 3]
    assert travelled[2] > 0.03
    # The state has them too, and another episode has others.
    copy: Any = make("LamReach-v0", randomize="visual").unwrapped
    copy.set_state(env.get_state())
    for name, matrices in copy.camera_matrices().items():
        np.testing.assert_allclose(matrices.pose, after[name].pose, atol=1e-9)
    env.reset(seed=1)
    assert all(not np.allclose(env.camera_matrices()[name].pose, after[name].pose, atol=1e-3) for name in CAMERAS)


def test_poses_are_rigid_and_look_where_the_camera_does(make: Make) -> None:
    env: Any = make("LamReach-v0").unwrapped
    env.reset(seed=0)
    for name, (intrinsics, pose) in env.camera_matrices(200, 100).items():
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-6)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
        np.testing.assert_array_equal(pose[3], [0.0, 0.0, 0.0, 1.0])
        assert intrinsics[0, 0] == pytest.approx(intrinsics[1, 1])
        assert intrinsics[0, 0] == pytest.approx(50 / np.tan(np.radians(CAMERAS[name].field_of_view) / 2), rel=1e-6)
    camera, pose = CAMERAS["side"], env.camera_matrices()["side"].pose
    np.testing.assert_allclose(pose[:3, 3], camera.eye, atol=1e-6)
    forward = np.subtract(camera.target, camera.eye)
    np.testing.assert_allclose(pose[:3, 2], forward / np.linalg.norm(forward), atol=1e-6)
    # It looks along y: the world's x is right in its image, and down is down.
    assert pose[0, 0] > 0.99
    assert pose[2, 1] < -0.9


def test_matrices_without_an_episode_or_a_size_are_refused(make: Make) -> None:
    env: Any = make("LamReach-v0").unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.camera_matrices()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="height is 0"):
        env.camera_matrices(10, 0)


def test_reading_matrices_changes_nothing_in_an_episode(make: Make) -> None:
    read, unread = make("LamGrasp-v0"), make("LamGrasp-v0")
    actions = contact_rich_actions(unread, 6, 20)
    for one, other in zip(play(read, 6, actions), play(unread, 6, actions), strict=True):
        read.unwrapped.camera_matrices()  # type: ignore[attr-defined]
        assert fingerprint(list(one)) == fingerprint(list(other))


def test_a_vector_environment_gives_those_of_each_of_its_own() -> None:
    envs = gym.make_vec("LamReach-v0", 2, vectorization_mode="sync", vector_kwargs={}, randomize="visual")
    envs.reset(seed=0)
    first, second = envs.call("camera_matrices")  # type: ignore[attr-defined]
    assert not np.allclose(first["front"].pose, second["front"].pose, atol=1e-3)
    envs.close()
