"""Builds the site, with Sphinx, from the pages of the code and those written by hand. Run by ``make docs``."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath

from sphinx.cmd.build import main as sphinx

from agents.registry import AGENTS
from benchmarks.reports import report as reports
from docs import figures, pages
from lam_envs.registration import TASKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
HOME = "index.md"
OUTSIDE = {"README.md": HOME, "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
"""Files outside of ``docs`` that are pages of the site."""
PLACES = {
    **OUTSIDE,
    "results/core": "results.md",
    "results/core/report.md": "results.md",
    "lam_envs/control": "controls.md",
    "lam_envs/observation.py": "observations.md",
    "lam_envs/randomization.py": "randomisation.md",
    "lam_envs/robots/model.py": "robots.md",
    **{pages.task_file(task): f"tasks/{task}.md" for task in TASKS},
}
"""Where the site tells what these paths of the repository hold."""
MENU = {
    "Environments": ("environments", "controls", "observations", "robots", "randomisation"),
    "TrainableAgent": ("demonstrations", "training", "agents", "benchmarks", "scale", "results"),
    "Extending": ("add_a_task", "add_a_robot", "contributing"),
    "Background": ("physics", "changes"),
}
"""Pages that are not here come last."""


def assemble(folder: Path) -> None:
    """Writes the sources of the site into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("pictures", "static"):
        shutil.copytree(DOCS / name, folder / name)
    for suite in figures.published():
        (folder / "results" / suite.name).mkdir(parents=True)
        for picture in suite.glob("*.png"):
            shutil.copy(picture, folder / "results" / suite.name)
    texts = {place: _moved((ROOT / name).read_text(), name, place) for name, place in OUTSIDE.items()}
    for file in sorted(DOCS.rglob("*.md")):
        place = file.relative_to(DOCS).as_posix()
        texts[place] = _moved(file.read_text(), f"docs/{place}", place)
    texts.update(pages.generated())
    texts["environments.md"] += _contents("", [f"tasks/{task}" for task in TASKS])
    texts["agents.md"] += _contents("", [f"agents/{name}" for name in AGENTS])
    texts[HOME] += _menu(texts)
    for place, text in texts.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)


def _moved(text: str, origin: str, place: str) -> str:
    """Turns the links of a file of the repository into those of the page that it becomes."""

    def link(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        if re.match(r"\w+:", target):
            return found[0]
        path = os.path.normpath(PurePosixPath(origin).parent / target)
        if path in PLACES:
            path = PLACES[path]
        elif path.startswith("docs/") and not path.endswith(".yaml"):
            path = path.removeprefix("docs/")
        elif (ROOT / path).exists():
            return label.removeprefix("!").strip("[]")  # in the repository, and no page of the site
        return f"{label}({os.path.relpath(path, PurePosixPath(place).parent)}{anchor})"

    return re.sub(r"(!?\[[^\]]*\])\(([^)#\s]+)(#[^)\s]*)?\)", link, text)


def _menu(texts: dict[str, str]) -> str:
    menu = {caption: list(names) for caption, names in MENU.items()}
    told = {HOME, *(f"{name}.md" for names in MENU.values() for name in names)}
    others = sorted(
        place.removesuffix(".md") for place in texts if place not in told and not place.startswith("tasks/")
    )
    if others:
        menu["More"] = others
    return "".join(_contents(caption, names) for caption, names in menu.items())


def _contents(caption: str, names: list[str]) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *names, "```", ""])


def build(out: Path, work: Path) -> int:
    """Builds the site; any warning, such as a link that leads nowhere, is an error.

    Args:
        out: Where to.
        work: Where the sources are put together.

    Returns:
        Sphinx's exit status.
    """
    assemble(work / "source")
    shutil.rmtree(out, ignore_errors=True)
    options = ["--quiet", "--fresh-env", "--fail-on-warning", "--keep-going", "--conf-dir", str(DOCS)]
    status = sphinx([*options, "--doctree-dir", str(work / "doctrees"), str(work / "source"), str(out)])
    if status == 0:
        for suite in figures.published():
            reports.report(suite)
            shutil.copy(suite / "report.html", out / f"{suite.name}.html")
    return status


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD / "site"
    status = build(target, target.parent / "site-work")
    if status == 0:
        print(f"open {target / 'index.html'}")  # noqa: T201
    sys.exit(status)
