"""The page on which a person talks to a robot: what it shows, when the robot stops, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import gymnasium as gym
import pytest

import agents
from agents.deployment.talk.conversation import Conversation
from agents.deployment.talk.messages import Command, parse
from agents.deployment.talk.session import MAX_WAITING, TalkSession, TalkSettings
from agents.imitation.lam.language import parse as parse_sentence
from demos.runtime.web.hub import Hub
from demos.runtime.web.messages import unpack
from tests.agents.lam.scenes import policy_of
from tests.browser import Browser, browsing
from tests.conftest import Make
from tests.demos.teleop.client import get

WORDS = "lift the put in on pick up push to open close stack place of left right side"


class Client:
    """Client that talks as the page does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.state: dict[str, Any] = {}
        self.scene: dict[str, Any] = {}
        self.log: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self.images: list[bytes] = []

    async def send(self, kind: str, **more: Any) -> None:
        await self.socket.send_json({"type": kind, **more})

    async def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, (self.state, self.log, self.notices)
            message = await asyncio.wait_for(self.socket.receive(), 30)
            if message.type == aiohttp.WSMsgType.BINARY:
                self.state, self.images = unpack(message.data)
                await self.send("received", frame=self.state["frame"])
                continue
            if message.type != aiohttp.WSMsgType.TEXT:
                raise ConnectionError(f"{message.type!r} {message.data!r}")
            content = json.loads(message.data)
            if content["type"] == "scene":
                self.scene = content
            elif content["type"] == "log":
                self.log = content["entries"]
            elif content["type"] == "notice":
                self.notices.append(content["text"])

    def heard(self, text: str) -> bool:
        return any(text in entry["text"] for entry in self.log if entry["who"] == "robot")


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}ws", max_msg_size=0) as socket:
        yield Client(socket)


def talk_to(url: str, play: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        async with client(url) as opened:
            await opened.until(lambda: opened.scene and opened.state)
            await play(opened)

    asyncio.run(run())


class Program:
    """The running program, and the address of its page."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [
            sys.executable,
            "-m",
            "agents",
            "talk",
            str(folder),
            "--env",
            "LamTable-v0",
            "--web",
            "--port",
            "0",
        ]
        self.process = subprocess.Popen(
            [*command, "--image-size", "64", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "300"},
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(r"open (\S+)", line):
                self.url = found[1]
                return
        raise AssertionError("the program printed no address")

    def end(self) -> str:
        """End it as Ctrl-C does; return the rest of what it prints."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved, untrained agent that knows some words."""
    env = gym.make("LamTable-v0", instruct=True)
    agent = agents.make("lam", env, width=8)
    agent.policy.network.sentences.extend([parse_sentence(WORDS, [])])
    saved: Path = agent.save(tmp_path_factory.mktemp("talk") / "lam")
    env.close()
    return saved


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Program]:
    program = Program(folder, "--max-steps", "1000")
    yield program
    program.process.kill()
    program.process.communicate()


def missing_of(opened: Client) -> str:
    colors = ("red", "green", "blue", "yellow", "purple")
    return next(f"{color} cube" for color in colors if f"{color} cube" not in opened.scene["objects"])


def test_the_robot_answers_follows_and_stops(running: Program) -> None:
    async def play(opened: Client) -> None:
        missing = missing_of(opened)
        await opened.send("instruct", text=f"put the {missing} in the bin")
        await opened.until(lambda: opened.heard(f"The scene has no {missing}."))
        await opened.until(lambda: opened.state["result"] == "refused")
        await opened.send("instruct", text="hoist the slab")
        await opened.until(lambda: opened.heard("Words that the model has not learned: hoist."))
        await opened.until(lambda: opened.state["is_working"] and opened.state["step"] > 2)
        assert len(opened.images) == 2
        # Another instruction ends the first one.
        suggestion = opened.scene["suggestions"][0]
        await opened.send("instruct", text=suggestion)
        await opened.until(lambda: opened.heard("you asked for something else"))
        await opened.until(lambda: opened.state["instruction"] == suggestion and opened.state["step"] > 2)
        await opened.send("stop")
        await opened.until(lambda: opened.state["result"] == "stopped" and not opened.state["is_working"])

    talk_to(running.url, play)


def test_a_new_scene_has_other_suggestions(running: Program) -> None:
    async def play(opened: Client) -> None:
        before = opened.scene
        assert 1 < len(before["suggestions"]) <= 6
        await opened.send("scene")
        await opened.until(lambda: opened.scene["seed"] == before["seed"] + 1)
        assert opened.scene["suggestions"] != before["suggestions"]
        await opened.send("cameras", names=["side"])
        await opened.until(lambda: opened.state["cameras"] == ["side"] and len(opened.images) == 1)
        await opened.send("cameras", names=["front", "wrist"])
        await opened.until(lambda: len(opened.images) == 2)

    talk_to(running.url, play)


