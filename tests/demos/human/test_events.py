"""Grasp and release: found within five frames, or refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recordings.synthetic import FPS, Scene, carry_box, front_camera, motion_capture, seen_by
from demos.human.events import Events, find_events
from demos.human.readers import read_tracks
from demos.human.signals import smoothness_of
from demos.human.track import HandTrack, make_track
from demos.human.track_files import save_track


def test_noisy_images_give_events_within_five_frames_or_none() -> None:
    camera = front_camera()
    found = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scene = carry_box(rng)
        events = find_events(seen_by(camera, scene, rng))
        if events.grasp is None or events.release is None:
            assert "give --grasp" in events.reason
            continue
        found += 1
        assert abs(events.grasp - scene.grasp) * FPS <= 5
        assert abs(events.release - scene.release) * FPS <= 5
    assert found >= 7


def test_motion_capture_gives_the_same_events() -> None:
    scene = carry_box(np.random.default_rng(5))
    events = find_events(motion_capture(scene))
    assert events.method == "aperture"
    assert events.grasp == pytest.approx(scene.grasp, abs=0.1)
    assert events.release == pytest.approx(scene.release, abs=0.1)


def wrist_and_box(seed: int) -> tuple[HandTrack, Scene]:
    """Return a recording of a wrist and of the box that it carries."""
    scene = carry_box(np.random.default_rng(seed))
    track = motion_capture(scene)
    pinch = scene.points[:, [4, 8]].mean(axis=1)
    held = (scene.times >= scene.grasp) & (scene.times <= scene.release)
    box = np.where(held[:, None], pinch, np.where((scene.times < scene.grasp)[:, None], scene.start, scene.end))
    box += 0.0005 * np.random.default_rng(0).standard_normal(box.shape)
    points, confidence = track.points.copy(), track.confidence.copy()
    points[:, 1:], confidence[:, 1:] = np.nan, 0.0
    return replace(track, points=points, confidence=confidence, objects={"box": box}), scene


def test_a_tracked_object_gives_the_events_of_a_wrist() -> None:
    track, scene = wrist_and_box(6)
    events = find_events(track)
    assert events.method == "object"
    # The hand carries the box after 0.1 s, and starts slowly.
    assert events.grasp == pytest.approx(scene.grasp + 0.2, abs=0.15)
    assert events.release == pytest.approx(scene.release - 0.2, abs=0.15)


@pytest.mark.parametrize("begin", [0.1, 0.3])
def test_an_object_that_moves_from_the_first_frames_on_gives_no_grasp(begin: float) -> None:
    track, scene = wrist_and_box(6)
    # Within the carry, which takes 0.8 s or longer.
    moving = track.cut(scene.grasp + 0.2 + begin, float(track.times[-1]))
    refused = find_events(moving)
    assert refused.grasp is None
    assert "moves from the first frames on; give --grasp" in refused.reason
    grasp = float(moving.times[0])
    found = find_events(moving, grasp=grasp)
    assert (found.grasp, found.method) == (grasp, "object")
    assert found.release == pytest.approx(scene.release - 0.2, abs=0.15)


@pytest.mark.parametrize("speed", [0.06, 0.3])
def test_an_object_that_never_rests_gives_neither_grasp_nor_release(speed: float) -> None:
    track, _ = wrist_and_box(6)
    # The hand moves with it.
    track.points[:, 0] = [0.1, 0.0, 0.1] + track.times[:, None] * [speed, 0.0, 0.0]
    moving = track.times[:, None] * [speed, 0.0, 0.0]
    rests = np.minimum(moving, moving[len(moving) // 2])
    hidden = np.where((track.times < 0.5)[:, None], np.nan, moving)
    for box in (moving, rests, hidden):
        events = find_events(replace(track, objects={"box": box}))
        assert events.grasp is None
    assert find_events(replace(track, objects={"box": moving}), grasp=0.5) == Events(
        0.5, None, "object", pytest.approx(0.004 / speed, rel=0.1)
    )


def test_an_object_that_jumps_within_one_frame_is_grasped_before_and_released_after_the_jump(tmp_path: Path) -> None:
    times = np.arange(30) / 5.0
    points = np.full((len(times), 21, 3), np.nan)
    points[:, 0] = np.linspace(0.0, 0.3, len(times))[:, None]
    box = np.where((times < 3.0)[:, None], 0.0, [0.05, 0.0, 0.0])
    path = save_track(make_track(times, points, "world", "right", objects={"box": box}), tmp_path / "hand.npz")
    (track,) = read_tracks(path)[1]
    events = find_events(track)
    assert events.method == "object"
    assert events.grasp == pytest.approx(2.8)
    assert events.release == pytest.approx(3.0)
    assert find_events(track, grasp=2.0).release == pytest.approx(3.0)


def test_an_object_that_leaves_the_view_gives_no_release() -> None:
    track, scene = wrist_and_box(6)
    later = (track.times > scene.grasp + 0.4)[:, None]
    lost = replace(track, objects={"box": np.where(later, np.nan, track.objects["box"])})
    for events in (find_events(lost), find_events(lost, grasp=scene.grasp)):
        assert events.release is None
        assert re.fullmatch(r"the object 'box' is not seen from \d\.\d\d s on; give --release", events.reason)
    # The fingers show what the object does not.
    fingers = find_events(replace(motion_capture(scene), objects=lost.objects))
    assert fingers.method == "aperture"
    assert fingers.release == pytest.approx(scene.release, abs=0.1)


def test_an_object_that_moves_without_the_hand_gives_no_events() -> None:
    track, scene = wrist_and_box(6)
    still = np.repeat(track.points[:1], len(track.times), axis=0)
    away = track.points - np.array([0.0, 1.5, 0.0])
    beside = still - still[0, 0] + scene.start + [0.0, -0.3, 0.0]
    # A hand beside it moves in the opposite direction.
    mirrored = scene.start + (track.points - scene.start) * [-1.0, 1.0, 1.0]
    for points, words in (
        (away, r"the object 'box' moves while the hand is 1\.\d\d m away"),
        (beside, "the object 'box' does not move together with the hand"),
        (mirrored, "the object 'box' does not move together with the hand"),
    ):
        refused = find_events(replace(track, points=points))
        assert (refused.grasp, refused.release) == (None, None)
        assert re.fullmatch(words + r"; choose the other hand \(--hand\), or give --grasp", refused.reason)
    unseen = track.confidence.copy()
    unseen[track.times > scene.grasp - 0.2] = 0.0
    hidden = make_track(track.times, track.points, "world", "right", confidence=unseen, objects=track.objects)
    assert "the hand is not seen together with the object 'box'" in find_events(hidden).reason
    # Markers that the hand covers are seen before and after.
    covered = ((track.times > scene.grasp + 0.1) & (track.times < scene.release - 0.1))[:, None]
    events = find_events(replace(track, objects={"box": np.where(covered, np.nan, track.objects["box"])}))
    assert events.grasp == pytest.approx(scene.grasp + 0.1, abs=0.1)
    # The object that the hand carries counts, not the one that moves farther elsewhere.
    other = track.objects["box"][:, [1, 0, 2]] * 3 + [2.0, 0.0, 0.0]
    carried = find_events(replace(track, objects={"cart": other, **track.objects}))
    assert carried == find_events(track)
    assert carried.method == "object"


def test_a_hand_that_leaves_the_view_gives_no_release() -> None:
    camera = front_camera()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scene = carry_box(rng)
        track = seen_by(camera, scene, rng, missing=0.0)
        for after in (0.1, 0.4):
            gone = hidden_after(track, scene.grasp + after)
            events = find_events(gone)
            assert (events.grasp, events.release) == (None, None)
            last = gone.times[gone.seen][-1]
            assert f"is not seen from {last:.2f} s on" in events.reason or "is not sharp" in events.reason
            given = find_events(gone, grasp=scene.grasp)
            assert given.release is None
            assert "give --release" in given.reason
            assert "is not closed" not in given.reason
        # The answer of a hand that is seen to hold on.
        held = find_events(track.cut(0.0, scene.release - 0.1))
        assert held.release is None
        assert held.grasp == pytest.approx(scene.grasp, abs=5 / FPS)


def hidden_after(track: HandTrack, time: float) -> HandTrack:
    """Return a recording in which the hand leaves the view at a time."""
    later = track.times > time
    points, confidence = track.points.copy(), track.confidence.copy()
    points[later], confidence[later] = np.nan, 0.0
    return replace(track, points=points, confidence=confidence)


def test_several_grasps_are_listed_with_the_times_of_the_events() -> None:
    scene = carry_box(np.random.default_rng(7))
    reason = find_events(twice(motion_capture(scene))).reason
    listed = [float(number) for number in re.findall(r"(\d+\.\d\d)", reason)]
    later = float(scene.times[-1]) + 1 / FPS
    expected = [scene.grasp, scene.release, scene.grasp + later, scene.release + later]
    assert listed == pytest.approx(expected, abs=0.1)


def test_what_is_not_there_is_not_invented() -> None:
    scene = carry_box(np.random.default_rng(7))
    track = motion_capture(scene)
    still = replace(track, points=np.repeat(track.points[:1], len(track.times), axis=0))
    assert "hardly move apart" in find_events(still).reason
    closed = track.cut(scene.grasp + 0.1, scene.release - 0.1)
    assert find_events(closed).grasp is None
    assert "the hand closes several times" in find_events(twice(track)).reason
    hidden = track.confidence.copy()
    near = np.abs(track.times - scene.grasp) < 0.3
    hidden[near] = 0.0
    points = track.points.copy()
    points[near] = np.nan
    assert "hidden" in find_events(replace(track, points=points, confidence=hidden)).reason


def test_given_times_win_and_must_be_inside() -> None:
    track = motion_capture(carry_box(np.random.default_rng(8)))
    assert find_events(track, grasp=0.5, release=1.0).method == "given"
    with pytest.raises(ValueError, match="outside of the recording"):
        find_events(track, grasp=99.0)
    with pytest.raises(ValueError, match="not after the grasp"):
        find_events(track, grasp=1.0, release=0.5)


def twice(track: HandTrack) -> HandTrack:
    """Return a recording that is played two times."""
    return replace(
        track,
        times=np.concatenate([track.times, track.times + track.times[-1] + 1 / FPS]),
        points=np.concatenate([track.points, track.points]),
        confidence=np.concatenate([track.confidence, track.confidence]),
    )


def test_the_event_that_is_not_given_is_found_beside_the_given_one() -> None:
    scene = carry_box(np.random.default_rng(8))
    track = motion_capture(scene)
    later = float(track.times[-1]) + 1 / FPS
    for recording, offset in ((track, 0.0), (twice(track), 0.0), (twice(track), later)):
        events = find_events(recording, grasp=scene.grasp + offset)
        assert (events.grasp, events.method) == (scene.grasp + offset, "aperture")
        assert events.release == pytest.approx(scene.release + offset, abs=0.1)
        events = find_events(recording, release=scene.release + offset)
        assert (events.release, events.method) == (scene.release + offset, "aperture")
        assert events.grasp == pytest.approx(scene.grasp + offset, abs=0.1)


def test_the_release_after_a_given_grasp_may_be_absent_or_unknown() -> None:
    scene = carry_box(np.random.default_rng(8))
    track = motion_capture(scene)
    held = track.cut(0.0, scene.release - 0.1)
    assert find_events(held, grasp=scene.grasp) == Events(scene.grasp, None, "given")
    still = replace(track, points=np.repeat(track.points[:1], len(track.times), axis=0))
    unknown = find_events(still, grasp=scene.grasp)
    assert (unknown.grasp, unknown.release) == (scene.grasp, None)
    assert "hardly move apart" in unknown.reason
    assert unknown.reason.endswith("give --release")


def test_the_release_of_an_object_is_found_after_a_given_grasp() -> None:
    track, scene = wrist_and_box(6)
    events = find_events(track, grasp=scene.grasp)
    assert (events.grasp, events.method) == (scene.grasp, "object")
    assert events.release == pytest.approx(scene.release - 0.2, abs=0.15)


def test_a_given_release_before_the_grasp_that_is_found_is_refused() -> None:
    scene = carry_box(np.random.default_rng(8))
    track, (tracked, other) = motion_capture(scene), wrist_and_box(6)
    for recording, time in ((track, scene.grasp - 0.4), (tracked, other.grasp - 0.4)):
        with pytest.raises(ValueError, match=r"release at .* s is not after the grasp found at .*: give --grasp"):
            find_events(recording, release=time)


def test_smoothness_separates_a_hand_from_noise() -> None:
    scene = carry_box(np.random.default_rng(9))
    track = seen_by(front_camera(), scene, np.random.default_rng(0), missing=0.0)
    start, end = scene.grasp - 1, scene.release
    assert smoothness_of(track, start, end) > 0.7
    rng = np.random.default_rng(1)
    shuffled = replace(track, points=track.points[rng.permutation(len(track.times))])
    assert smoothness_of(shuffled, start, end) < 0.0
    walk = 0.01 * np.cumsum(rng.standard_normal((len(track.times), 1, 3)), axis=0)
    walking = replace(motion_capture(scene), points=scene.points[:1] + walk)
    assert smoothness_of(walking, start, end) < 0.55
