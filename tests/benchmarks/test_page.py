"""The page of results in a real browser: wide and narrow, light and dark."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.reports import report as reports
from tests.browser import browsing

CORE = Path(__file__).parents[2] / "results" / "core"


@pytest.mark.slow
def test_the_page_is_readable_on_a_screen_and_a_phone_in_light_and_dark(tmp_path: Path) -> None:
    folder = shutil.copytree(CORE, tmp_path / "core", ignore=shutil.ignore_patterns("agents", "datasets"))
    page = next(file for file in reports.report(folder) if file.name == "report.html")
    # Alone: all it shows is in it.
    page = Path(shutil.move(page, tmp_path / "page.html"))
    shutil.rmtree(folder)
    papers = set()
    with browsing(tmp_path / "profile") as browser:
        for width in (1400, 400):
            for scheme in ("light", "dark"):
                browser.open(page, width=width, scheme=scheme)
                assert browser.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
                papers.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
                sizes = browser.evaluate(
                    "[...document.querySelectorAll('svg, video')].map(one => one.getBoundingClientRect().height)"
                )
                assert min(sizes) > 20
                playable = browser.evaluate(
                    "Promise.all([...document.querySelectorAll('video')].map(video => new Promise(done => {"
                    "if (video.readyState || video.error) done(video.readyState);"
                    "video.onloadedmetadata = video.onerror = () => done(video.readyState)})))"
                )
                assert len(playable) == 12
                assert min(playable) >= 1
                ink = browser.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
                assert ink == browser.evaluate("getComputedStyle(document.body).color")
                browser.screenshot(tmp_path / f"{width}-{scheme}.png")
        assert browser.complaints == []
    assert len(papers) == 2
