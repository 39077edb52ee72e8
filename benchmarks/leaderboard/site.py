"""Build the leaderboard as a static site: a page with all cells, and a page for each of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from benchmarks.leaderboard.entries import Entry, Source, entries, episodes_table, is_source, read_source, versions
from benchmarks.suite.demonstrations import slug
from demos.runtime.files import write_atomically

INDEX = "index.html"
FILES = ("leaderboard.css", "leaderboard.js")
"""Files that all pages use."""
TEMPLATES = Path(__file__).parent / "templates"
CELLS = "cells"
VIDEOS = "videos"
FACETS = ("task", "robot", "observation", "demonstrator", "demonstrations", "agent", "condition", "suite", "status")
"""Attributes that the page filters by."""


@dataclass(frozen=True)
class Site:
    """Site that was written.

    Attributes:
        page: Its first page.
        sources: Number of results folders and submissions.
        cells: Number of cells: agents in an environment under a condition.
        skipped: Paths that are neither results folders nor submissions.
    """

    page: Path
    sources: int
    cells: int
    skipped: tuple[Path, ...]


def build_site(paths: Sequence[Path], out: Path, *, overwrite: bool = False, home: str | None = None) -> Site:
    """Write the site. It needs no server and loads no external resources.

    Args:
        paths: Results folders and files of submissions, from untrusted sources.
        out: Folder of the site.
        overwrite: Replace an existing site.
        home: Address of the site that this one is a part of, relative to its first page; None for a standalone site.

    Raises:
        FileExistsError: The folder holds something else, or a site without ``overwrite``.
        FileNotFoundError: There are no results.
        ValueError: A file is damaged, or two sources have the same name.
    """
    out = out.resolve()
    _check_out(out, overwrite=overwrite)
    sources = [read_source(path) for path in paths if is_source(path)]
    if not sources:
        raise FileNotFoundError("no results folder or submission among the arguments: give some, such as results/*")
    names = [slug(source.name).casefold() for source in sources]
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise ValueError(
            f"two sources have the name {twice!r}; expected different names: rename one of the folders or files"
        )
    found = entries(sources)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        _write(Path(folder) / out.name, found, home)
        if out.exists():
            os.replace(out, Path(folder) / f"{out.name}.before")
        os.replace(Path(folder) / out.name, out)
    skipped = tuple(path for path in paths if not is_source(path) and not path.name.endswith(".verification.json"))
    return Site(out / INDEX, len(sources), len(found), skipped)


def _check_out(out: Path, *, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / FILES[1]).is_file():
        raise FileExistsError(f"{out} exists and is not a leaderboard: choose another folder by --out")
    if not overwrite:
        raise FileExistsError(f"{out} exists: choose another folder by --out, or add --overwrite")
    foreign = sorted({path.name for path in out.iterdir()} - {*FILES, INDEX, CELLS, VIDEOS})
    if foreign:
        raise FileExistsError(f"{out} also holds {', '.join(foreign)}: move it, or choose another folder by --out")
    if Path.cwd().is_relative_to(out):
        raise ValueError(f"{out} is the working directory or contains it: run the command elsewhere")


def _write(out: Path, found: list[Entry], home: str | None) -> None:
    templates = Environment(
        loader=PackageLoader("benchmarks.leaderboard"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters.update(percent=_percent, number=_number)
    pages = {id(entry): f"{CELLS}/{slug(entry.source.name)}/{entry.name}.html" for entry in found}
    for name in FILES:
        write_atomically(out / name, (TEMPLATES / name).read_text())
    facets = {name: _options(found, name) for name in FACETS}
    shown = [(entry, _facts(entry), pages[id(entry)]) for entry in found]
    index = templates.get_template(f"{INDEX}.jinja")
    write_atomically(out / INDEX, index.render(entries=shown, facets=facets, root="", home=home))
    page = templates.get_template("cell.html.jinja")
    for entry, facts, place in shown:
        text = page.render(
            entry=entry,
            facts=facts,
            episodes=episodes_table(entry.results),
            versions=versions(entry.results),
            videos=[(video, _copied(entry.source, video.file, out)) for video in entry.videos],
            verified=_verified(entry),
            root="../../",
            home=home and f"../../{home}",
        )
        if not (out / place).resolve().is_relative_to(out.resolve()):
            raise ValueError(f"{entry.name} leads out of the site")
        write_atomically(out / place, text)


def _facts(entry: Entry) -> dict[str, Any]:
    """Return the attributes that the page filters by."""
    return {
        **{name: getattr(entry, name) for name in ("task", "robot", "observation", "demonstrator", "demonstrations")},
        "agent": entry.row.agent,
        "condition": entry.row.condition,
        "suite": entry.source.suite,
        "status": entry.source.status,
    }


def _options(found: list[Entry], name: str) -> list[Any]:
    """Return the values of an attribute: tasks from easy to hard, others in alphabetical order."""
    values = dict.fromkeys(_facts(entry)[name] for entry in found)
    return list(values) if name == "task" else sorted(values)


def _copied(source: Source, file: str, out: Path) -> str:
    """Copy a video into the site, and return its path there."""
    assert source.folder is not None  # noqa: S101  (only results folders have videos)
    path = source.folder / file
    if not path.resolve().is_relative_to(source.folder.resolve()):
        # A page must not show files outside of the results folder.
        raise ValueError(f"{path} leads out of its folder: remove it and run the suite again")
    place = f"{VIDEOS}/{slug(source.name)}/{path.name}"
    (out / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, out / place)
    return place


def _verified(entry: Entry) -> dict[str, Any]:
    """Return the verification of each training run, by the name of its cell."""
    verification = entry.source.verification
    return {} if verification is None else {cell.name: cell for cell in verification.cells}


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
