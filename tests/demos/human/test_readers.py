"""Readers of recordings: the same hand in every format, and damaged files."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from demos.human.readers import ReadOptions, RecordingError, choose_track, read_tracks
from demos.human.readers.markers import hand_point
from demos.human.track import make_track

from . import formats


@pytest.mark.parametrize("name", formats.WRITERS)
def test_the_same_hand_has_the_same_aperture_in_every_format(name: str, tmp_path: Path) -> None:
    path, options = formats.WRITERS[name](tmp_path)
    _, tracks = read_tracks(path, options)
    track = choose_track(tracks, "right")
    assert track.hand == "right"
    assert track.rate == pytest.approx(formats.RATE)
    aperture = track.aperture / (formats.PIXELS if track.frame == "image" else 1.0)
    np.testing.assert_allclose(aperture, formats.APERTURE, atol=1e-6, rtol=0)
    np.testing.assert_allclose(track.times - track.times[0], formats.TIMES, atol=1e-6)
    assert not track.gaps


@pytest.mark.parametrize("name", formats.WRITERS)
def test_a_given_rate_replaces_the_rate_of_the_recording_in_every_format(name: str, tmp_path: Path) -> None:
    path, options = formats.WRITERS[name](tmp_path)
    for rate in (2 * formats.RATE, 7.0):
        track = choose_track(read_tracks(path, replace(options, fps=rate))[1], "right")
        assert track.rate == pytest.approx(rate)
        assert len(track.times) == formats.FRAMES


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


DAMAGES = ("empty", "half", "ends early", "pickle", "text", "numbers")


def damage(path: Path, kind: str) -> None:
    """Damage a file, or the file in the middle of a folder."""
    file = files_of(path)[len(files_of(path)) // 2]
    content = file.read_bytes()
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "half":
        file.write_bytes(content[: len(content) // 2])
    elif kind == "ends early":
        file.write_bytes(content[: -max(len(content) // 50, 3)])
    elif kind == "pickle":
        file.write_bytes(pickle.dumps({"points": formats.POINTS}))
    elif kind == "text":
        file.write_bytes(b"no recording, only words\n" * 40)
    else:
        # In text a word; in binary files the header.
        start = content.rfind(b"0.") if file.suffix in (".json", ".csv", ".trc", ".bvh") else 0
        file.write_bytes(content[:start] + b"####" + content[start + 4 :])


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", formats.WRITERS)
def test_a_damaged_file_gives_one_line_with_its_name(name: str, kind: str, tmp_path: Path) -> None:
    path, options = formats.WRITERS[name](tmp_path)
    if name == "umi" and kind in ("text", "numbers", "pickle"):
        # Chunks without compression hold any bytes: damage their header.
        (path / "data" / "robot0_gripper_width" / ".zarray").write_text("[1, 2")
    else:
        damage(path, kind)
    with pytest.raises(RecordingError) as caught:
        read_tracks(path, options)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "\n" not in message
    assert 20 < len(message.replace(str(tmp_path), "")) < 700


@pytest.mark.parametrize("kind", ["half", "ends early"])
@pytest.mark.parametrize("name", ["npz", "vision_pro", "panda_log", "track_npz"])
def test_an_archive_that_was_cut_off_is_called_damaged(name: str, kind: str, tmp_path: Path) -> None:
    path, options = formats.WRITERS[name](tmp_path)
    damage(path, kind)
    with pytest.raises(RecordingError, match=r"the ZIP archive is damaged \(.+\); expected a complete file"):
        read_tracks(path, options)


def test_damage_of_umi_names_the_file_in_it(tmp_path: Path) -> None:
    path, options = formats.umi(tmp_path)
    header = path / "data" / "robot0_eef_pos" / ".zarray"
    whole = header.read_text()
    for text, problem in (
        ("[1, 2", "line 1 column 6: not valid JSON"),
        ("{}", "lacks 'shape'"),
        (whole.replace("<f8", "<x8"), "data type"),
    ):
        header.write_text(text)
        with pytest.raises(RecordingError, match=rf"data/robot0_eef_pos/\.zarray: .*{problem}"):
            read_tracks(path, options)


@pytest.mark.parametrize("name", ["npz", "vision_pro", "panda_log", "track_npz", "npy"])
def test_arrays_of_objects_are_not_unpickled(name: str, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "harm"),))

    path, options = formats.WRITERS[name](tmp_path)
    if name == "npy":
        np.save(path, np.array([Harm()], dtype=object), allow_pickle=True)
    else:
        names = list(np.load(path))
        np.savez(path, **{key: np.array([Harm()], dtype=object) for key in names})
    with pytest.raises(RecordingError, match=r"Object arrays cannot be loaded|expected"):
        read_tracks(path, options)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", formats.WRITERS)
def test_random_damage_never_escapes_as_another_error(name: str, tmp_path: Path) -> None:
    path, options = formats.WRITERS[name](tmp_path)
    rng = np.random.default_rng(0)
    files = files_of(path)
    for attempt in range(4):
        file = files[int(rng.integers(len(files)))]
        original = file.read_bytes()
        content = bytearray(original)
        for position in rng.integers(0, min(len(content), 3000 if attempt % 2 else len(content)), size=8):
            content[position] = int(rng.integers(256))
        file.write_bytes(bytes(content))
        try:
            read_tracks(path, options)
        except RecordingError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017  (damage may leave a valid file)
        file.write_bytes(original)


def test_links_out_of_a_recording_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.hdf5"
    shutil.copy(formats.egodex(tmp_path)[0], secret)
    path = tmp_path / "egodex.hdf5"
    with h5py.File(path, "a") as file:
        del file["transforms/rightThumbTip"]
        file["transforms/rightThumbTip"] = h5py.ExternalLink("secret.hdf5", "/transforms/rightThumbTip")
    with pytest.raises(RecordingError, match="transforms/rightThumbTip: no array of this file"):
        read_tracks(path)
    umi, options = formats.umi(tmp_path)
    outside = tmp_path / "outside"
    os.replace(umi / "data" / "robot0_gripper_width", outside)
    (umi / "data" / "robot0_gripper_width").symlink_to(outside)
    with pytest.raises(RecordingError, match="leads out of the folder"):
        read_tracks(umi, options)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("points.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f8", "fortran_order": False, "shape": (200_000_000, 21, 3)}
        )
        member.write(b"\0" * 10_000_000)
    with pytest.raises(RecordingError, match="array points"):
        read_tracks(path, ReadOptions(hand="right"))


def test_openpose_follows_two_people_and_zeros_are_missing(tmp_path: Path) -> None:
    path, options = formats.openpose(tmp_path)
    for number, file in enumerate(sorted(path.iterdir())):
        content = json.loads(file.read_text())
        other = json.loads(json.dumps(content["people"][0]))
        moved = np.array(other["hand_right_keypoints_2d"]).reshape(-1, 3) + np.array([500.0, 0.0, 0.0])
        if number == 10:
            moved[8] = 0.0
        other["hand_right_keypoints_2d"] = moved.ravel().tolist()
        other["pose_keypoints_2d"] = [0.0] * 75
        # The order of people changes from frame to frame.
        content["people"] = [other, content["people"][0]][:: 1 if number % 2 else -1]
        file.write_text(json.dumps(content))
    _, tracks = read_tracks(path, options)
    assert len(tracks) == 2
    for track in tracks:
        assert np.abs(np.diff(track.points[:, 0, 0])).max() < 50
    assert [int(np.isnan(track.aperture).sum()) for track in tracks] in ([0, 1], [1, 0])


def test_an_openpose_folder_with_the_frames_of_two_videos_is_refused(tmp_path: Path) -> None:
    path, options = formats.openpose(tmp_path)
    name = "video_000000000007_keypoints.json"
    shutil.copy(path / name, path / f"another_{name}")
    with pytest.raises(RecordingError, match=rf"another_{name} and {name} are both frame 7; expected .* one video"):
        read_tracks(path, options)


def test_openpose_files_without_a_number_replace_no_frame(tmp_path: Path) -> None:
    path, options = formats.openpose(tmp_path)
    (path / "video_000000000000_keypoints.json").rename(path / "first_keypoints.json")
    track = choose_track(read_tracks(path, options)[1], "right")
    np.testing.assert_allclose(track.points[:, 8, :2], formats.IMAGE[:, 8], atol=1e-9)
    np.testing.assert_allclose(track.times, formats.TIMES, atol=1e-9)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_normalized_scales_of_openpose_need_the_image_size(low: float, high: float, tmp_path: Path) -> None:
    path, options = formats.openpose(tmp_path)
    size = np.array([formats.WIDTH, formats.HEIGHT])
    for file in path.iterdir():
        content = json.loads(file.read_text())
        for key in ("pose_keypoints_2d", "hand_right_keypoints_2d"):
            points = np.array(content["people"][0][key]).reshape(-1, 3)
            points[:, :2] = low + points[:, :2] / size * (high - low)
            content["people"][0][key] = points.ravel().tolist()
        file.write_text(json.dumps(content))
    with pytest.raises(RecordingError, match="--image-size"):
        read_tracks(path, options)
    _, tracks = read_tracks(path, replace(options, image_size=(formats.WIDTH, formats.HEIGHT)))
    right = choose_track(tracks, "right")
    np.testing.assert_allclose(right.points[:, 8, :2], formats.IMAGE[:, 8], atol=1e-9)


def write_normalized(path: Path, body: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None) -> None:
    """Write the hand of the lower right quadrant, and a body point, in the scale -1..1."""
    size = np.array([formats.WIDTH, formats.HEIGHT])
    hand = (formats.IMAGE / 4 + 0.6 * size) / size * 2 - 1
    assert hand.min() > 0
    for frame, file in enumerate(sorted(path.iterdir())):
        content = json.loads(file.read_text())
        points = np.concatenate([hand[frame], np.ones((21, 1))], axis=1)
        content["people"][0]["hand_right_keypoints_2d"] = points.ravel().tolist()
        content["people"][0]["pose_keypoints_2d"] = [0.0] * 75 if body is None else [*body.tolist(), 1.0] + [0.0] * 72
        file.write_text(json.dumps(content))


def test_the_body_shows_the_scale_of_a_hand_in_the_lower_right_quadrant(tmp_path: Path) -> None:
    path, options = formats.openpose(tmp_path)
    options = replace(options, image_size=(formats.WIDTH, formats.HEIGHT))
    expected = formats.IMAGE[:, 8] / 4 + 0.6 * np.array([formats.WIDTH, formats.HEIGHT])
    write_normalized(path, np.array([0.1, -0.7]))
    (track,) = read_tracks(path, options)[1]
    np.testing.assert_allclose(track.points[:, 8, :2], expected, atol=1e-9)
    assert "scale -1..1 assumed" in track.source
    # Of a hand alone the coordinates do not show it; the option does.
    write_normalized(path, None)
    (track,) = read_tracks(path, options)[1]
    assert "scale 0..1 assumed" in track.source
    (track,) = read_tracks(path, replace(options, scale="-1..1"))[1]
    np.testing.assert_allclose(track.points[:, 8, :2], expected, atol=1e-9)
    assert "assumed" not in track.source.replace("30 frames per second assumed", "")


def test_coordinates_slightly_below_zero_leave_the_scale_open(tmp_path: Path) -> None:
    path, options = formats.openpose(tmp_path)
    options = replace(options, image_size=(formats.WIDTH, formats.HEIGHT))
    write_normalized(path, np.array([0.3, -0.02]))
    with pytest.raises(
        RecordingError, match=r"normalized coordinates from -0\.02 to 0\.\d+; give --scale 0\.\.1 or -1"
    ):
        read_tracks(path, options)
    (track,) = read_tracks(path, replace(options, scale="-1..1"))[1]
    assert np.nanmin(track.points[:, :, 0]) > 0.5 * formats.WIDTH
    with pytest.raises(ValueError, match="scale is 'percent'; expected one of pixels"):
        ReadOptions(scale="percent")


@pytest.mark.parametrize("image_size", [None, (formats.WIDTH, formats.HEIGHT)])
@pytest.mark.parametrize("name", ["hand_world_landmarks", "multiHandWorldLandmarks", "right_hand_world_landmarks"])
def test_world_landmarks_of_mediapipe_alone_are_refused_since_they_hold_no_path(
    name: str, image_size: tuple[int, int] | None, tmp_path: Path
) -> None:
    points = (formats.POINTS - formats.POINTS.mean(axis=1, keepdims=True)).tolist()
    frames = [{name: points[frame] if "right" in name else [points[frame]]} for frame in range(formats.FRAMES)]
    path = tmp_path / "world.json"
    path.write_text(json.dumps({"fps": formats.RATE, "frames": frames}))
    options = ReadOptions(hand="right", image_size=image_size)
    with pytest.raises(RecordingError, match=rf"only {name}, .* no path of the hand\. Record .* hand_landmarks"):
        read_tracks(path, options)
    path.write_text(json.dumps({"fps": formats.RATE, "frames": [{"hand_landmarks": []}] * 3}))
    with pytest.raises(RecordingError, match="no hand in any frame"):
        read_tracks(path, options)


@pytest.mark.parametrize("low", [0, 0.0, -0.1, 0.2])
def test_the_most_certain_hand_of_mediapipe_wins(low: float, tmp_path: Path) -> None:
    path, options = formats.mediapipe_tasks(tmp_path)
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        wrong = [{**point, "x": 0.9} for point in frame["hand_landmarks"][0]]
        frame["hand_landmarks"].insert(0, wrong)
        frame["handedness"].insert(0, [{"category_name": "Right", "score": low}])
    path.write_text(json.dumps(content))
    (track,) = read_tracks(path, options)[1]
    np.testing.assert_allclose(track.points[:, :, :2], formats.IMAGE, atol=1e-9)
    assert (track.confidence == 0.97).all()


def test_scores_of_mediapipe_may_be_missing_but_not_all_zero(tmp_path: Path) -> None:
    path, options = formats.mediapipe_tasks(tmp_path)
    content = json.loads(path.read_text())
    for score, expected in ((None, 1.0), (2.5, 1.0), (0.5, 0.5)):
        for frame in content["frames"]:
            frame["handedness"] = [[{"category_name": "Right", **({} if score is None else {"score": score})}]]
        path.write_text(json.dumps(content))
        (track,) = read_tracks(path, options)[1]
        assert (track.confidence == expected).all()
    path.write_text(path.read_text().replace('"score": 0.5', '"score": 0'))
    with pytest.raises(RecordingError, match="only hands with the score 0"):
        read_tracks(path, options)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv"])
def test_points_out_of_the_image_do_not_change_the_scale_of_normalized_arrays(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"hand{ending}"
    normalized = formats.IMAGE / np.array([formats.WIDTH, formats.HEIGHT])
    # A hand that is out of the image once, an outlier, and frames without a hand.
    normalized[4] += 1.0
    normalized[5, 8] = 9.0
    normalized[6:20] = 0.0
    if ending == ".npy":
        np.save(path, normalized)
    elif ending == ".npz":
        np.savez(path, points=normalized)
    else:
        path.write_text("\n".join(",".join(map(str, row.ravel())) for row in normalized))
    with pytest.raises(RecordingError, match="normalized coordinates; give the size of the images"):
        read_tracks(path, ReadOptions(hand="right"))
    (track,) = read_tracks(path, ReadOptions(hand="right", image_size=(formats.WIDTH, formats.HEIGHT)))[1]
    np.testing.assert_allclose(track.points[:4, :, :2], formats.IMAGE[:4], atol=1e-9)
    assert track.seen.sum() == formats.FRAMES - 14


def test_an_outlier_of_openpose_does_not_change_the_scale(tmp_path: Path) -> None:
    path, options = formats.openpose_coco(tmp_path)
    file = path / "000003_keypoints.json"
    content = json.loads(file.read_text())
    content["people"][0]["hand_right_keypoints_2d"][24] = 7.0
    file.write_text(json.dumps(content))
    # The frame with the outlier counts as another person.
    track = choose_track(read_tracks(path, options)[1], "right", 1)
    np.testing.assert_allclose(track.points[10, :, :2], formats.IMAGE[10], atol=1e-9)


def test_an_image_size_is_refused_for_points_in_meters(tmp_path: Path) -> None:
    path = tmp_path / "hand.npy"
    np.save(path, formats.POINTS)
    with pytest.raises(RecordingError, match=r"are read as meters, and --image-size is given: .* save only x and y"):
        read_tracks(path, ReadOptions(hand="right", image_size=(formats.WIDTH, formats.HEIGHT)))


@pytest.mark.parametrize("name", ["left", "left_hand", "left_points", "left_hand_keypoints"])
def test_arrays_of_a_hand_have_its_name_and_its_confidence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hands.npz"
    certain = np.linspace(0.2, 0.9, formats.FRAMES)
    np.savez(path, **{name: formats.POINTS, "left_confidence": certain, "right": 2 * formats.POINTS})
    left, right = read_tracks(path)[1]
    np.testing.assert_allclose(left.points, formats.POINTS)
    np.testing.assert_allclose(left.confidence[:, 0], certain)
    np.testing.assert_allclose(right.points, 2 * formats.POINTS)
    assert (left.hand, right.hand, right.confidence.min()) == ("left", "right", 1.0)
    # A single array, too.
    np.savez(path, **{name: formats.POINTS})
    (track,) = read_tracks(path)[1]
    assert track.hand == "left"
    with pytest.raises(RecordingError, match=rf"has only the array {name}, and --hand is right"):
        read_tracks(path, ReadOptions(hand="right"))


def test_a_column_that_is_neither_time_nor_a_point_is_refused(tmp_path: Path) -> None:
    path, options = formats.csv(tmp_path)
    path.write_text(path.read_text().replace("time,", "frame,", 1))
    with pytest.raises(RecordingError, match=r"line 1: 64 columns from 'frame' to 'pinky_tip_z'; expected the time"):
        read_tracks(path, options)


def test_a_bvh_unit_follows_from_the_forearm_if_no_usual_unit_fits(tmp_path: Path) -> None:
    path, options = formats.bvh(tmp_path)
    (track,) = read_tracks(path, options)[1]
    assert track.source == "BVH, unit 0.01 m"
    path.write_text(path.read_text().replace("OFFSET 26 0 0", "OFFSET 2.6 0 0"))
    (track,) = read_tracks(path, options)[1]
    assert track.source == "BVH, unit 0.1 m assumed"
    np.testing.assert_allclose(track.aperture, 10 * formats.APERTURE, rtol=1e-6)
    (track,) = read_tracks(path, replace(options, unit=0.02))[1]
    assert track.source == "BVH, unit 0.02 m"


@pytest.mark.parametrize(
    ("unit", "text"), [(1e-3, "in steps of 40, which would last 38.67 s"), (1e-9, "in steps of 4")]
)
def test_images_that_are_named_by_times_are_refused(unit: float, text: str, tmp_path: Path) -> None:
    path, options = formats.alphapose_list(tmp_path)
    entries = json.loads(path.read_text())
    for entry, time in zip(entries, formats.TIMES, strict=True):
        entry["image_id"] = f"{1_700_000_000_000 + round(time / unit)}.png"
    path.write_text(json.dumps(entries))
    with pytest.raises(RecordingError, match=rf"{text}.* expected frame numbers. If they are milliseconds, give"):
        read_tracks(path, replace(options, fps=None))
    if unit == 1e-3:
        (track,) = read_tracks(path, replace(options, fps=1000.0))[1]
        np.testing.assert_allclose(track.times, formats.TIMES, atol=1e-9)
    # Few frames per second are valid, without gaps.
    path, options = formats.openpose(tmp_path)
    assert choose_track(read_tracks(path, replace(options, fps=1.0))[1], "right").rate == pytest.approx(1.0)


def test_numbers_of_missing_frames_are_gaps(tmp_path: Path) -> None:
    path, options = formats.openpose(tmp_path)
    for number in (12, 13, 14):
        (path / f"video_{number:012d}_keypoints.json").unlink()
    track = choose_track(read_tracks(path, options)[1], "right")
    assert track.gaps == [(pytest.approx(11 / 25), pytest.approx(15 / 25))]


def test_a_missing_frame_at_an_end_is_a_gap() -> None:
    points = formats.POINTS.copy()
    points[[0, -1]] = np.nan
    track = make_track(formats.TIMES, points, "world", "right")
    last = formats.TIMES[-1]
    assert track.gaps == [(0.0, pytest.approx(0.04)), (pytest.approx(last - 0.04), pytest.approx(last))]


def test_a_video_is_sent_to_track(tmp_path: Path) -> None:
    path = tmp_path / "hand.mp4"
    # The first four bytes are also a version of the .pose container, and a word of the encoder is "hand".
    path.write_bytes(b"\0\0\0\x20ftypisom" + b"hand pose" * 20)
    with pytest.raises(RecordingError, match="a video; find the hands in it first"):
        read_tracks(path)


def test_joints_of_bvh_turn_with_their_parents(tmp_path: Path) -> None:
    path = tmp_path / "turned.bvh"
    path.write_text(
        "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation "
        "Yrotation\nJOINT LeftForeArm\n{\nOFFSET 10 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
        "JOINT LeftHand\n{\nOFFSET 26 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
        "End Site\n{\nOFFSET 8 0 0\n}\n}\n}\n}\nMOTION\n"
        "Frames: 2\nFrame Time: 0.04\n0 90 0 0 0 0 0 0 0 0 0 0\n0 90 0 90 0 0 0 0 90 0 0 0\n"
    )
    (track,) = read_tracks(path)[1]
    assert track.hand == "left"
    # Turned by 90 degrees about z at the hips, then about y at the elbow.
    np.testing.assert_allclose(track.points[:, 0], [[0.36, 0.9, 0.0], [0.0, 1.0, -0.26]], atol=1e-9)


def test_a_bvh_file_whose_positions_would_take_gigabytes_is_refused(tmp_path: Path) -> None:
    joints, frames = 1990, 12_000
    lines = ["HIERARCHY", "ROOT LeftHand", "{", "OFFSET 0 0 0", "CHANNELS 1 Xposition"]
    lines += ["JOINT j", "{", "OFFSET 0 0 0"] * (joints - 1) + ["}"] * joints
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.01"] + ["0"] * frames
    path = tmp_path / "bomb.bvh"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordingError, match="12,000 frames of 1,990 joints; expected at most 20,000,000 positions"):
        read_tracks(path)


def test_markers_of_plug_in_gait_and_of_an_object_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "box.trc"
    names = ["P:RWRA", "P:RWRB", "P:RFIN", "P:LWRA", "P:C7", "P:Box_a", "P:Box_b", "P:Box_c"]
    rng = np.random.default_rng(1)
    rows = rng.uniform(0, 1000, (1, len(names), 3)) + np.arange(20)[:, None, None]
    lines = ["PathFileType\t4\t(X/Y/Z)\tbox.trc", "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits"]
    lines += [f"100\t100\t20\t{len(names)}\tmm", "Frame#\tTime\t" + "\t\t\t".join(names), "\t\tX1\tY1\tZ1", ""]
    for frame in range(20):
        cells = [str(value) for value in rows[frame].ravel()]
        if frame == 7:
            cells[15:18] = ["", "", ""]
        lines.append("\t".join([str(frame + 1), str(frame / 100), *cells]))
    path.write_text("\n".join(lines))
    left, right = sorted(read_tracks(path)[1], key=lambda track: track.hand)
    np.testing.assert_allclose(right.points[:, 0], rows[:, :2].mean(axis=1) / 1000)
    np.testing.assert_allclose(right.pinch, rows[:, 2] / 1000)
    np.testing.assert_allclose(left.points[:, 0], rows[:, 3] / 1000)
    # A hidden marker does not move the center.
    np.testing.assert_allclose(right.objects["box"], rows[:, 5:].mean(axis=1) / 1000)


@pytest.mark.parametrize(
    ("label", "point"),
    [
        ("RFIN", "index_1"), ("R_Hand", "index_1"), ("HandR", "index_1"), ("Hand_R_1", "index_1"),
        ("RightHandTop", "index_1"), ("RHND", "index_1"), ("R.Hand2", "index_1"), ("RTHM", "thumb_tip"),
        ("RIDX", "index_tip"), ("R_thumb_tip", "thumb_tip"), ("RThumb", "thumb_tip"), ("RIndexTip", "index_tip"),
        ("R_META2dist", "index_1"), ("RSTYLrad", "wrist"), ("RWRA", "wrist"), ("R_WRIST_LAT", "wrist"),
        ("RPNK", "pinky_tip"), ("rthumb", "thumb_tip"), ("R IND", "index_tip"),
    ],
)  # fmt: skip
def test_names_of_markers_on_a_right_hand_are_known(label: str, point: str) -> None:
    assert hand_point(label, "right") == point
    assert hand_point(label, "left") is None


@pytest.mark.parametrize(
    "label", ["C7", "RASI", "RKNE", "RSHO", "RELB", "RTOE", "RHEE", "RANK", "RUPA", "RFHD", "*12"]
)
def test_markers_of_the_body_are_no_hand(label: str) -> None:
    assert hand_point(label, "right") is None
    assert hand_point(label, None) is None


def test_a_choice_between_hands_is_asked_for(tmp_path: Path) -> None:
    path, options = formats.npz(tmp_path)
    np.savez(path, left=formats.POINTS, right=formats.POINTS, times=formats.TIMES)
    _, tracks = read_tracks(path, options)
    with pytest.raises(ValueError, match="--hand right"):
        choose_track(tracks)
    assert choose_track(tracks, "left").hand == "left"


def test_unknown_content_lists_the_formats(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(RecordingError, match="unknown format; expected one of: hand track, OpenPose"):
        read_tracks(path)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(RecordingError, match="a pickle, which could run any code"):
        read_tracks(path)
    with pytest.raises(FileNotFoundError, match="no recording"):
        read_tracks(tmp_path / "none.npz")
