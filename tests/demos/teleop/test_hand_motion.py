"""Motions that follow from landmarks of a hand: the page's module, in Chromium, so these tests are slow ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import demos.teleop
from tests.browser import Browser, browsing
from tests.demos.human.rendered_hand import KNUCKLES, REST, hand_pose, with_aperture

pytestmark = pytest.mark.slow

Array = np.ndarray[Any, Any]
MODULE = Path(demos.teleop.__file__).with_name("page") / "hand_motion.js"
FOCAL, HEIGHT, DISTANCE = 0.9, 0.75, 0.5
"""Focal length and height of the image in image widths; distance of the camera, meters."""
FPS = 30.0
STEP = 0.05
"""Seconds of a step of the robot."""
SIMULATION = """
(frames, speed, step) => {
  let state = motions.NO_HAND, tool = [0.4, 0, 0.3], due = frames[0].time;
  return frames.map(({ time, landmarks, stepTime }) => {
    state = motions.seeHand(state, landmarks, time, HEIGHT);
    const { gripper } = state;
    let motion = { right: 0, away: 0, up: 0 };
    while (due <= time) {
      const followed = motions.follow(state, tool, stepTime ?? time, speed);
      state = followed.state;
      motion = followed.motion;
      tool = [motion.right, motion.away, motion.up].map((value, axis) => tool[axis] + value * speed * 0.02);
      due += step;
    }
    return { tool, gripper, motion: [motion.right, motion.away, motion.up] };
  });
}
""".replace("HEIGHT", str(HEIGHT))
"""Robot that carries out each motion for a step; the page of a browser would send it."""
OPEN = hand_pose(with_aperture(0.08, REST))


class Result(NamedTuple):
    tool: Array
    """Positions of the tool: right, away, up; meters, shape (T, 3)."""
    motion: Array
    """Motions, shape (T, 3)."""
    gripper: list[str]
    """Commands in order."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        source = json.dumps(f"data:text/javascript,{MODULE.read_text()}".replace("%", "%25").replace("#", "%23"))
        opened.evaluate(f"import({source}).then((module) => {{ globalThis.motions = module; return 1; }})")
        yield opened


def landmarks(points: Array, position: Sequence[float]) -> list[list[float]]:
    """Return what a camera in front of the person sees of a hand: position to the right, to the camera, and up."""
    right, up, away = points_in_view(points, position)
    depth = DISTANCE - away
    z = FOCAL * (depth - depth[0]) / depth[0]
    return np.stack([0.5 - FOCAL * right / depth, 0.5 - FOCAL * up / depth / HEIGHT, z], axis=1).tolist()


def points_in_view(points: Array, position: Sequence[float]) -> Array:
    """Return the coordinates of a hand at a position, whose frame is x right, y to the fingers (up), z to the eye."""
    centered = points - points[[0, 5, 9, 13, 17]].mean(axis=0)
    right, away, up = position
    return (centered + np.array([right, up, away])).T


def run(browser: Browser, frames: list[list[list[float]] | None], *, fps: float = FPS, speed: float = 0.5) -> Result:
    sent = [{"time": number / fps, "landmarks": frame} for number, frame in enumerate(frames)]
    return result(browser.evaluate(f"({SIMULATION})({json.dumps(sent)}, {speed}, {STEP})"))


def result(got: list[dict[str, Any]]) -> Result:
    return Result(
        np.array([each["tool"] for each in got]),
        np.array([each["motion"] for each in got]),
        [each["gripper"] for each in got if each["gripper"]],
    )


def way(start: Sequence[float], end: Sequence[float], seconds: float, fps: float = FPS) -> list[Array]:
    return list(np.linspace(start, end, round(seconds * fps)))


