"""Figures are written when they are measured, and an interrupted measurement resumes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks.speed.measuring import UNFINISHED, Measured, median, show_measured, show_pieces

LIBRARIES = ("numpy",)


class StoppedError(Exception):
    """Stands for the end of the process."""


class Pieces:
    """Pieces of two figures each, which can stop after the first figure of one of them.

    Attributes:
        measured: Names of the pieces that were started.
    """

    def __init__(self, stops_in: str = "") -> None:
        self.measured: list[str] = []
        self._stops_in = stops_in

    def __call__(self) -> dict[str, Callable[[], Iterator[Measured]]]:
        return {name: partial(self._figures, name) for name in ("one", "two", "three")}

    def _figures(self, name: str) -> Iterator[Measured]:
        self.measured.append(name)
        yield median(f"{name}, first", [1.0, 2.0], "s")
        if name == self._stops_in:
            raise StoppedError
        yield median(f"{name}, second", [3.0], "")


def interrupted(out: Path) -> Path:
    """Measure until the second piece; return the unfinished file."""
    with pytest.raises(StoppedError):
        show_pieces(Pieces("two")(), out, LIBRARIES, {"episodes": 4})
    return out.with_name(out.name + UNFINISHED)


def test_an_interrupted_measurement_resumes_with_the_pieces_that_are_left(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.json", tmp_path / "out.json"
    show_pieces(Pieces()(), whole, LIBRARIES, {"episodes": 4})
    out.write_text("the results of an earlier measurement")
    unfinished = interrupted(out)
    assert out.read_text() == "the results of an earlier measurement"
    content = json.loads(unfinished.read_text())
    assert [figure["what"] for figure in content["pieces"]["one"]] == ["one, first", "one, second"]
    assert [figure["what"] for figure in content["figures"]] == ["two, first"]
    rest = Pieces()
    show_pieces(rest(), out, LIBRARIES, {"episodes": 4})
    assert rest.measured == ["two", "three"]
    assert out.read_text() == whole.read_text()
    assert not unfinished.exists()
    again = Pieces()
    show_pieces(again(), out, LIBRARIES, {"episodes": 4})
    assert again.measured == ["one", "two", "three"], "a complete measurement is repeated"


@pytest.mark.parametrize(("episodes", "identity"), [(5, None), (4, {"parts": {"agent bc": 2}})])
def test_other_settings_and_versions_are_measured_from_scratch(
    episodes: int, identity: dict[str, object] | None, tmp_path: Path
) -> None:
    interrupted(tmp_path / "out.json")
    pieces = Pieces()
    show_pieces(pieces(), tmp_path / "out.json", LIBRARIES, {"episodes": episodes}, identity)
    assert pieces.measured == ["one", "two", "three"]


def test_a_damaged_unfinished_file_is_named(tmp_path: Path) -> None:
    unfinished = interrupted(tmp_path / "out.json")
    unfinished.write_text("{}")
    with pytest.raises(ValueError, match=r"out\.json\.unfinished holds no unfinished measurement .*: delete it"):
        show_pieces(Pieces()(), tmp_path / "out.json", LIBRARIES, {"episodes": 4})


def test_figures_that_are_measured_together_are_written_one_by_one(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    unfinished = out.with_name(out.name + UNFINISHED)

    def measure(*, rounds: int) -> Iterator[Measured]:
        yield median("first", [1.0] * rounds, "s")
        assert [figure["what"] for figure in json.loads(unfinished.read_text())["figures"]] == ["first"]
        yield median("second", [2.0] * rounds, "s")

    show_measured(measure, out, LIBRARIES, rounds=3)
    content = json.loads(out.read_text())
    assert list(content) == ["machine", "rounds", "versions", "figures"]
    assert [figure["rounds"] for figure in content["figures"]] == [[1.0] * 3, [2.0] * 3]


def test_complete_pieces_that_another_call_does_not_need_are_not_deleted(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    unfinished = interrupted(out)
    one, two = Pieces(), Pieces()
    show_pieces({"three": one()["three"]}, out, LIBRARIES, {"episodes": 4})
    assert one.measured == ["three"]
    assert list(json.loads(unfinished.read_text())["pieces"]) == ["one"]
    show_pieces({name: two()[name] for name in ("one", "two")}, out, LIBRARIES, {"episodes": 4})
    assert two.measured == ["two"]
    assert not unfinished.exists()
