"""Imitation of a person: success in unseen scenes, the person's deviation, controls, and collected datasets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import demos
from benchmarks.recordings.synthetic import Scene, carry_box, front_camera, motion_capture, seen_by
from demos.collection.human_demonstrator import HUMAN
from demos.human.adaptation import SAMPLES, Segment, deviation_of, fit_to_time, turn
from demos.human.events import Events
from demos.human.motion.hand_motion import HandMotion, make_motion, motion_of_json
from demos.human.policy import HumanPolicy, failure_of
from demos.human.track import Floats, make_track
from tests.demos.check.damage import check_here


@pytest.fixture(scope="module")
def motion() -> HandMotion:
    scene = carry_box(np.random.default_rng(5))
    return make_motion(motion_capture(scene), Events(scene.grasp, scene.release, "given"))


def imitate(task: str, motion: HandMotion, seeds: range, keep: float | None = None, **keywords: Any) -> list[str]:
    """Return the failures of episodes."""
    env = gym.make(task, **keywords)
    policy = HumanPolicy(env, motion, keep)
    failures = []
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        state, done = None, False
        while not done:
            action, state = policy.predict(observation, state)
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        if not info["is_success"]:
            assert state is not None
            failures.append(failure_of(state, info))
    env.close()
    return failures


def rollout(motion: HandMotion) -> tuple[Floats, int]:
    """Return the positions of the tool in an episode of LamPickPlace-v0, and the steps until it is solved."""
    env = gym.make("LamPickPlace-v0")
    policy = HumanPolicy(env, motion)
    observation, info = env.reset(seed=3)
    state, positions, solved, done = None, [], 0, False
    while not done:
        action, state = policy.predict(observation, state)
        observation, _, terminated, truncated, info = env.step(action)
        positions.append(env.unwrapped.features()["tool/position"].copy())  # type: ignore[attr-defined]
        solved = solved or (len(positions) if info["is_success"] else 0)
        done = terminated or truncated
    env.close()
    assert solved
    return np.array(positions), solved


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "task", ["PickPlace", *(pytest.param(task, marks=SLOW) for task in ("Reach", "Grasp", "Stack", "Push", "Insert"))]
)
def test_one_recording_solves_unseen_scenes(task: str, motion: HandMotion) -> None:
    assert imitate(f"Lam{task}-v0", motion, range(3)) == []


@SLOW
@pytest.mark.parametrize("task", ["Grasp", "PickPlace", "Stack", "Push"])
@pytest.mark.parametrize("robot", ["panda", "xarm6", "iiwa"])
def test_one_recording_solves_200_unseen_scenes(task: str, robot: str, motion: HandMotion) -> None:
    failures = imitate(f"Lam{task}-v0", motion, range(1000, 1200), robot=robot)
    assert len(failures) <= (10 if task in ("Grasp", "PickPlace") else 30), failures


@SLOW
@pytest.mark.parametrize("robot", ["xarm6", "iiwa", "ur5e"])
def test_other_arms_imitate_too(robot: str, motion: HandMotion) -> None:
    assert imitate("LamPickPlace-v0", motion, range(3), robot=robot) == []


def test_failures_have_a_reason(motion: HandMotion) -> None:
    # An arc of 3 m leaves no time for the grasp, if all of it is asked for.
    wide = replace(motion, points=motion.points * 20)
    failures = imitate("LamPickPlace-v0", wide, range(2), keep=1.0)
    assert failures
    assert set(failures) <= {"no time to reach the object", "no grip", "at the end not close, still"}


def test_frames_out_of_order_and_random_walks_are_refused() -> None:
    scene = carry_box(np.random.default_rng(5))
    track = motion_capture(scene)
    events = Events(scene.grasp, scene.release, "given")
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shuffled = replace(track, points=track.points[rng.permutation(len(track.times))])
        steps = 0.01 * np.cumsum(rng.standard_normal((len(track.times), 1, 3)), axis=0)
        walking = replace(track, points=track.points[:1] + steps)
        for control in (shuffled, walking):
            with pytest.raises(ValueError, match="not the motion of a hand"):
                make_motion(control, events)


@pytest.mark.parametrize("view", ["metric", "images", "palm"])
def test_a_carry_that_is_hidden_for_long_is_refused(view: str) -> None:
    scene = carry_box(np.random.default_rng(5))
    camera = None if view == "metric" else front_camera()
    track = motion_capture(scene) if camera is None else seen_by(camera, scene, np.random.default_rng(5), missing=0.0)
    events = Events(scene.grasp, scene.release, "given")

    def hidden(start: float, end: float) -> HandMotion:
        points = track.points.copy()
        # The palm alone gives the depth in images.
        points[(track.times > start) & (track.times < end), 0 if view == "palm" else slice(None)] = np.nan
        shown = make_track(track.times, points, track.frame, "right", up=track.up, image_size=track.image_size)
        return make_motion(shown, events, camera=camera)

    assert len(hidden(scene.grasp + 0.2, scene.grasp + 0.6).points) > 20
    assert len(hidden(scene.release + 0.1, scene.release + 0.8).points) > 20
    with pytest.raises(ValueError, match=r"the hand is hidden from \d\.\d\d to \d\.\d\d s; expected at most 0\.5 s"):
        hidden(scene.grasp + 0.1, scene.grasp + 0.75)
    with pytest.raises(ValueError, match=rf"is hidden from \d\.\d\d to {track.times[-1]:.2f} s"):
        hidden(scene.release - 0.6, 99.0)


def hidden(start: float, end: float, *, holds: bool = False) -> tuple[HandMotion, Scene]:
    """Return the motion of a recording whose hand is hidden between two times relative to the grasp."""
    scene = carry_box(np.random.default_rng(5))
    track = motion_capture(scene)
    points = track.points.copy()
    points[(track.times > scene.grasp + start) & (track.times < scene.grasp + end)] = np.nan
    shown = make_track(track.times, points, "world", "right", up=track.up)
    return make_motion(shown, Events(scene.grasp, None if holds else scene.release, "given")), scene


def test_an_approach_that_the_recording_lacks_is_not_imitated() -> None:
    for start, end in ((-0.65, -0.1), (-9.0, -0.1), (-9.0, 0.1)):
        motion, _ = hidden(start, end)
        assert len(motion.approach) == 1
        assert motion.source.endswith("without an approach")
    env = gym.make("LamPickPlace-v0")
    policy = HumanPolicy(env, motion)
    policy.predict(env.reset(seed=0)[0])
    # The share of the carry alone.
    assert len(policy.attempt.kept) == 1
    env.close()
    reach = gym.make("LamReach-v0")
    with pytest.raises(ValueError, match="does not show the approach, which is all of the task 'reach'"):
        HumanPolicy(reach, motion)
    reach.close()


def test_a_motion_is_the_part_in_which_the_hand_is_seen() -> None:
    motion, _ = hidden(-1.0, -0.4)
    assert 0.35 <= (len(motion.approach) - 1) / 20 <= 0.45
    assert "imitated from" in motion.source
    # Nothing stands still where nothing is seen: not in the retreat, and not while the hand holds on.
    _, scene = hidden(98.0, 99.0)
    carry = scene.release - scene.grasp
    left, _ = hidden(carry + 0.2, 99.0)
    assert (len(left.retreat) - 1) / 20 == pytest.approx(0.2, abs=0.05)
    held, _ = hidden(carry - 0.2, 99.0, holds=True)
    assert (len(held.carry) - 1) / 20 == pytest.approx(carry - 0.2, abs=0.05)
    with pytest.raises(ValueError, match=r"the hand is not seen after the grasp at \d\.\d\d s"):
        hidden(-0.3, 99.0)


def test_a_motion_that_is_too_long_names_its_limit_and_the_release() -> None:
    track = motion_capture(carry_box(np.random.default_rng(5)))
    rest = track.times[-1] + np.arange(1, 3001) / 5.0
    long = make_track(
        np.concatenate([track.times, rest]),
        np.concatenate([track.points, np.repeat(track.points[-1:], len(rest), axis=0)]),
        "world", "right", up=track.up,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"lasts 60\d s, .* no release is known; expected at most 300 s.*--release"):
        make_motion(long, Events(2.0, None, "given"))
    with pytest.raises(ValueError, match=r"shape \(6001, 3\); expected .* N from 2 to 6000"):
        HandMotion(np.zeros((6001, 3)), 0, None)


def test_a_box_that_is_lifted_and_put_down_again_shrinks_to_the_workspace() -> None:
    # 1.2 m up and down at one place, in 5 seconds, after an approach of 2 m.
    seconds = np.linspace(0, 1, 100)
    lift = np.stack([0 * seconds, 0 * seconds, 1.2 * np.sin(np.pi * seconds) ** 2], axis=1)
    approach = np.array([0.0, -2.0, 0.3]) * np.linspace(1, 0, 60)[:, None]
    lifted = HandMotion(np.concatenate([approach, lift, lift[-1:]]), 59, 159)
    assert imitate("LamPickPlace-v0", lifted, range(3)) == []


def test_a_path_is_a_line_plus_the_deviation_of_the_person() -> None:
    angle = np.linspace(0, np.pi, 50)
    arc = np.stack([-0.2 * np.cos(angle), 0 * angle, 0.1 * np.sin(angle)], axis=1)
    assert np.abs(deviation_of(arc)[:, 1]).max() == 0
    segment = Segment(arc, np.array([0.4, -0.1, 0.02]), np.array([0.4, 0.2, 0.02]), lambda points: points)
    path = segment.path(1.0)
    np.testing.assert_allclose(path[[0, -1]], [[0.4, -0.1, 0.02], [0.4, 0.2, 0.02]], atol=1e-12)
    # The arc turns with the line.
    assert path[SAMPLES // 2][2] == pytest.approx(0.12, abs=1e-3)
    np.testing.assert_allclose(path[:, 0], 0.4, atol=1e-9)
    assert segment.kept(1.0) == pytest.approx(1.0)
    assert segment.kept(0.3) == pytest.approx(0.3)


def test_ends_that_are_close_together_do_not_turn_or_scale() -> None:
    np.testing.assert_array_equal(turn(np.array([0.01, 0, 0]), np.array([0, 1.0, 0])), np.eye(3))
    lift = np.stack([np.zeros(20), np.zeros(20), 0.2 * np.sin(np.linspace(0, np.pi, 20))], axis=1)
    segment = Segment(lift, np.zeros(3), np.array([0.2, 0.0, 0.0]), lambda points: points)
    assert segment.path(1.0)[:, 2].max() == pytest.approx(0.2, abs=0.01)


def test_deviation_shrinks_until_it_fits_the_time() -> None:
    angle = np.linspace(0, np.pi, 50)
    high = np.stack([-0.2 * np.cos(angle), 0 * angle, 1.0 * np.sin(angle)], axis=1)
    segment = Segment(high, np.zeros(3), np.array([0.3, 0.0, 0.0]), lambda points: points)
    keep, (steps,) = fit_to_time([segment], 40)
    assert 0.1 < keep < 0.5
    assert steps <= 40
    assert np.abs(np.diff(segment.timed(keep, steps), axis=0)).max() < 0.02
    assert fit_to_time([segment], 400)[0] == 1.0


def test_a_faster_imitation_follows_the_same_path_in_fewer_steps(motion: HandMotion) -> None:
    slow, fast = ({**motion.as_json(), "speed": speed} for speed in (1.0, 10.0))
    recorded = {name: rollout(motion_of_json(shown)) for name, shown in (("slow", slow), ("fast", fast))}
    (path, slow_steps), (fast_path, fast_steps) = recorded["slow"], recorded["fast"]
    assert fast_steps < 0.85 * slow_steps
    distance = np.linalg.norm(path[:, None] - fast_path[None], axis=2).min(axis=0)
    assert np.quantile(distance, 0.9) < 0.02
    with pytest.raises(ValueError, match="speed is 0; expected a number"):
        replace(motion, speed=0)
    with pytest.raises(ValueError, match="speed is nan"):
        replace(motion, speed=float("nan"))


def test_a_collection_imitates_replays_and_checks(motion: HandMotion, tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"episodes": 2, "demonstrator": HUMAN, "motion": motion.as_json(), "root": tmp_path}
    dataset = demos.collect("LamPickPlace-v0", **keywords)
    assert demos.replay(dataset).differences == ()
    assert check_here(dataset.storage.data_path, replay=1).problems == ()
    episode = next(dataset.iterate_episodes())
    assert episode.infos["kept_deviation"].min() > 0.5
    assert np.median(episode.infos["path_distance"]) < 0.02
    assert dataset.storage.metadata["lam_envs_failures"] == {}
    assert "imitation of a person" in dataset.storage.metadata["algorithm_name"]
    # The same settings give the same dataset; another motion is refused in one short line.
    assert demos.checksum(demos.collect("LamPickPlace-v0", **keywords)) == demos.checksum(dataset)
    other = replace(motion, points=motion.points + np.linspace(0, 0.1, len(motion.points))[:, None])
    with pytest.raises(FileExistsError, match="exists with other settings") as caught:
        demos.collect("LamPickPlace-v0", **{**keywords, "motion": other.as_json()})
    assert len(str(caught.value)) < 900


def test_wrong_collections_are_refused(motion: HandMotion, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown demonstrator 'human'"):
        demos.collect("LamPickPlace-v0", episodes=1, demonstrator=HUMAN, root=tmp_path)
    with pytest.raises(ValueError, match="a motion is imitated by"):
        demos.collect("LamPickPlace-v0", episodes=1, motion=motion.as_json(), root=tmp_path)
    with pytest.raises(ValueError, match="recordings cannot be adapted to the task 'drawer'"):
        demos.collect("LamDrawer-v0", episodes=1, demonstrator=HUMAN, motion=motion.as_json(), root=tmp_path)
    with pytest.raises(ValueError, match="no hand motion"):
        demos.collect("LamPickPlace-v0", episodes=1, demonstrator=HUMAN, motion={}, root=tmp_path)
