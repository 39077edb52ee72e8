"""Starts the program of teleoperation, and drives PickPlace in its page by keys alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.browser import Browser

KEYS_OF = {"right": ("KeyD", "KeyA"), "away": ("KeyW", "KeyS"), "up": ("KeyE", "KeyQ")}


class Program:
    """The running program; ``port``, and ``url`` of its page."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.match(r"open (http://\S+:(\d+)/\S*)", line):
                self.url, self.port = found[1], int(found[2])
                return
        raise AssertionError("".join(lines))

    def end(self) -> str:
        """Ends it as Ctrl-C does; returns the rest of what it prints."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)


@contextmanager
def program(*arguments: object, package: str = "demos") -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-m", package, "teleop", *map(str, arguments), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "300"},
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


class KeyDriver:
    """A person who looks at the page and presses keys."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.held: set[str] = set()
        self.speed = ""

    @classmethod
    def start(cls, browser: Browser, url: str, condition: str = "s.phase === 'driving'") -> KeyDriver:
        """Open the page, start an episode, and wait until the state meets a condition."""
        driver = cls(browser)
        browser.open(url, width=1280)
        driver.wait("s.phase === 'ready'")
        browser.press("Enter")
        driver.wait(condition)
        return driver

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.browser.evaluate("globalThis.teleop.state")
        return state

    def wait(self, condition: str, seconds: float = 30.0) -> None:
        """Wait until an expression of the page's state ``s`` is true."""
        end = time.monotonic() + seconds
        while not self.browser.evaluate(
            f"(() => {{ const s = teleop.state; return Boolean(s && ({condition})); }})()"
        ):
            assert time.monotonic() < end, (condition, self.browser.evaluate("teleop.state"))
            time.sleep(0.02)

    def hold(self, wanted: set[str]) -> None:
        for code in self.held - wanted:
            self.browser.key(code, down=False)
        for code in wanted - self.held:
            self.browser.key(code, down=True)
        self.held = wanted

    def toward(self, state: dict[str, Any], point: np.ndarray[Any, Any], tolerance: float) -> bool:
        """Press the keys that move the tool to a point; return True if it arrives."""
        error = point - np.array(state["features"]["tool/position"])
        axes = {name: np.array(axis) for name, axis in state["axes"].items()} | {"up": np.array([0.0, 0.0, 1.0])}
        parts = {name: float(axis @ error) for name, axis in axes.items()}
        largest = max(map(abs, parts.values()))
        speed = "Digit4" if largest > 0.08 else "Digit2" if largest > 0.025 else "Digit1"
        if speed != self.speed:
            self.browser.press(speed)
            self.speed = speed
        self.hold({KEYS_OF[name][0 if part > 0 else 1] for name, part in parts.items() if abs(part) > tolerance / 2})
        return largest < tolerance

    def pick_and_place(self, seconds: float = 60.0) -> bool:
        """Drive an episode that has begun; return True if it ends in success."""
        stage = "above"
        end = time.monotonic() + seconds
        if self.state()["gripper"] == "closed":
            self.browser.press("Space")
        while time.monotonic() < end:
            state = self.state()
            if state["phase"] != "driving":
                self.hold(set())
                return state["phase"] == "review" and bool(state["flags"]["is_success"])
            features = {name: np.array(values) for name, values in state["features"].items()}
            cube, goal = features["object/position"], features["goal/position"]
            if stage == "above" and self.toward(state, np.add(cube, [0.0, 0.0, 0.08]), 0.008):
                stage = "down"
            elif stage == "down" and self.toward(state, cube, 0.006):
                self.hold(set())
                self.browser.press("Space")
                stage = "grasp"
            elif (
                stage == "grasp"
                and features["gripper/width"][0] < 0.055
                and abs(features["gripper/velocity"][0]) < 0.01
            ):
                stage = "lift"
            elif stage == "lift" and self.toward(state, np.array([*cube[:2], max(0.12, goal[2])]), 0.03):
                stage = "over"
            elif stage == "over" and self.toward(state, np.array([*goal[:2], max(0.12, goal[2])]), 0.01):
                stage = "place"
            elif stage == "place":
                self.toward(state, features["tool/position"] + goal - cube, 0.006)
        self.hold(set())
        return False

    @staticmethod
    def has_grasped(features: dict[str, Any]) -> bool:
        return bool(features["gripper/width"][0] < 0.055 and abs(features["gripper/velocity"][0]) < 0.01)