def test_the_robot_stops_when_the_page_is_gone(running: Program) -> None:
    steps: list[int] = []

    async def vanish(opened: Client) -> None:
        await opened.send("instruct", text="lift the slab")
        await opened.until(lambda: opened.state["is_working"] and opened.state["step"] > 2)
        steps.append(opened.state["step"])

    async def come_back(opened: Client) -> None:
        await opened.until(lambda: opened.heard("Stopped: the page was closed."))
        assert not opened.state["is_working"]
        assert opened.state["step"] <= steps[0] + 4  # those on their way to this test

    talk_to(running.url, vanish)
    talk_to(running.url, come_back)


def test_a_second_page_is_refused(running: Program) -> None:
    async def play(opened: Client) -> None:
        async with client(running.url) as second:
            assert (await second.socket.receive_json())["type"] == "refused"
            assert (await second.socket.receive()).data == 4009
        await opened.send("cameras", names=["front", "wrist"])
        frame = opened.state["frame"]
        await opened.until(lambda: opened.state["frame"] > frame)

    talk_to(running.url, play)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"type": "close"}', "is of type 'close'"),  # what only the program itself may say
        ('{"type": "instruct"}', "'text' of a message is None"),
        ('{"type": "instruct", "text": "  "}', "not empty"),
        ('{"type": "instruct", "text": "' + "lift " * 40 + '"}', "128"),
        ('{"type": "cameras", "names": ["../x"]}', "expected one of front"),
        ('{"type": "received", "frame": -1}', "'frame' of a message is -1"),
    ],
)
def test_an_invalid_message_is_refused_with_its_reason(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=r"message|instruction") as raised:
        parse(text)
    assert error in str(raised.value)


def test_a_valid_message_is_a_command() -> None:
    assert parse('{"type": "instruct", "text": " lift the slab "}') == Command("instruct", "lift the slab")
    assert parse('{"type": "stop"}') == Command("stop")


@pytest.mark.parametrize("sent", [["x" * 100_000], ["{"] * 40])
def test_a_page_that_sends_nonsense_is_disconnected(running: Program, sent: list[str]) -> None:
    async def play(opened: Client) -> None:
        for text in sent:
            await opened.socket.send_str(text)
        with pytest.raises((ConnectionError, aiohttp.ClientError)):
            await opened.until(lambda: False)

    talk_to(running.url, play)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("", {}, 200),
        ("talk.js", {}, 200),
        ("base.css", {}, 200),
        ("%2e%2e/session.py", {}, 404),
        ("", {"Host": "evil.example"}, 403),
        ("ws", {"Origin": "http://evil.example"}, 403),
    ],
)
def test_paths_and_origins(running: Program, path: str, headers: dict[str, str], status: int) -> None:
    assert get(running.url + path, **headers)[0] == status


def test_a_closed_session_does_not_carry_out_what_waits(make: Make) -> None:
    env = make("LamTable-v0", instruct=True)
    session = TalkSession(Conversation(policy_of(env), env, seed=0), env, TalkSettings(image_size=64), Hub())
    for _ in range(MAX_WAITING):
        session.receive(json.dumps({"type": "scene"}))
    session.close()
    session.run()
    assert session._seed == 0  # no new scene


def test_a_wrong_token_is_refused_and_interrupting_ends_the_program_cleanly(folder: Path) -> None:
    program = Program(folder, "--token")
    try:
        base, _, token = program.url.partition("?token=")
        assert len(token) > 20
        for url in (base, f"{base}?token={token[:-1]}", f"{base}ws"):
            assert get(url)[0] == 401
        assert get(program.url)[0] == 200
        assert "Traceback" not in program.end()
        assert program.process.returncode == 0
    finally:
        program.process.kill()
        program.process.wait(60)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path / "profile") as opened:
        yield opened


def wait(browser: Browser, condition: str) -> None:
    end = time.monotonic() + 30
    while not browser.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end, (condition, browser.evaluate("talk"))
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_a_person_talks_on_the_page(
    running: Program, browser: Browser, width: int, scheme: str, tmp_path: Path
) -> None:
    browser.open(running.url, width=width, scheme=scheme)
    wait(browser, "talk.scene && talk.state")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    browser.evaluate("document.querySelector('#text').value = 'hoist the slab'")
    browser.evaluate("document.querySelector('#form').requestSubmit(); 1")
    wait(browser, "talk.state.is_working && talk.state.step > 2")
    wait(browser, "document.querySelector('#log').textContent.includes('has not learned: hoist')")
    browser.evaluate("document.querySelector('#stop').click(); 1")
    wait(browser, "!talk.state.is_working")
    browser.evaluate("document.querySelector('#suggestions button').click(); 1")
    wait(browser, "talk.state.is_working && talk.state.instruction === talk.scene.suggestions[0]")
    browser.press("Escape")
    wait(browser, "!talk.state.is_working")
    assert browser.evaluate("document.querySelectorAll('button, input, select').length") >= 5
    browser.screenshot(tmp_path / "page.png")
    assert browser.complaints == []
