"""Build the site with Sphinx, from generated pages and from those written by hand. Run by ``make docs``."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath

from agents.registry import AGENTS
from benchmarks.leaderboard.site import build_site
from benchmarks.reports import report as reports
from docs import figures, pages, reference
from lam_envs.registration import TASKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
HOME = "index.md"
OUTSIDE = {
    "README.md": HOME,
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "THIRD_PARTY_LICENSES.md": "licenses.md",
}
"""Files outside of ``docs`` that are pages of the site."""
PAGE_OF = {
    **OUTSIDE,
    "results/core": "results.md",
    "results/core/report.md": "results.md",
    "lam_envs/control": "controls.md",
    "lam_envs/observation": "observations.md",
    "lam_envs/randomization.py": "randomization.md",
    "examples/README.md": "examples.md",
    "examples/adapters/README.md": "adapters.md",
    "examples/first_hour.ipynb": "first_hour.md",
    "lam_envs/robots/model.py": "robots.md",
    **{pages.task_file(task): f"tasks/{task}.md" for task in TASKS},
}
"""Pages of the site on these paths of the repository."""
MENU = {
    "Getting started": ("first_hour", "examples"),
    "Environments": ("environments", "controls", "observations", "robots", "randomization"),
    "Learning": (
        "demonstrations",
        "teach_by_showing",
        "drive_the_robot",
        "training",
        "pretrained_agents",
        "pretraining",
        "large_action_model",
        "teach_a_new_word",
        "remote_agents",
        "explanations",
        "adaptation",
        "agents",
    ),
    "Benchmarks": ("benchmarks", "results", "leaderboard", "scale"),
    "Extending": ("adapters", "add_a_task", "objects", "add_a_robot", "contributing"),
    "Reference": ("api", "physics", "changes", "licenses"),
}
"""Sections of the side bar. Pages that are in none of them come last."""
CHAPTERS = ("tasks/", "agents/", "api/")
"""Folders of pages that stand in the side bar beneath the page of the same subject."""


def assemble(folder: Path) -> None:
    """Write the sources of the site into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("images", "static"):
        shutil.copytree(DOCS / name, folder / name)
    for suite in figures.published():
        (folder / "results" / suite.name).mkdir(parents=True)
        for plot in suite.glob("*.png"):
            shutil.copy(plot, folder / "results" / suite.name)
    texts = {place: _moved((ROOT / name).read_text(), name, place) for name, place in OUTSIDE.items()}
    for file in sorted(DOCS.rglob("*.md")):
        place = file.relative_to(DOCS).as_posix()
        texts[place] = _moved(file.read_text(), f"docs/{place}", place)
    texts.update(pages.generated())
    texts.update(reference.reference())
    texts["environments.md"] += _contents("", [f"tasks/{task}" for task in TASKS])
    texts["agents.md"] += _contents("", [f"agents/{name}" for name in AGENTS])
    texts["api.md"] += _contents("", [f"api/{name}" for name in reference.PACKAGES])
    texts[HOME] += _menu(texts)
    for place, text in texts.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)


def _moved(text: str, origin: str, place: str) -> str:
    """Return the text of a file of the repository with the links of the page that it becomes."""

    def link(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        if re.match(r"\w+:", target):
            return found[0]
        path = os.path.normpath(PurePosixPath(origin).parent / target)
        if path in PAGE_OF:
            path = PAGE_OF[path]
        elif path.startswith("docs/") and not path.endswith(".yaml"):
            path = path.removeprefix("docs/")
        elif (ROOT / path).exists():
            return label.removeprefix("!").strip("[]")  # in the repository, and no page of the site
        return f"{label}({os.path.relpath(path, PurePosixPath(place).parent)}{anchor})"

    return re.sub(r"(!?\[[^\]]*\])\(([^)#\s]+)(#[^)\s]*)?\)", link, text)


def _menu(texts: dict[str, str]) -> str:
    menu = {caption: list(names) for caption, names in MENU.items()}
    listed = {HOME, *(f"{name}.md" for names in MENU.values() for name in names)}
    others = sorted(place.removesuffix(".md") for place in texts.keys() - listed if not place.startswith(CHAPTERS))
    if others:
        menu["More"] = others
    return "".join(_contents(caption, names) for caption, names in menu.items())


def _contents(caption: str, names: list[str]) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *names, "```", ""])


def build(out: Path, work: Path) -> int:
    """Build the site; any warning, such as a broken link, is an error.

    Args:
        out: Folder of the site.
        work: Folder of the sources and of intermediate files.

    Returns:
        Exit status of Sphinx.
    """
    # Takes a while, and those who only need the pages do not need it.
    from sphinx.cmd.build import main as sphinx

    assemble(work / "source")
    shutil.rmtree(out, ignore_errors=True)
    options = ["--quiet", "--fresh-env", "--fail-on-warning", "--keep-going", "--conf-dir", str(DOCS)]
    status = sphinx([*options, "--doctree-dir", str(work / "doctrees"), str(work / "source"), str(out)])
    if status == 0:
        for suite in figures.published():
            reports.report(suite)
            shutil.copy(suite / "report.html", out / f"{suite.name}.html")
        build_site(figures.published(), out / figures.LEADERBOARD, home="../index.html")
    return status


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD / "site"
    status = build(target, target.parent / "site-work")
    if status == 0:
        print(f"open {target / 'index.html'}")  # noqa: T201
    sys.exit(status)
