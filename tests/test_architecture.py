"""The image of the architecture of ``lam`` is that of the code, and readable on a phone, on light and dark pages."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agents.imitation.lam.geometry import RELATIONS
from agents.imitation.lam.settings import LamSettings
from docs import architecture, images
from tests.browser import browsing

PAGE = Path(__file__).parents[1] / "docs" / "large_action_model.md"
SMALLEST_FONT = """Math.min(...[...document.querySelectorAll('text')].map(
  text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"""
"""Smallest height of the letters, pixels."""
COLLISIONS = """(() => {
  const frame = document.querySelector('svg').viewBox.baseVal;
  const boxes = [...document.querySelectorAll('text')].map(text => [text.textContent, text.getBBox()]);
  const outside = boxes.filter(([, box]) => box.x < 0 || box.x + box.width > frame.width);
  const overlaps = boxes.filter(([, one], at) => boxes.some(([, other], number) => number > at
    && one.x < other.x + other.width && other.x < one.x + one.width
    && one.y < other.y + other.height && other.y < one.y + one.height));
  return [...outside, ...overlaps].map(([text]) => text);
})()"""
"""Texts that leave the image or overlap another one."""
CONTRAST = """(() => {
  const light = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0.05);
  const fills = selector => [...document.querySelectorAll(selector)].map(each => light(getComputedStyle(each).fill));
  return Math.min(...fills('text').flatMap(ink => fills('rect').map(
    ground => Math.max(ink, ground) / Math.min(ink, ground))));
})()"""
"""Smallest contrast of a text with a background (Web Content Accessibility Guidelines 2.1, section 1.4.3)."""


def test_the_image_is_drawn_from_the_sizes_of_the_code() -> None:
    drawn = architecture.draw()
    assert images.ARCHITECTURE.read_text(encoding="utf-8") == drawn, "run make images"
    words = [text.text for text in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314
    assert f"Chunk of {LamSettings.model_validate({}).action_horizon} actions" in words
    assert f"Relations: {RELATIONS} numbers for each pair" in words


def test_the_page_has_the_image_with_a_text_for_those_who_do_not_see_it() -> None:
    (shown,) = re.findall(rf"!\[([^\]]+)\]\(images/{images.ARCHITECTURE.name}\)", PAGE.read_text())
    assert len(shown.split()) > 20


@pytest.mark.slow
def test_the_image_is_readable_on_a_phone(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<meta name="viewport" content="width=device-width"><meta charset="utf-8">'
        "<style>body { margin: 0 } svg { max-width: 100%; height: auto }</style>"
        + images.ARCHITECTURE.read_text(encoding="utf-8")
    )
    with browsing(tmp_path / "profile") as browser:
        for scheme in ("light", "dark"):
            browser.open(page, width=328, scheme=scheme)
            assert browser.evaluate("document.documentElement.scrollWidth") == 328
            assert browser.evaluate(SMALLEST_FONT) > 10.5
            assert browser.evaluate(COLLISIONS) == []
            assert browser.evaluate(CONTRAST) > 4.5
        assert browser.complaints == []
