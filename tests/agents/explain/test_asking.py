"""A policy whose monitor warns stops and asks the person, in the real program with a real client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import demos
from agents.__main__ import app
from agents.explain.failure.monitor import NAMES, Monitor
from demos.datasets.episode import INTERVENTION
from demos.datasets.reading import episodes_of
from tests.browser import browsing
from tests.demos.teleop.client import Page, drive
from tests.demos.teleop.driver import KeyDriver, program

REACH = ("bc/LamReach-v0", "--env", "LamReach-v0")
QUICK = ("--real-time-factor", "2", "--image-size", "64")
ID = "lam/asked-v0"
ASKS_AT = 4


@pytest.fixture
def asking(tmp_path: Path, datasets: Any) -> list[str]:
    """Options of a policy that asks at its fifth step: its monitor knows the elapsed time alone."""
    root, ids = datasets
    weights = [100.0 if name == "elapsed" else 0.0 for name in NAMES]
    monitor = Monitor([0.0] * len(NAMES), [1.0] * len(NAMES), weights, -45.0, 0.5, horizon=10)
    monitor.save(tmp_path / "monitor")
    dataset = str(root / ids["LamReach-v0"])
    return ["--ask", "--monitor", str(tmp_path / "monitor"), "--demos", dataset, "--root", str(tmp_path / "root")]


def test_a_policy_asks_until_the_person_takes_over_or_lets_it_go_on(tmp_path: Path, asking: list[str]) -> None:
    async def play(opened: Page) -> None:
        await opened.send("start")
        state = await opened.until(lambda state: state["hold"] == "asks")
        assert (state["step"], state["driver"], state["asked"]) == (ASKS_AT, "policy", 1)
        assert state["asks"] == pytest.approx(1.0, abs=0.01)
        await asyncio.sleep(0.3)
        opened.motion = {"up": 0.3}
        await opened.until(lambda state: state["by_person"] >= 3)
        assert opened.state["step"] == ASKS_AT + opened.state["by_person"], "it stood still"
        assert opened.state["asks"] is None
        opened.motion = {}
        await opened.send("give")
        await opened.until(lambda state: state["hold"] == "asks")
        await opened.send("resume")  # and it does not ask again
        await opened.until(lambda state: state["phase"] == "review")
        assert opened.state["asked"] == 2
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 1 and state["phase"] == "ready")
        await opened.send("undo")
        await opened.until(lambda state: state["phase"] == "review" and state["asked"] == 2)
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 1)

    with program(*REACH, *QUICK, "--id", ID, *asking, package="agents") as running:
        drive(running.url, play)
        running.end()
    dataset = demos.load(ID, tmp_path / "root")
    assert demos.replay(dataset).identical == 1
    (episode,) = episodes_of(dataset)
    interventions = episode.infos[INTERVENTION][1:]
    assert not interventions[:ASKS_AT].any()
    assert interventions[ASKS_AT]
    metadata = dataset.storage.metadata
    assert metadata["lam_envs_asked_steps"] == 2
    (steps,) = metadata["lam_envs_asked"].values()
    assert steps[0] == ASKS_AT
    assert steps[1] > ASKS_AT + 3


def test_a_policy_without_a_monitor_cannot_ask(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["teleop", *REACH, "--ask", "--port", "0", "--root", str(tmp_path)])
    assert refused.exit_code == 2
    assert "fit one with `python -m agents monitor`" in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_the_page_shows_that_the_policy_asks(tmp_path: Path, asking: list[str]) -> None:
    with browsing(tmp_path / "profile") as browser, program(*REACH, *asking, package="agents") as running:
        driver = KeyDriver(browser)
        browser.open(running.url, width=390, height=844)
        driver.wait("s.phase === 'ready'")
        browser.press("Enter")
        driver.wait("s.hold === 'asks'")
        shown = browser.evaluate("document.querySelector('#banner').textContent")
        assert shown == "The policy requests help (failure probability 99%). Move to take over, or Continue"
        assert browser.evaluate("document.querySelector('#pause span').textContent") == "Continue"
        assert browser.evaluate("document.documentElement.scrollWidth") == 390
        browser.press("KeyP")
        driver.wait("s.hold === null && s.step > 6")
        assert browser.complaints == []
