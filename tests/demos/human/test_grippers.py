"""Grippers that people moved: openings without a unit, two hands, and arrays with missing parts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demos.human.readers import RecordingError, choose_track, read_tracks
from demos.human.track import HandTrack

from . import formats


@pytest.mark.parametrize(
    ("low", "high", "note"),
    [
        (0.0, 1.0, "gripper from 0 (closed) to 1"),
        (0.02, 0.9, "gripper from 0 (closed) to 1"),
        (-1.0, 1.0, "gripper from -1 (closed) to 1"),
        (0.0, 100.0, "gripper from 0 (closed) to 100"),
        (2.0, 250.0, "gripper from 0 (closed) to 255"),
        (0.0, 850.0, "gripper from 0 (closed) to 1000"),
    ],
)
def test_the_range_of_a_gripper_of_lerobot_is_found_in_its_numbers(
    low: float, high: float, note: str, tmp_path: Path
) -> None:
    opening = (formats.APERTURE - formats.APERTURE.min()) / np.ptp(formats.APERTURE)
    path, options = formats.lerobot(tmp_path, low + (high - low) * opening)
    (track,) = read_tracks(path, options)[1]
    assert note in track.source
    assert 0.0 <= track.aperture.min() < 0.01
    assert 0.06 < track.aperture.max() < 0.0801
    assert np.corrcoef(track.aperture, formats.APERTURE)[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.08), (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_a_gripper_of_lerobot_may_be_closed_where_its_number_is_high(low: float, high: float, tmp_path: Path) -> None:
    opening = (formats.APERTURE - formats.APERTURE.min()) / np.ptp(formats.APERTURE)
    path, options = formats.lerobot(tmp_path, high - (high - low) * opening)
    (wrong,) = read_tracks(path, options)[1]
    (right,) = read_tracks(path, replace(options, high_is_closed=True))[1]
    assert np.corrcoef(wrong.aperture, opening)[0, 1] == pytest.approx(-1.0)
    np.testing.assert_allclose(right.aperture, 0.08 * opening, atol=1e-9)


def test_a_gripper_without_a_known_range_is_refused(tmp_path: Path) -> None:
    path, options = formats.lerobot(tmp_path, 1e5 * formats.APERTURE)
    with pytest.raises(
        RecordingError, match=r"the gripper's numbers go from .* expected meters up to 0\.2, or one of"
    ):
        read_tracks(path, options)


def rename(path: Path, names: list[str], feature: str = "observation.state") -> None:
    """Rename the feature of a LeRobot dataset, and its numbers: they are those of formats.lerobot, repeated."""
    info = json.loads((path / "meta" / "info.json").read_text())
    info["features"] = {feature: {"dtype": "float32", "shape": [len(names)], "names": names}}
    (path / "meta" / "info.json").write_text(json.dumps(info))
    file = next(path.rglob("*.parquet"))
    table = pq.read_table(file)
    rows = np.array(table[table.column_names[0]].to_pylist())
    rows = np.tile(rows, -(-len(names) // rows.shape[1]))[:, : len(names)]
    pq.write_table(pa.table({feature: rows.tolist(), "episode_index": table["episode_index"]}), file)


@pytest.mark.parametrize("prefix", ["delta_", "vel_", "rel/", "ee.delta."])
@pytest.mark.parametrize("feature", ["observation.state", "action"])
def test_deltas_and_velocities_of_a_gripper_are_not_positions(feature: str, prefix: str, tmp_path: Path) -> None:
    path, options = formats.lerobot(tmp_path)
    rename(path, [f"{prefix}x", f"{prefix}y", f"{prefix}z", "roll", "gripper"], feature)
    with pytest.raises(RecordingError, match=rf"{feature} has only {prefix}x, a delta or a velocity"):
        read_tracks(path, options)
    # The position beside them is read.
    rename(path, ["x", "y", "z", "roll", "gripper", f"{prefix}x", f"{prefix}y", f"{prefix}z"], feature)
    (track,) = read_tracks(path, options)[1]
    np.testing.assert_allclose(track.aperture, formats.APERTURE, atol=1e-9)


def test_the_source_reports_that_numbers_of_an_action_are_taken_as_positions(tmp_path: Path) -> None:
    path, options = formats.lerobot(tmp_path)
    (track,) = read_tracks(path, options)[1]
    assert track.source == "LeRobot observation.state, episode 0"
    rename(path, ["x", "y", "z", "roll", "gripper"], "action")
    (track,) = read_tracks(path, options)[1]
    assert track.source == "LeRobot action, positions assumed, episode 0"


def test_two_grippers_of_lerobot_have_their_own_hand_position_and_opening(tmp_path: Path) -> None:
    path, options = formats.lerobot(tmp_path)
    one = ["x", "y", "z", "roll", "gripper"]
    # The opening of the other hand comes first.
    names = [f"left_{name}" for name in one[:4]] + ["right_gripper"] + [f"right_{name}" for name in one[:4]]
    rename(path, [*names, "left_gripper"])
    file = next(path.rglob("*.parquet"))
    table = pq.read_table(file)
    rows = np.array(table["observation.state"].to_pylist())
    rows[:, 4], rows[:, 5] = 0.01, rows[:, 5] + 1.0
    pq.write_table(table.set_column(0, "observation.state", pa.array(rows.tolist())), file)
    tracks = read_tracks(path, options)[1]
    left, right = choose_track(tracks, "left"), choose_track(tracks, "right")
    np.testing.assert_allclose(left.aperture, formats.APERTURE, atol=1e-9)
    np.testing.assert_allclose(right.aperture, 0.01, atol=1e-9)
    np.testing.assert_allclose(right.pinch[:, 0] - left.pinch[:, 0], 1.0, atol=1e-9)


@pytest.mark.parametrize("packed", [False, True])
def test_the_grippers_of_a_bimanual_umi_recording_are_the_right_and_the_left_hand(
    packed: bool, tmp_path: Path
) -> None:
    path, options = formats.umi(tmp_path)
    left = formats.POINTS[:, 4] + np.array([0.0, 0.5, 0.0])
    formats.zarr_array(path / "data" / "robot1_eef_pos", left, 16)
    formats.zarr_array(path / "data" / "robot1_eef_rot_axis_angle", np.zeros((formats.FRAMES, 3)), 16)
    formats.zarr_array(path / "data" / "robot1_gripper_width", np.full((formats.FRAMES, 1), 0.05), 16)
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "umi"), "zip", path))
    _, tracks = read_tracks(path, options)
    assert [(track.hand, track.source) for track in tracks] == [
        ("right", "UMI robot0, episode 0"), ("left", "UMI robot1, episode 0"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"choose one \(--hand right.*0: right, UMI robot0.*1: left, UMI robot1"):
        choose_track(tracks)
    np.testing.assert_allclose(choose_track(tracks, "left").pinch, left, atol=1e-12)
    np.testing.assert_allclose(choose_track(tracks, "right").aperture, formats.APERTURE, atol=1e-9)


@pytest.mark.parametrize("packed", [False, True])
def test_missing_chunks_of_umi_have_their_fill_value(packed: bool, tmp_path: Path) -> None:
    path, options = formats.umi(tmp_path)
    header = path / "data" / "robot0_gripper_width" / ".zarray"
    (header.parent / "1.0").unlink()

    def read(fill_value: object) -> HandTrack:
        header.write_text(json.dumps({**json.loads(header.read_text()), "fill_value": fill_value}))
        file = Path(shutil.make_archive(str(tmp_path / "umi"), "zip", path)) if packed else path
        (track,) = read_tracks(file, options)[1]
        return track

    track = read(0.03)
    np.testing.assert_allclose(track.aperture[:16], formats.APERTURE[:16], atol=1e-9)
    np.testing.assert_allclose(track.aperture[16:], 0.03, atol=1e-9)
    assert track.source == "UMI, episode 0, 1 missing chunk filled"
    assert np.isnan(read("NaN").aperture[16:]).all()
    with pytest.raises(
        RecordingError, match=r"robot0_gripper_width/1\.0: the chunk is missing, and the array has no"
    ):
        read(None)


def test_chunks_of_umi_may_be_in_folders(tmp_path: Path) -> None:
    path, options = formats.umi(tmp_path)
    folder = path / "data" / "robot0_eef_pos"
    for chunk in ("0", "1"):
        (folder / chunk).mkdir()
        (folder / f"{chunk}.0").rename(folder / chunk / "0")
    header = folder / ".zarray"
    header.write_text(json.dumps({**json.loads(header.read_text()), "dimension_separator": "/"}))
    (track,) = read_tracks(path, options)[1]
    np.testing.assert_allclose(track.pinch, (formats.POINTS[:, 4] + formats.POINTS[:, 8]) / 2, atol=1e-12)
    assert track.source == "UMI, episode 0"
