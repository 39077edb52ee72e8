"""Cameras from rectangles and boards, frames from points, and positions of hands in images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.recordings.synthetic import carry_box, front_camera, look_at, motion_capture, seen_by
from demos.human.calibration.board import BORDER, DOT, DOT_CENTER, HEIGHT, WIDTH, calibrate_board, write_board
from demos.human.calibration.camera import (
    Camera,
    calibrate_rectangle,
    frame_of_points,
    frame_of_up,
    load_camera,
    save_camera,
)
from demos.human.events import Events
from demos.human.motion.hand_motion import make_motion, motion_of_json
from demos.human.readers import read_tracks
from demos.human.track_files import save_track

SHEET = (0.297, 0.21)
CORNERS = np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]) * np.array([*SHEET, 0.0]) / 2
"""Corners of a sheet, clockwise from above."""


@pytest.mark.parametrize("eye", [(0.3, -0.6, 0.5), (-0.2, 0.7, 0.4), (0.5, 0.5, 0.6)])
@pytest.mark.parametrize("focal", [None, 900.0])
def test_four_corners_give_the_camera(eye: tuple[float, ...], focal: float | None) -> None:
    camera = look_at(np.array(eye), np.array([0.05, 0.02, 0.0]), focal=900.0)
    found = calibrate_rectangle(camera.project(CORNERS), SHEET, camera.image_size, focal=focal)
    assert found.intrinsics[0, 0] == pytest.approx(900.0, rel=1e-3)
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (20, 3)) + np.array([0.0, 0.0, 0.2])
    np.testing.assert_allclose(found.project(points), camera.project(points), atol=0.1)


def test_noise_of_a_pixel_moves_points_by_millimeters() -> None:
    camera = front_camera()
    rng = np.random.default_rng(0)
    target = np.array([[0.1, 0.05, 0.02]])
    errors = []
    for _ in range(8):
        corners = camera.project(CORNERS) + rng.standard_normal((4, 2))
        found = calibrate_rectangle(corners, SHEET, camera.image_size)
        depth = found.depth_at_height(camera.project(target), 0.02)
        errors.append(np.linalg.norm(found.at_depth(camera.project(target), depth) - target))
    assert np.median(errors) < 0.005


def test_corners_that_no_camera_sees_are_refused() -> None:
    camera = front_camera()
    corners = camera.project(CORNERS)
    with pytest.raises(ValueError, match="convex quadrilateral"):
        calibrate_rectangle(corners[[0, 2, 1, 3]], SHEET, camera.image_size)
    with pytest.raises(ValueError, match="off by"):
        calibrate_rectangle(corners, (0.21, 0.6), camera.image_size, focal=1000.0)
    above = look_at(np.array([0.0, 0.0, 0.8]), np.zeros(3))
    with pytest.raises(ValueError, match="--focal"):
        calibrate_rectangle(above.project(CORNERS), SHEET, above.image_size)


def test_a_camera_file_is_checked(tmp_path: Path) -> None:
    camera = front_camera()
    path = save_camera(camera, tmp_path / "camera.json")
    np.testing.assert_array_equal(load_camera(path).pose, camera.pose)
    for damage in ('"pose": [[1', '"image_size": 3', "nothing"):
        path.write_text(damage)
        with pytest.raises(ValueError, match="is not the file of a camera"):
            load_camera(path)
    path.write_text("{}")
    with pytest.raises(
        ValueError, match=r"camera\.json is not the file of a camera \(lacks 'format'\); expected the file that"
    ):
        load_camera(path)
    with pytest.raises(FileNotFoundError, match=r"there is no camera file .*none\.json; .*demos human calibrate"):
        load_camera(tmp_path / "none.json")


def draw_board(camera: Camera) -> np.ndarray[Any, Any]:
    """Return an image of the board on a gray table."""
    width, height = camera.image_size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)
    depth = camera.depth_at_height(pixels, 0.0)
    x, y, _ = camera.at_depth(pixels, np.nan_to_num(depth)).T
    # The origin is the center; the first corner, with the dot, is at the left and far.
    u, v = x + WIDTH / 2, HEIGHT / 2 - y
    inside = (u > 0) & (u < WIDTH) & (v > 0) & (v < HEIGHT)
    hole = (u > BORDER) & (u < WIDTH - BORDER) & (v > BORDER) & (v < HEIGHT - BORDER)
    dot = np.hypot(u - DOT_CENTER, v - DOT_CENTER) < DOT / 2
    sheet = (np.abs(x) < 0.1485) & (np.abs(y) < 0.105)
    gray = np.where(sheet, 220.0, 120.0)
    gray[(inside & ~hole) | dot] = 30.0
    gray += 4 * np.random.default_rng(0).standard_normal(len(gray))
    return np.repeat(gray.reshape(height, width, 1), 3, axis=2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("eye", [(0.1, -0.5, 0.4), (-0.3, 0.4, 0.5)])
def test_the_printed_board_gives_the_camera(eye: tuple[float, ...]) -> None:
    camera = look_at(np.array(eye), np.array([0.02, 0.01, 0.0]), focal=600.0, size=(640, 480))
    found = calibrate_board(draw_board(camera))
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 3)) + np.array([0.0, 0.0, 0.1])
    assert np.abs(found.project(points) - camera.project(points)).max() < 6
    target = np.array([[0.1, 0.05, 0.0]])
    seen = camera.project(target)
    assert np.linalg.norm(found.at_depth(seen, found.depth_at_height(seen, 0.0)) - target) < 0.003


def test_an_image_without_a_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the board is not found"):
        calibrate_board(np.full((240, 320, 3), 128, dtype=np.uint8))
    assert "240 x 160 mm" in write_board(tmp_path / "board.svg").read_text()


def test_frames_of_points_and_of_up() -> None:
    transform = frame_of_points([1, 2, 3], [2, 2, 3], [1, 2, 2])
    point = transform @ [1.5, 3.0, 3.0, 1.0]
    np.testing.assert_allclose(point[:3], [0.5, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(frame_of_up([0, 1, 0])[:3, :3] @ [0.0, 1.0, 0.0], [0, 0, 1], atol=1e-12)
    with pytest.raises(ValueError, match="on a line"):
        frame_of_points([0, 0, 0], [1, 0, 0], [2, 0, 0])


def test_grips_in_noisy_images_are_within_millimeters() -> None:
    camera = front_camera()
    errors = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        scene = carry_box(rng)
        motion = make_motion(seen_by(camera, scene, rng), Events(scene.grasp, scene.release, "given"), camera=camera)
        assert motion.release is not None
        errors.append(np.linalg.norm(motion.points[motion.grasp] - scene.start))
        errors.append(np.linalg.norm(motion.points[motion.release] - scene.end))
    assert np.median(errors) < 0.006
    assert np.percentile(errors, 90) < 0.012


def test_a_motion_survives_its_files(tmp_path: Path) -> None:
    scene = carry_box(np.random.default_rng(2))
    track = motion_capture(scene)
    (read,) = read_tracks(save_track(track, tmp_path / "hand.json"))[1]
    np.testing.assert_array_equal(read.points, track.points)
    assert read.up == track.up
    motion = make_motion(track, Events(scene.grasp, scene.release, "given"))
    np.testing.assert_allclose(motion_of_json(motion.as_json()).points, motion.points, atol=1e-4)
    with pytest.raises(ValueError, match="no hand motion"):
        motion_of_json({"format": "other"})
