"""Control by a hand in front of a camera, in headless Chromium, so these tests are slow ones.

The files of hand tracking are not in the repository: ``make hand-page``, which ``make test-all`` runs, writes them
into ``hand-page``, and ``LAM_ENVS_HAND_PAGE`` names another folder. The test that finds a hand in a video needs them.
The others need no such files: a program of their own has its place, and the test says where the hand is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.recordings.synthetic import Scene, hand, look_at
from demos.teleop.hand_page import FILES
from tests.browser import Browser, browsing
from tests.demos.human.rendered_hand import REST, RenderedHand, hand_pose, with_aperture
from tests.demos.teleop.driver import KeyDriver, program
from tests.demos.teleop.test_hand_motion import landmarks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GIVEN = os.environ.get("LAM_ENVS_HAND_PAGE")
FOLDER = Path(GIVEN) if GIVEN else Path(__file__).parents[3] / "hand-page"
ALLOWED, CAMERA = "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"
PATIENCE = 120.0
"""Seconds: other programs may use the same cores."""
SCRIPTED = """
self.Hands = class {
  constructor() {
    this.landmarks = null;
    new BroadcastChannel("hand").onmessage = ({ data }) => { this.landmarks = data; };
  }
  setOptions() {}
  onResults(listener) { this.listener = listener; }
  async initialize() { await fetch("/hand/hands.binarypb"); }
  async send({ image }) {
    await new Promise((done) => setTimeout(done, 30));
    const points = this.landmarks?.map(([x, y, z]) => ({ x, y, z }));
    this.listener({ image, multiHandLandmarks: points ? [points] : [] });
  }
};
"""
"""Tracker that finds the hand where the test says it is, whatever the camera sees."""
OPEN, CLOSED = (hand_pose(with_aperture(aperture, REST)) for aperture in (0.08, 0.012))


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    folder = tmp_path / "hand"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(SCRIPTED if name == "hands.js" else "")
    return folder


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path / "profile", ALLOWED, CAMERA) as opened:
        yield opened


class HandDriver(KeyDriver):
    """A person in front of a camera."""

    def show(self, points: np.ndarray[Any, Any] | None, position: tuple[float, float, float] = (0, 0, 0)) -> None:
        """Hold a hand at a position: to the right, to the camera, up; None for no hand."""
        seen = None if points is None else landmarks(points, position)
        self.browser.evaluate(
            f"(globalThis.tracker ??= new BroadcastChannel('hand')).postMessage({json.dumps(seen)})"
        )

    def click(self, name: str) -> None:
        self.browser.evaluate(f"document.querySelector('#{name}').click()")

    def message(self) -> str:
        return str(self.browser.evaluate("document.querySelector('#hand-message').textContent"))

    def wait_message(self, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in self.message():
            assert time.monotonic() < end, (text, self.message())
            time.sleep(0.05)

    def start(self) -> None:
        self.wait("s.phase === 'ready'", PATIENCE)
        self.wait_message("The camera is off")
        self.click("hand-camera")

    def start_with_a_hand(self) -> None:
        self.start()
        self.wait_message("No hand detected")
        self.show(OPEN)
        self.wait_message("Press Follow")

    def tool(self) -> dict[str, float]:
        state = self.state()
        tool = np.array(state["features"]["tool/position"])
        return {name: float(np.array(axis) @ tool) for name, axis in state["axes"].items()} | {"up": float(tool[2])}


def test_the_tool_follows_the_hand_stops_when_it_is_lost_and_keys_still_move_it(
    tmp_path: Path, browser: Browser, scripted: Path
) -> None:
    with program("LamPickPlace-v0", "--root", tmp_path, "--hand-tracking", scripted) as running:
        driver = HandDriver(browser)
        browser.open(running.url, width=1280, height=800)
        driver.start_with_a_hand()
        browser.press("KeyH")
        driver.wait_message("once the episode has started")
        browser.press("Enter")
        driver.wait_message("The tool follows your hand")
        before = driver.tool()
        driver.show(OPEN, (0.035, 0, 0))
        end = time.monotonic() + PATIENCE
        while (moved := driver.tool())["right"] < before["right"] + 0.025:
            assert time.monotonic() < end, (before, moved)
        time.sleep(1.0)
        moved = driver.tool()
        assert moved["right"] < before["right"] + 0.045
        assert abs(moved["away"] - before["away"]) < 0.01
        # A pinch closes the gripper, and an opened hand opens it.
        driver.show(CLOSED, (0.035, 0, 0))
        driver.wait("s.gripper === 'closed'", PATIENCE)
        driver.show(OPEN, (0.035, 0, 0))
        driver.wait("s.gripper === 'open'", PATIENCE)
        # A hand that is lost stops the robot, and another place moves nothing.
        driver.show(OPEN, (0, 0, 0))
        driver.wait("teleop.motion.right < 0", PATIENCE)
        driver.show(None)
        driver.wait_message("No hand detected")
        assert browser.evaluate("[teleop.motion.right, teleop.motion.away, teleop.motion.up]") == [0, 0, 0]
        time.sleep(0.3)
        still = driver.tool()
        driver.show(OPEN, (0.1, 0, 0.1))
        driver.wait_message("The tool follows your hand")
        time.sleep(0.3)
        assert all(abs(value - still[name]) < 0.004 for name, value in driver.tool().items())
        # Keys move the tool, and the hand does not bring it back.
        browser.key("KeyE", down=True)
        driver.wait(f"s.features['tool/position'][2] > {still['up'] + 0.03}", PATIENCE)
        browser.key("KeyE", down=False)
        time.sleep(0.3)
        assert driver.tool()["up"] > still["up"] + 0.025
        # Without the hand the tool stays, wherever the hand goes.
        browser.press("KeyH")
        driver.wait_message("Press Follow")
        driver.show(OPEN, (0.06, 0, 0.06))
        time.sleep(0.3)
        assert browser.evaluate("teleop.motion.right") == 0
        driver.click("hand-camera")
        driver.wait_message("The camera is off")
        assert browser.complaints == []


def test_a_step_back_and_the_next_episode_do_not_move_the_tool(
    tmp_path: Path, browser: Browser, scripted: Path
) -> None:
    with program("LamPickPlace-v0", "--root", tmp_path, "--hand-tracking", scripted) as running:
        driver = HandDriver(browser)
        browser.open(running.url, width=1280, height=800)
        driver.start_with_a_hand()
        browser.press("KeyH")
        for end in ("KeyU", "Backspace"):
            if driver.state()["phase"] == "ready":
                browser.press("Enter")
            driver.wait("s.phase === 'driving' && s.hold === 'motion'", PATIENCE)
            driver.wait_message("The tool follows your hand")
            browser.key("KeyW", down=True)
            driver.wait("s.step > 12", PATIENCE)
            browser.key("KeyW", down=False)
            browser.press(end)
            driver.wait("s.hold === 'motion' || s.phase === 'ready'", PATIENCE)
            before = driver.state()["step"]
            time.sleep(0.5)
            state = driver.state()
            assert state["step"] == before
            assert browser.evaluate("[teleop.motion.right, teleop.motion.away, teleop.motion.up]") == [0, 0, 0]
        assert browser.complaints == []


def test_the_hand_moves_nothing_while_a_policy_acts(tmp_path: Path, browser: Browser, scripted: Path) -> None:
    with program("LamPickPlace-v0", "--root", tmp_path, "--hand-tracking", scripted, "--expert") as running:
        driver = HandDriver(browser)
        browser.open(running.url, width=1280, height=800)
        driver.start_with_a_hand()
        browser.press("KeyH")
        browser.press("Enter")
        driver.wait_message("The policy acts")
        driver.show(CLOSED, (0.03, 0, 0))
        driver.wait("s.step > 10", PATIENCE)
        assert driver.state()["by_person"] == 0
        browser.press("KeyT")
        driver.wait_message("The tool follows your hand")
        driver.show(CLOSED, (0.0, 0, 0))
        driver.wait("s.by_person > 0", PATIENCE)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--deny-permission-prompts", CAMERA), "The camera is not allowed"),
        ((ALLOWED, f"{CAMERA}=device-count=0"), "There is no camera"),
    ],
    ids=["denied", "none"],
)
def test_a_camera_that_is_denied_or_missing_is_explained(
    tmp_path: Path, scripted: Path, flags: tuple[str, ...], text: str
) -> None:
    with (
        program("LamReach-v0", "--root", tmp_path, "--hand-tracking", scripted) as running,
        browsing(tmp_path / "profile", *flags) as browser,
    ):
        driver = HandDriver(browser)
        browser.open(running.url, width=1280)
        driver.start()
        driver.wait_message(text)
        assert browser.evaluate("document.querySelector('#hand-camera').textContent") == "Start camera"


def test_a_tracker_that_fails_is_explained(tmp_path: Path, browser: Browser, scripted: Path) -> None:
    (scripted / "hands.js").write_text("throw new Error('no memory');")
    with program("LamReach-v0", "--root", tmp_path, "--hand-tracking", scripted) as running:
        driver = HandDriver(browser)
        browser.open(running.url, width=1280)
        driver.start()
        driver.wait_message("Hand tracking failed: no memory")


def test_without_the_option_the_page_has_no_hand_control(tmp_path: Path, browser: Browser) -> None:
    with program("LamReach-v0", "--root", tmp_path) as running:
        driver = HandDriver(browser)
        browser.open(running.url, width=1280)
        driver.wait("s.phase === 'ready'", PATIENCE)
        assert browser.evaluate("document.querySelector('#hand').getBoundingClientRect().height") == 0
        assert not browser.evaluate(
            "performance.getEntriesByType('resource').some((entry) => entry.name.includes('hand'))"
        )
        assert browser.complaints == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_hand_control_fits_every_screen(
    tmp_path: Path, browser: Browser, scripted: Path, width: int, height: int, scheme: str
) -> None:
    with program("LamPickPlace-v0", "--root", tmp_path, "--hand-tracking", scripted) as running:
        driver = HandDriver(browser)
        browser.open(running.url, width=width, height=height, scheme=scheme)
        driver.start_with_a_hand()
        browser.press("Enter")
        browser.press("KeyH")
        driver.wait_message("The tool follows your hand")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        video, points = (
            browser.evaluate(f"(({{x, y, width, height}}) => [x, y, width, height])("
                             f"document.querySelector('#hand-{name}').getBoundingClientRect())")
            for name in ("video", "points")
        )  # fmt: skip
        assert video == pytest.approx(points, abs=1)
        browser.screenshot(tmp_path / "hand.png")
        assert browser.complaints == []


VIDEO_SIZE, VIDEO_FPS = (640, 480), 10
WAY = 0.06
"""Way of the hand in the video, there and back, meters: at most 2 mm between two frames."""


def write_video(path: Path) -> None:
    """Write a video in which a hand rests, moves to the right of the image, rests, and moves back."""
    camera = look_at(np.array([0.02, -0.13, 0.8]), np.array([0.02, -0.13, 0.0]), focal=560.0, size=VIDEO_SIZE)
    phase = np.concatenate([np.zeros(40), np.linspace(0, 1, 40), np.ones(40), np.linspace(1, 0, 40)])
    pinch = np.array([-0.04, -0.08, 0.25]) + phase[:, None] * [WAY, 0, 0]
    points = hand(pinch, np.full(len(phase), 0.07))
    scene = Scene(np.arange(len(phase)) / VIDEO_FPS, points, np.inf, np.inf, np.full(3, -1.0), np.full(3, -1.0))
    drawn = RenderedHand(camera)
    width, height = VIDEO_SIZE
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{VIDEO_FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in drawn.frames(scene, np.random.default_rng(0)):
            colors = np.asarray(Image.fromarray(frame.image).convert("YCbCr"))
            planes = colors[..., 0], colors[::2, ::2, 1], colors[::2, ::2, 2]
            file.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes))
    drawn.close()


@pytest.mark.timeout(1800)
def test_the_tool_follows_a_hand_in_a_video(tmp_path: Path) -> None:
    assert FOLDER.is_dir(), "this test needs the files of hand tracking: run make hand-page"
    write_video(tmp_path / "hand.y4m")
    flags = (ALLOWED, CAMERA, f"--use-file-for-fake-video-capture={tmp_path / 'hand.y4m'}")
    with (
        program("LamPickPlace-v0", "--root", tmp_path, "--hand-tracking", FOLDER, "--seconds", 600) as running,
        browsing(tmp_path / "profile", *flags) as browser,
    ):
        driver = HandDriver(browser)
        browser.open(running.url, width=1280, height=800)
        driver.start()
        end = time.monotonic() + 600  # a busy machine loads the files for minutes
        while "Press Follow" not in driver.message():
            assert "failed" not in driver.message()
            assert time.monotonic() < end, driver.message()
            time.sleep(0.2)
        browser.press("Enter")
        driver.wait("s.phase === 'driving'", PATIENCE)
        browser.press("KeyH")
        driver.wait_message("The tool follows your hand")
        ways: list[dict[str, float]] = []
        end = time.monotonic() + 60  # nearly four times there and back
        while time.monotonic() < end:
            ways.append(driver.tool())
            time.sleep(0.1)
        requested = browser.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert all(name.startswith(running.url) for name in requested), requested
    span = {name: np.ptp([each[name] for each in ways]) for name in ways[0]}
    # The camera faces the person: the right of the image is the person's left, there and back.
    assert 0.5 * WAY < span["right"] < 1.5 * WAY, span
    assert span["up"] < 0.3 * span["right"], span
    assert span["away"] < 0.6 * span["right"], span  # from the size of the hand alone