def test_the_palm_has_the_size_of_an_average_hand() -> None:
    palm = np.array([[0.0, 0.0, 0.0], *KNUCKLES[1:]])
    size = np.sqrt(((palm - palm.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert f"PALM_METERS = {size:.3f};" in MODULE.read_text()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("fps", [30.0, 10.0])
def test_the_tool_follows_the_hand_along_each_axis(browser: Browser, axis: int, fps: float) -> None:
    end = np.zeros(3)
    end[axis] = 0.08
    path = [*way((0, 0, 0), end, 2.0, fps), *way(end, end, 1.5, fps)]
    got = run(browser, [landmarks(OPEN, position) for position in path], fps=fps)
    moved = got.tool[-1] - got.tool[0]
    assert moved[axis] == pytest.approx(0.08, rel=0.15)
    assert np.abs(np.delete(moved, axis)).max() < 0.012
    assert np.diff(got.tool[:, axis]).min() > -0.001  # never back
    assert np.abs(got.motion[-1]).max() < 0.01


def test_noise_of_landmarks_does_not_move_the_tool(browser: Browser) -> None:
    rng = np.random.default_rng(0)
    still = np.array(landmarks(OPEN, (0.05, 0, -0.05)))
    frames = [(still + rng.normal(0, 0.002, still.shape)).tolist() for _ in range(150)]
    got = run(browser, frames)
    assert np.linalg.norm(got.tool - got.tool[0], axis=1).max() < 0.008
    assert got.gripper == []


def test_a_lost_hand_stops_the_tool_at_once_and_moves_nothing_when_it_is_elsewhere(browser: Browser) -> None:
    seen = [landmarks(OPEN, position) for position in way((-0.1, 0, 0), (0, 0, 0), 1.0)]
    elsewhere = [landmarks(OPEN, (0.12, 0.05, 0.1))] * 30
    got = run(browser, [*seen, *[None] * 15, *elsewhere])
    assert np.abs(got.motion[len(seen) - 2 : len(seen)]).max() > 0
    assert (got.motion[len(seen) :] == 0).all()
    assert (got.tool[len(seen) :] == got.tool[len(seen)]).all()


def test_a_jump_stops_the_tool_and_moves_nothing(browser: Browser) -> None:
    seen = [landmarks(OPEN, position) for position in way((-0.1, 0, 0), (0, 0, 0), 1.0)]
    got = run(browser, [*seen, *[landmarks(OPEN, (-0.15, 0, 0.1))] * 30])
    assert (got.motion[len(seen) :] == 0).all()
    assert got.gripper == []


def test_after_a_lost_hand_and_a_jump_the_tool_follows_again(browser: Browser) -> None:
    before, between, after = (0, 0, 0), (-0.1, 0, 0), (-0.05, 0, 0)
    frames = [landmarks(OPEN, before)] * 10 + [None] + [landmarks(OPEN, between)] * 10
    frames += [landmarks(OPEN, position) for position in [*way(between, after, 1.0), *way(after, after, 1.0)]]
    got = run(browser, frames)
    assert got.tool[-1][0] - got.tool[0][0] == pytest.approx(0.05, abs=0.01)


def test_a_result_that_is_too_old_does_not_move_the_tool(browser: Browser) -> None:
    frames = [{"time": 0, "landmarks": landmarks(OPEN, (0, 0, 0))}]
    frames += [{"time": 0.05 * n, "landmarks": landmarks(OPEN, (0.002 * n, 0, 0))} for n in range(1, 20)]
    late = [{**frame, "stepTime": frame["time"] + 0.3} for frame in frames]
    moved, still = (
        result(browser.evaluate(f"({SIMULATION})({json.dumps(sent)}, 0.5, {STEP})")) for sent in (frames, late)
    )
    assert np.abs(moved.motion).max() > 0
    assert (still.motion == 0).all()


def test_a_hand_that_is_faster_than_the_robot_slips(browser: Browser) -> None:
    path = [*way((-0.15, 0, 0), (0.15, 0, 0), 0.3), *way((0.15, 0, 0), (0.15, 0, 0), 2.0)]
    got = run(browser, [landmarks(OPEN, position) for position in path], speed=0.25)
    stop = round(0.3 * FPS)
    assert got.tool[-1][0] - got.tool[stop][0] <= 0.033  # five steps of 5 mm, one on its way, and the dead zone
    assert np.linalg.norm(got.motion, axis=1).max() == pytest.approx(1.0)


def test_a_pinch_closes_and_opens_the_gripper_once(browser: Browser) -> None:
    pose, frames = REST, []
    for aperture in (*np.linspace(0.08, 0.012, 20), *[0.012] * 10, *np.linspace(0.012, 0.08, 20), *[0.08] * 10):
        pose = with_aperture(float(aperture), pose)
        frames.append(landmarks(hand_pose(pose), (0, 0, 0)))
    assert run(browser, frames).gripper == ["close", "open"]


def test_a_half_closed_hand_does_not_chatter_and_one_that_appears_commands_nothing(browser: Browser) -> None:
    rng = np.random.default_rng(1)
    for aperture in (0.012, 0.034, 0.08):
        still = np.array(landmarks(hand_pose(with_aperture(aperture, REST)), (0, 0, 0)))
        frames: list[Any] = [(still + rng.normal(0, 0.002, still.shape)).tolist() for _ in range(60)]
        assert run(browser, [*frames, None, *frames]).gripper == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(
        st.none() | arrays(float, (21, 3), elements=st.floats(-1.0, 2.0)).map(np.ndarray.tolist),
        min_size=1,
        max_size=8,
    ),
    speed=st.floats(0.05, 1.0),
)
def test_motions_are_finite_and_within_the_limits(browser: Browser, frames: list[Any], speed: float) -> None:
    got = run(browser, frames, speed=speed)
    assert np.isfinite(got.motion).all()
    assert (np.linalg.norm(got.motion, axis=1) <= 1.0 + 1e-9).all()


def test_the_filter_smooths_a_still_value_and_follows_a_fast_one(browser: Browser) -> None:
    rng = np.random.default_rng(2)

    def filtered(values: Array) -> Array:
        script = f"""(() => {{
          const settings = {{ cutoff: 1.5, beta: 20, speedCutoff: 1 }};
          let previous = null;
          return {json.dumps(values.tolist())}.map((value) => {{
            previous = motions.oneEuro(previous, value, 1 / 30, settings);
            return previous.value;
          }});
        }})()"""
        return np.array(browser.evaluate(script))

    noise = 0.5 + rng.normal(0, 0.002, 300)
    assert filtered(noise)[30:].std() < 0.6 * noise[30:].std()
    ramp = 0.5 * np.arange(90) / 30
    assert abs(filtered(ramp)[-1] - ramp[-1]) < 0.03
