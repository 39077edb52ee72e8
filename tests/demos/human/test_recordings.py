"""Real recordings: shape, rate, gaps, hand and order of points, written down from the files' own documentation.

The recordings are not in the repository. ``LAM_ENVS_RECORDINGS`` names a folder with them; without it the tests are
skipped:

- openpose.pose, mediapipe.pose: sign-language-processing/pose, src/python/tests/data (MIT). Numbers of pose-format.
- freebvh.bvh: 20tab/bvh-python, tests (MIT). Numbers of its text.
- aria_*.csv: facebookresearch/projectaria_tools, data/gen1/mps_sample/hand_tracking (Apache-2.0). Numbers of its
  text; the documentation of MPS hand tracking has the order: tips 0 to 4, wrist 5, center of the palm 20.
- ep0.npz, ep2.npz: Improbable-AI/VisionProTeleop, assets/mujoco_demos/logs (MIT). Numbers of numpy.load.
- human_hand_video.mp4: dexsuite/dex-retargeting, example/vector_retargeting/data (MIT).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from demos.human.readers import RecordingError, read_tracks
from demos.human.track import HandTrack
from demos.human.video import frames_of, track_video

GIVEN = os.environ.get("LAM_ENVS_RECORDINGS")
FOLDER = Path(GIVEN or "")
# A given folder that does not exist is an error.
pytestmark = pytest.mark.skipif(not GIVEN, reason="set LAM_ENVS_RECORDINGS to the folder of the recordings")
Place = tuple[int, int]
"""Frame and point."""


class Expected(NamedTuple):
    frames: int
    rate: float
    seen: int
    gaps: list[tuple[float, float]]
    points: dict[Place, tuple[float, ...]]
    """Coordinates of some points: pixels or meters."""
    size: dict[Place, float] = {}  # noqa: RUF012  (never changed)
    """Length of some bones, from a point to the next, meters."""


NONE: list[tuple[float, float]] = []
EXPECTED: dict[str, dict[str, Expected]] = {
    # 93 frames at 24 Hz; the left hand has a confidence above 0 from frame 29 to frame 77.
    "openpose.pose": {
        "left": Expected(
            93, 24.0, 49, [(0.0, 29 / 24), (77 / 24, 92 / 24)],
            {(53, 0): (206.941, 165.383), (53, 4): (225.767, 136.131), (53, 8): (185.509, 125.705),
             (53, 20): (166.973, 157.274)},
        ),
        "right": Expected(
            93, 24.0, 93, NONE,
            {(46, 0): (98.306, 173.019), (46, 4): (116.842, 145.362), (46, 8): (119.196, 128.592),
             (46, 20): (123.021, 160.661)},
        ),
    },
    # The left hand is in the header, and in no frame.
    "mediapipe.pose": {
        "right": Expected(
            170, 24.0, 145, [(0.0, 9 / 24), (153 / 24, 169 / 24)],
            {(81, 0): (390.004, 642.018), (81, 4): (252.543, 499.376), (81, 8): (360.388, 351.382),
             (81, 20): (472.411, 548.410)},
        )
    },
    # Frame Time: 0.0333333. Lengths of OFFSET in centimeters; the fingers do not move.
    "freebvh.bvh": {
        "left": Expected(
            69, 30.0, 69, NONE, {},
            {(0, 9): np.hypot(np.hypot(3.6093, 0.1669), 0.0778) / 100,
             (5, 6): np.hypot(np.hypot(3.3346, 0.7374), 0.0133) / 100,
             (68, 17): np.hypot(np.hypot(4.1236, 0.3047), 0.1212) / 100,
             (68, 2): np.hypot(np.hypot(3.4086, 1.7658), 2.1133) / 100},
        ),
        "right": Expected(69, 30.0, 69, NONE, {}, {(0, 9): np.hypot(np.hypot(3.6093, 0.1669), 0.0778) / 100}),
    },
    # Rows 1 to 3 of the left hand and rows 2, 3 and 5 of the right one have a positive confidence.
    "aria_hand_tracking_results_v2.csv": {
        "left": Expected(8, 5.0, 3, [(0.2, 53.591), (53.591, 54.591)], {}),
        "right": Expected(
            8, 5.0, 3, [(0.0, 0.2), (0.2, 53.591), (53.591, 53.991), (53.991, 54.591)],
            {(1, 4): (0.105845,), (1, 0): (0.176111,), (2, 4): (0.158504,), (2, 0): (0.271355,)},
        ),
    },
    "aria_wrist_and_palm_poses.csv": {
        "right": Expected(
            122, 10.0, 6, [(0.0, 10.9), (11.4, 12.1)], {(109, 0): (0.244013, -0.300027, -0.120015)}
        )
    },
    # 100 Hz in its README; the fingers begin 0.04 m from their middle.
    "ep0.npz": {"right": Expected(5190, 100.0, 5190, NONE, {})},
    "ep2.npz": {"right": Expected(2608, 100.0, 2608, NONE, {})},
}  # fmt: skip


def agrees(track: HandTrack, expected: Expected) -> None:
    assert len(track.times) == expected.frames
    assert track.rate == pytest.approx(expected.rate, rel=1e-3)
    assert int(track.seen.sum()) == expected.seen
    np.testing.assert_allclose(np.array(track.gaps).ravel(), np.array(expected.gaps).ravel(), atol=2e-3)
    for (frame, point), position in expected.points.items():
        np.testing.assert_allclose(track.points[frame, point, : len(position)], position, atol=1e-3)
    for (frame, point), length in expected.size.items():
        bone = track.points[frame, point + 1] - track.points[frame, point]
        assert np.linalg.norm(bone) == pytest.approx(length, abs=1e-5)


@pytest.mark.parametrize("name", EXPECTED)
def test_real_recordings_have_the_shape_rate_gaps_hand_and_order_of_their_documentation(name: str) -> None:
    tracks = {track.hand: track for track in read_tracks(FOLDER / name)[1]}
    assert sorted(tracks) == sorted(EXPECTED[name])
    for hand, expected in EXPECTED[name].items():
        agrees(tracks[hand], expected)


@pytest.mark.parametrize(("name", "cube"), [("ep0.npz", (0.56, -0.033, 0.05)), ("ep2.npz", (0.475, -0.028, 0.05))])
def test_logs_of_a_panda_have_the_opening_of_the_fingers_and_the_cube(name: str, cube: tuple[float, ...]) -> None:
    (track,) = read_tracks(FOLDER / name)[1]
    assert track.aperture[0] == pytest.approx(0.08, abs=1e-3)
    np.testing.assert_allclose(track.objects["object"][0], cube, atol=1e-3)


@pytest.mark.parametrize("name", ["human_hand_video.mp4", "sign_test_video.mp4"])
def test_videos_are_sent_to_track(name: str) -> None:
    with pytest.raises(RecordingError, match="a video; find the hands in it first"):
        read_tracks(FOLDER / name)


@pytest.mark.slow  # MediaPipe looks at 621 frames
def test_a_real_hand_is_found_in_nearly_all_frames_of_its_video() -> None:
    (track,) = track_video(frames_of(FOLDER / "human_hand_video.mp4"), hand="right")
    assert len(track.times) == 621
    assert track.image_size == (1280, 720)
    assert track.seen.sum() >= 600
