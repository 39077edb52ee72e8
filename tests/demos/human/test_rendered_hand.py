"""MediaPipe finds a hand that PyBullet draws, and its recording gives grasp and release where they were."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NoReturn

import imageio.v2 as imageio
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.recordings.synthetic import Scene, carry_box, hand, look_at
from demos.__main__ import app
from demos.human.calibration.camera import Camera
from demos.human.events import find_events
from demos.human.hand_model import model_path
from demos.human.motion.hand_motion import make_motion
from demos.human.track import HandTrack
from demos.human.video import track_video

from .rendered_hand import RenderedHand

SIZE = (640, 480)
CAMERAS = {
    "front": look_at(np.array([0.02, 0.46, 0.42]), np.array([0.02, -0.1, 0.06]), focal=600.0, size=SIZE),
    "top": look_at(np.array([0.02, -0.13, 0.8]), np.array([0.02, -0.13, 0.0]), focal=720.0, size=SIZE),
}
MOTIONS = (11, 12, 13)
FPS = 20.0


def near(scene: Scene, factor: float = 0.6) -> Scene:
    """Return the scene with shorter ways, so that the hand is large in images and never out of them."""
    pinch = scene.points[:, [4, 8]].mean(axis=1)
    scale = np.array([factor, factor, 1.0])
    points = scene.points + (pinch * (scale - 1))[:, None]
    return Scene(scene.times, points, scene.grasp, scene.release, scene.start * scale, scene.end * scale)


@pytest.fixture(params=CAMERAS)
def drawing(request: pytest.FixtureRequest) -> Iterator[tuple[Camera, RenderedHand]]:
    camera = CAMERAS[request.param]
    hand = RenderedHand(camera)
    yield camera, hand
    hand.close()


@pytest.mark.slow  # draws and searches 250 images in each view
@pytest.mark.timeout(1200)
def test_a_drawn_hand_is_found_and_grasps_and_releases_where_it_did(drawing: tuple[Camera, RenderedHand]) -> None:
    camera, drawn = drawing
    for seed in MOTIONS:
        scene = near(carry_box(np.random.default_rng(seed), FPS))
        track = find(drawn, scene, seed)
        assert track.seen.mean() >= 0.95
        events = find_events(track)
        assert events.grasp is not None, events.reason
        assert events.release is not None
        assert abs(events.grasp - scene.grasp) * FPS <= 5
        assert abs(events.release - scene.release) * FPS <= 5
        motion = make_motion(track, events, camera=camera)
        assert motion.release is not None
        for index, place in ((motion.grasp, scene.start), (motion.release, scene.end)):
            assert np.linalg.norm(motion.points[index] - place) <= 0.015


@pytest.mark.slow  # draws and searches 60 images in each view
@pytest.mark.timeout(600)
def test_a_drawn_hand_that_stays_open_has_no_events(drawing: tuple[Camera, RenderedHand]) -> None:
    _, drawn = drawing
    scene = near(carry_box(np.random.default_rng(14), 15.0))
    pinch = scene.points[:, [4, 8]].mean(axis=1)
    still_open = scene._replace(points=hand(pinch, np.full(len(pinch), 0.09)), grasp=np.inf)
    events = find_events(find(drawn, still_open, 14))
    assert events.grasp is None, events
    assert "give --grasp" in events.reason


@pytest.mark.slow  # draws 4 images, and loads MediaPipe
def test_track_opens_no_connection(
    drawing: tuple[Camera, RenderedHand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> NoReturn:
        tried.append(arguments)
        raise OSError("this test has no network")

    tried: list[object] = []
    assert model_path().is_file(), "this test needs MediaPipe's model: run make hand-model"
    _, drawn = drawing
    frames = islice(drawn.frames(near(carry_box(np.random.default_rng(11), FPS)), np.random.default_rng(11)), 4)
    with imageio.get_writer(tmp_path / "hand.mp4", fps=FPS, macro_block_size=2, quality=9) as writer:
        for frame in frames:
            writer.append_data(frame.image)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    arguments = ["human", "track", str(tmp_path / "hand.mp4"), "--hand", "right", "--out", str(tmp_path / "hand.npz")]
    made = CliRunner().invoke(app, arguments)
    assert made.exit_code == 0, made.output
    assert "right hand in 4 of 4 frames" in made.output
    assert tried == []


def find(drawn: RenderedHand, scene: Scene, seed: int) -> HandTrack:
    assert model_path().is_file(), "this test needs MediaPipe's model: run make hand-model"
    (track,) = track_video(drawn.frames(scene, np.random.default_rng(seed)), hand="right")
    return track
