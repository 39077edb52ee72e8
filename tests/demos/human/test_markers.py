"""Motion capture of a person who moves a box: names, units, axes, subjects, gaps, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from demos.__main__ import app
from demos.human.events import Events, find_events
from demos.human.motion.hand_motion import HandMotion, make_motion
from demos.human.readers import ReadOptions, RecordingError, choose_track, read_tracks
from demos.human.readers.markers import _up_of_body

from .laboratory import BODY, HAND, write_c3d

BOX = ("box1", "box2", "box3", "box4")
VICON = dict(zip(HAND, ("RWRA", "RWRB", "RTHM", "RIDX"), strict=True))
BOXES = {name: name.upper() for name in BOX}
OTHERS = {name: name for name in BODY}


def write_trc(path: Path, names: list[str], positions: np.ndarray[Any, Any]) -> None:
    """Write a TRC file of 100 frames per second with positions in millimeters, shape (T, markers, 3)."""
    lines = [f"PathFileType\t4\t(X/Y/Z)\t{path.name}", "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits"]
    lines += [f"100\t100\t{len(positions)}\t{len(names)}\tmm", "Frame#\tTime\t" + "\t\t\t".join(names), "\t\tX1", ""]
    for frame, row in enumerate(positions):
        lines.append("\t".join([str(frame + 1), str(frame / 100), *map(str, row.ravel())]))
    path.write_text("\n".join(lines))


def motion_in(path: Path, **options: Any) -> HandMotion:
    track = choose_track(read_tracks(path, ReadOptions(**options))[1])
    return make_motion(track, find_events(track))


@pytest.mark.parametrize(
    "names",
    [
        {**VICON, **BOXES, **OTHERS},
        {**{name: f"Anna:{label}" for name, label in {**VICON, **OTHERS}.items()},
         **dict(zip(BOX, ("Box:TL", "Box:TR", "Box:BR", "Box:BL"), strict=True))},
        {"wrist_out": "R_WRIST_LAT", "wrist_in": "R_WRIST_MED", "index": "R_Hand", "box1": "Crate-1",
         "box2": "Crate-2"},
        {"wrist_out": "STYLrad", "wrist_in": "STYLulna", "thumb": "thumb_tip", "index": "index_tip",
         "box1": "boite_gauche", "box2": "boite_droite"},
        {"index": "RFIN", "box1": "MyBox"},
    ],
    ids=["Plug-in Gait", "subjects", "words", "no side, French", "one marker each"],
)  # fmt: skip
def test_names_of_laboratories_are_found(names: dict[str, str], tmp_path: Path) -> None:
    grasp, release = write_c3d(tmp_path / "box.c3d", names)
    track = choose_track(read_tracks(tmp_path / "box.c3d")[1])
    assert track.hand == "right"
    assert len(track.objects) == 1
    events = find_events(track)
    assert events.method == "object"
    assert events.grasp == pytest.approx(grasp + 0.2, abs=0.2)
    assert events.release == pytest.approx(release - 0.2, abs=0.2)


@pytest.mark.parametrize(("unit", "size"), [("mm", 1e-3), ("m", 1.0), ("cm", 0.01)])
@pytest.mark.parametrize("up", ["+Y", "+Z"])
def test_units_and_axes_do_not_matter(unit: str, size: float, up: str, tmp_path: Path) -> None:
    names = {**VICON, **BOXES}
    write_c3d(tmp_path / "plain.c3d", names)
    write_c3d(tmp_path / "other.c3d", names, unit=unit, values_in=size, up=up)
    plain, other = motion_in(tmp_path / "plain.c3d"), motion_in(tmp_path / "other.c3d")
    assert (plain.grasp, plain.release) == (other.grasp, other.release)
    np.testing.assert_allclose(plain.points[:, 2], other.points[:, 2], atol=1e-4)


def test_a_direction_up_that_the_file_lacks_is_assumed(tmp_path: Path) -> None:
    write_c3d(tmp_path / "hand.c3d", {**VICON, **BOXES}, up=None)
    track = choose_track(read_tracks(tmp_path / "hand.c3d")[1])
    assert "up not in the file and assumed (--up)" in track.source
    assert track.up == (0.0, 0.0, 1.0)
    # A standing person, of markers at heights from 0 to 1.7 m along y.
    body = np.zeros((4, 12, 3))
    body[:, :, 1] = np.linspace(0, 1.7, 12)
    assert _up_of_body(body) == (0.0, 1.0, 0.0)
    assert _up_of_body(body[:, :3]) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("axis", [1, 2])
def test_the_up_axis_of_a_trc_file_follows_from_a_standing_person_and_is_assumed(axis: int, tmp_path: Path) -> None:
    heights = np.linspace(0.1, 1.7, 12)
    positions = np.full((20, 12, 3), 0.5)
    positions[:, :, axis] = heights
    positions[:, 0, 0] += 0.01 * np.arange(20)
    write_trc(tmp_path / "body.trc", ["RFIN", *(f"M{number}" for number in range(11))], 1000 * positions)
    (track,) = read_tracks(tmp_path / "body.trc")[1]
    assert track.up == tuple(np.eye(3)[axis])
    assert "TRC, up not in the file and assumed (--up)" in track.source
    # Without a person y is up, as in OpenSim.
    write_trc(tmp_path / "hand.trc", ["RFIN"], 1000 * positions[:, :1])
    assert read_tracks(tmp_path / "hand.trc")[1][0].up == (0.0, 1.0, 0.0)


def test_gaps_of_markers_do_not_move_hand_or_box(tmp_path: Path) -> None:
    names = {**VICON, **BOXES}
    write_c3d(tmp_path / "whole.c3d", names)
    gaps = [("box1", 150, 230), ("box2", 200, 240), ("thumb", 100, 160), ("index", 300, 330)]
    write_c3d(tmp_path / "gaps.c3d", names, gaps=gaps)
    whole, broken = (choose_track(read_tracks(tmp_path / f"{name}.c3d")[1]) for name in ("whole", "gaps"))
    assert np.isnan(broken.points[100:160, 4]).all()
    # While two of four are hidden, the turn of the box is unknown.
    np.testing.assert_allclose(broken.objects["box"], whole.objects["box"], atol=0.005)
    one, other = find_events(whole), find_events(broken)
    assert one.grasp == pytest.approx(other.grasp, abs=0.05)
    assert one.release == pytest.approx(other.release, abs=0.05)


def test_two_subjects_are_two_tracks(tmp_path: Path) -> None:
    names = {"index": "Anna:RFIN", "LFIN": "Ben:RFIN", **BOXES}
    write_c3d(tmp_path / "two.c3d", names)
    tracks = read_tracks(tmp_path / "two.c3d")[1]
    assert ["Anna" in track.source.split(",")[1] for track in tracks] == [True, False]
    # Ben's hand rests.
    assert "Anna" in choose_track(tracks).source
    with pytest.raises(RecordingError, match="several markers RFIN: Anna:RFIN, Ben:RFIN"):
        read_tracks(tmp_path / "two.c3d", ReadOptions(markers={"index_1": ["RFIN"]}))


def test_two_boxes_of_one_word_are_two_objects(tmp_path: Path) -> None:
    names = {**VICON, "box1": "BOXA1", "box2": "BOXA2", "LASI": "BOXB1", "CLAV": "BOXB2"}
    write_c3d(tmp_path / "two.c3d", names)
    assert sorted(choose_track(read_tracks(tmp_path / "two.c3d")[1]).objects) == ["box", "box 2"]


def test_what_is_missing_names_the_option_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "lab.c3d"
    write_c3d(path, {"C7": "C7", "box1": "M1", "index": "M2"})
    with pytest.raises(RecordingError, match=r"give the markers of a hand \(--marker .* the file has C7, M1, M2"):
        read_tracks(path)
    given = ReadOptions(markers={"index_tip": ["M2"]}, objects={"box": ["M1"]})
    assert find_events(choose_track(read_tracks(path, given)[1])).method == "object"
    with pytest.raises(RecordingError, match="no marker M9; the file has C7, M1, M2"):
        read_tracks(path, ReadOptions(markers={"index_tip": ["M9"]}))
    write_c3d(path, {"index": "RFIN", "box1": "*12", "box2": "*13"})
    track = choose_track(read_tracks(path)[1])
    assert "no object (--object box=NAME,NAME); the file has RFIN, *12, *13" in track.source
    write_c3d(path, {**VICON, **BOXES}, values_in=1.0)
    with pytest.raises(ValueError, match=r"moves by only 0\.\d+ mm; .*\(--unit\)"):
        motion_in(path)
    assert len(motion_in(path, unit=1.0).points) > 40
    times = write_c3d(path, {"LFIN": "LFIN", "index": "RFIN", **BOXES})
    left = choose_track(read_tracks(path)[1], "left")
    with pytest.raises(ValueError, match=r"does not move together with the hand; choose the other hand \(--hand\)"):
        make_motion(left, find_events(left))
    with pytest.raises(ValueError, match=r"the left hand moves by only .* choose the other hand \(--hand\)"):
        make_motion(left, Events(*times, "given"))


def test_the_commands_alone_make_demonstrations_of_a_lab_recording(tmp_path: Path) -> None:
    path = tmp_path / "box.c3d"
    write_c3d(path, {**VICON, **BOXES, **OTHERS}, gaps=[("box1", 150, 230)])
    shown = CliRunner().invoke(app, ["human", "inspect", str(path)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "object box" in shown.output
    adapted = CliRunner().invoke(
        app, ["human", "adapt", str(path), "LamPickPlace-v0", "--episodes", "1", "--root", str(tmp_path)],
        env={"COLUMNS": "200"},
    )  # fmt: skip
    assert adapted.exit_code == 0, adapted.output
    assert "1 of 1 attempts succeeded (100.0%)" in adapted.output
