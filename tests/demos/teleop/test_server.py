"""The server: what it records, when the robot stops, and whom it refuses. Real websockets, a real program."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import gymnasium as gym
import pytest
from typer.testing import CliRunner

import demos
from demos.__main__ import app
from demos.collection.human_demonstrator import TELEOP
from demos.collection.plan import Plan
from demos.datasets.episode import INTERVENTION
from demos.datasets.reading import episodes_of
from demos.runtime.web.hub import MAX_IN_FLIGHT
from demos.teleop.driving import REWIND_STEPS
from demos.teleop.settings import Recording, SessionSettings
from demos.teleop.view import time_limit
from tests.demos.check.damage import check_here
from tests.demos.teleop.client import Page, drive, get, page
from tests.demos.teleop.driver import Program, program

QUICK = ("--real-time-factor", "2", "--image-size", "64")
REACH = ("LamReach-v0", *QUICK)
ID = "lam/driven-v0"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("driven")


@pytest.fixture(scope="module")
def reach(root: Path) -> Iterator[Program]:
    """A program that records Reach, for tests that leave it as it was."""
    with program(*REACH, "--root", root, "--id", ID, "--episodes", 2) as running:
        yield running


def test_an_episode_is_driven_kept_taken_back_and_replayed(tmp_path: Path) -> None:
    async def play(opened: Page) -> None:
        await opened.reach()
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 1 and state["phase"] == "ready")
        await opened.send("undo")
        await opened.until(lambda state: state["recorded"] == 0 and state["phase"] == "review")
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 1 and state["phase"] == "ready")
        await opened.reach()
        await opened.send("rewind")
        await opened.until(lambda state: state["phase"] == "driving" and state["hold"] == "motion")
        opened.motion = {"up": 0.1}
        await opened.until(lambda state: state["phase"] == "review" or state["hold"] is None)
        opened.motion = {}
        await opened.send("discard")
        await opened.until(lambda state: state["phase"] == "ready")
        await opened.reach()
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 2)

    with program(*REACH, "--root", tmp_path, "--id", ID) as running:
        opened = drive(running.url, play)
        assert [len(episode["thumbnail"]) > 500 for episode in opened.episodes] == [True, True]
        printed = running.end()
    assert "2 episodes" in printed
    dataset = demos.load(ID, tmp_path)
    assert demos.replay(dataset).identical == 2
    assert check_here(ID, tmp_path, replay=1).is_undamaged
    assert dataset.storage.metadata["lam_envs_dropped"] == 1
    for episode in episodes_of(dataset):
        assert episode.success
        assert episode.truncations[-1]
        assert not episode.truncations[:-1].any()
        assert episode.infos[INTERVENTION][1:].all()
    assert len({episode.seed for episode in episodes_of(dataset)}) == 2


def test_an_undo_that_is_pressed_twice_does_not_rewind_the_episode(reach: Program) -> None:
    async def play(opened: Page) -> None:
        await opened.send("rewind")
        await opened.noticed("rewind is not possible now")
        await opened.reach()
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 1 and state["phase"] == "ready")
        steps = opened.episodes[0]["steps"]
        await opened.send("undo")
        await opened.send("undo")  # before the page shows the result of the first
        await opened.noticed("undo is not possible now")
        state = await opened.until(lambda state: state["phase"] == "review")
        assert state["step"] == steps
        await opened.send("rewind")
        state = await opened.until(lambda state: state["phase"] == "driving" and state["hold"] == "motion")
        assert state["step"] == max(steps - REWIND_STEPS, 0)
        await opened.send("undo")
        await opened.noticed("undo is not possible while you control the robot")
        await opened.send("discard")
        await opened.until(lambda state: state["phase"] == "ready" and state["recorded"] == 0)

    drive(reach.url, play)


@pytest.mark.slow
def test_what_was_recorded_survives_a_kill_and_is_continued(tmp_path: Path) -> None:
    async def keep_one(opened: Page) -> None:
        recorded = opened.state["recorded"]
        await opened.reach()
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == recorded + 1)

    async def keep_one_and_start_another(opened: Page) -> None:
        await keep_one(opened)
        await opened.send("start")
        opened.motion = {"up": 1.0}
        await opened.until(lambda state: state["step"] > 2)
        running.kill()

    with program(*REACH, "--root", tmp_path, "--id", ID) as running:
        drive(running.url, keep_one_and_start_another)
    assert demos.load(ID, tmp_path).total_episodes == 1
    with program(*REACH, "--root", tmp_path, "--id", ID) as running:
        opened = drive(running.url, keep_one)
        assert len(opened.episodes) == 2
        assert all(episode["thumbnail"] for episode in opened.episodes)
        running.end()
    dataset = demos.load(ID, tmp_path)
    assert demos.replay(dataset).identical == 2
    assert len({episode.seed for episode in episodes_of(dataset)}) == 2


def test_a_failure_is_not_kept_by_default(reach: Program) -> None:
    async def play(opened: Page) -> None:
        await opened.send("start")
        opened.motion = {"up": 0.2}
        await opened.until(lambda state: state["step"] > 2)
        await opened.send("finish")
        await opened.until(lambda state: state["phase"] == "review")
        await opened.send("keep")
        await opened.noticed("--keep-failures")
        await opened.send("discard")
        await opened.until(lambda state: state["phase"] == "ready" and state["recorded"] == 0)

    drive(reach.url, play)


def test_the_robot_stops_when_the_page_is_gone_or_silent_and_a_late_page_sees_the_last_state(reach: Program) -> None:
    async def start(opened: Page) -> None:
        await opened.send("start")
        opened.motion = {"up": -0.2}
        await opened.until(lambda state: state["step"] > 2)

    steps = []

    async def vanish(opened: Page) -> None:
        await start(opened)
        steps.append(opened.state["step"])

    async def come_back(opened: Page) -> None:
        assert opened.state["phase"] == "driving"
        assert opened.state["step"] <= steps[0] + 2 + MAX_IN_FLIGHT
        assert opened.state["hold"] in ("motion", "silent")
        await opened.until(lambda state: state["hold"] == "motion")
        # A page that is connected and says nothing.
        opened.motion = {"up": -0.2}
        state = await opened.until(lambda state: state["hold"] is None and state["step"] > steps[0] + 4)
        before = state["step"]
        await asyncio.sleep(1.0)  # as long as 40 steps
        # More images than may be on the way were drawn meanwhile; the last one shows why the robot stands still.
        silent = await opened.until(lambda state: state["hold"] == "silent")
        assert silent["step"] <= before + 10
        opened.motion = {}
        await opened.send("discard")
        await opened.until(lambda state: state["phase"] == "ready")

    drive(reach.url, vanish)
    time.sleep(1.0)
    drive(reach.url, come_back)


def test_a_second_page_is_refused_and_the_first_goes_on(reach: Program) -> None:
    async def play(opened: Page) -> None:
        async with page(reach.url) as second:
            refusal = await second.socket.receive_json()
            assert refusal == {"type": "refused", "text": "another page controls the robot; close it first"}
            closed = await second.socket.receive()
            assert closed.type == aiohttp.WSMsgType.CLOSE
            assert closed.data == 4009
        await opened.send("skip")
        await opened.until_after(opened.state["frame"])

    drive(reach.url, play)


def test_invalid_messages_are_answered_and_change_nothing(reach: Program) -> None:
    async def play(opened: Page) -> None:
        seed = opened.state["seed"]
        for text in ("{", "[]", '{"type": "close"}', '{"type": "remove", "seed": 5}', '{"type": "keep"}'):
            await opened.socket.send_str(text)
        await opened.socket.send_bytes(b"\0\1")
        for reason in (
            "not valid JSON",
            "a JSON object",
            "'close'",
            "the seed 5",
            "keep is not possible",
            "not text",
        ):
            await opened.noticed(reason)
        await opened.send("cameras", names=["side"])
        await opened.until(lambda state: state["cameras"] == ["side"])
        assert opened.state["seed"] == seed
        assert len(opened.images) == 1
        await opened.send("cameras", names=["front", "wrist"])
        await opened.until(lambda state: len(state["cameras"]) == 2)

    drive(reach.url, play)


@pytest.mark.parametrize("sent", [["x" * 100_000], ["{"] * 40])
def test_a_page_that_sends_nonsense_is_disconnected(reach: Program, sent: list[str]) -> None:
    async def play(opened: Page) -> None:
        for text in sent:
            await opened.socket.send_str(text)
        with pytest.raises((ConnectionError, aiohttp.ClientError)):
            await opened.until_after(10**9)

    drive(reach.url, play)

    async def still_there(opened: Page) -> None:
        assert opened.state["phase"] == "ready"

    drive(reach.url, still_there)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("", {}, 200),
        ("page.js", {}, 200),
        ("../session.py", {}, 404),
        ("%2e%2e/session.py", {}, 404),
        ("page%2f..%2f..%2fsession.py", {}, 404),
        ("export/../../x", {}, 404),
        ("export/%2e%2e%2fetc", {}, 404),
        ("export/pickle", {}, 404),
        ("export/npz", {}, 409),  # nothing is recorded
        ("", {"Host": "evil.example"}, 403),
        ("", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 200),  # a link
        ("", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, 403),
        ("export/npz", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 403),
        ("export/npz", {"Origin": "http://evil.example"}, 403),
        ("ws", {"Origin": "http://evil.example"}, 403),
        ("ws", {}, 400),  # no websocket
    ],
)
def test_paths_and_origins(reach: Program, path: str, headers: dict[str, str], status: int) -> None:
    got, _, sent = get(reach.url + path, **headers)
    assert got == status
    assert sent["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.usefixtures("reach")
def test_another_program_does_not_record_into_the_same_dataset(root: Path) -> None:
    refused = CliRunner().invoke(app, ["teleop", *REACH, "--root", str(root), "--id", ID, "--port", "0"])
    assert refused.exit_code == 2
    assert "another process is recording" in refused.stderr


def test_a_wrong_token_is_refused_and_the_right_one_becomes_a_cookie(tmp_path: Path) -> None:
    with program(*REACH, "--root", tmp_path, "--host", "0.0.0.0") as running:  # noqa: S104
        base = running.url.partition("?")[0].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        token = running.url.partition("token=")[2]
        assert len(token) > 20
        for url in (base, f"{base}?token=", f"{base}?token={token[:-1]}", f"{base}ws", f"{base}export/npz?token=x"):
            assert get(url)[0] == 401
        status, _, headers = get(f"{base}?token={token}")
        assert status == 200
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert get(base, Cookie=cookie.partition(";")[0])[0] == 200

        async def play(opened: Page) -> None:
            assert opened.state["phase"] == "ready"

        drive(f"{base}?token={token}", play)


def test_a_person_takes_over_from_the_expert_and_gives_back(tmp_path: Path) -> None:
    async def play(opened: Page) -> None:
        await opened.send("start")
        await opened.until(lambda state: state["step"] >= 2)
        assert opened.state["driver"] == "policy"
        opened.motion = {"up": 0.3}
        await opened.until(lambda state: state["by_person"] >= 3)
        opened.motion = {}
        await opened.send("give")
        await opened.until(lambda state: state["driver"] == "policy")
        await opened.until(lambda state: state["phase"] == "review")
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 1)

    with program(*REACH, "--root", tmp_path, "--id", ID, "--expert") as running:
        drive(running.url, play)
        running.end()
    dataset = demos.load(ID, tmp_path)
    assert demos.replay(dataset).identical == 1
    (episode,) = episodes_of(dataset)
    interventions = episode.infos[INTERVENTION]
    assert not interventions[1]
    assert interventions.any()
    assert not interventions[-1]


BROKEN_AFTER_FIVE_STEPS = """
import itertools

calls = itertools.count(1)

def policy(observation):
    if next(calls) > 5:
        raise ArithmeticError("broken")
    return [0.0] * 4
"""


def test_an_agent_is_watched_and_a_failing_policy_gives_the_robot_to_the_person(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN_AFTER_FIVE_STEPS)

    async def play(opened: Page) -> None:
        await opened.send("start")
        await opened.until(lambda state: state["step"] >= 3)
        assert opened.state["driver"] == "policy"
        await opened.noticed("the policy failed; you control the robot")
        await opened.until(lambda state: state["driver"] == "person")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
        arguments = ("--env", "LamReach-v0", "--root", tmp_path, *QUICK)
        with program("broken:policy", *arguments, package="agents") as running:
            drive(running.url, play)


def test_more_cameras_than_the_page_shows_are_refused() -> None:
    with pytest.raises(ValueError, match="cameras are front, wrist, side; expected at most 2"):
        SessionSettings(cameras=("front", "wrist", "side"))


@pytest.mark.parametrize("given", [{}, {"chain": 5}, {"max_episode_steps": 1200, "chain": 2}])
def test_an_episode_of_table_has_the_time_limit_of_the_recording(given: dict[str, int]) -> None:
    env_kwargs = Recording(env_kwargs=given).env_kwargs_with_limit("LamTable-v0")
    env = gym.make("LamTable-v0", **env_kwargs)
    assert time_limit(env) == 1200
    env.close()
    chain = f"-chain-{given['chain']}" if "chain" in given else ""
    plan = Plan("LamTable-v0", env_kwargs, demonstrator=TELEOP)
    assert plan.default_id() == f"lam/LamTable{chain}-teleop-seed0-v0"
    assert Recording().env_kwargs_with_limit("LamReach-v0") == {"max_episode_steps": 1200}
