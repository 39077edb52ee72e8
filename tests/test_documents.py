"""Every code block of the documents runs, every link leads somewhere, and every figure comes from a result.

Generated files must be what ``make docs`` and ``make images`` write.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from agents.registry import AGENTS
from benchmarks.analysis.tables import rows
from benchmarks.reports import report as reports
from benchmarks.runner.results import read_results
from docs import environment_pages, figures, images, pages, reference, scaling, tables, website
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS

from .reader import Step, read

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
"""Documents with unique names."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


TASK_PAGES = "task pages"


def blocks(document: str) -> list[tuple[str, str]]:
    """Return the blocks of a document in order: language and code."""
    if document == TASK_PAGES:
        return [block for task in TASKS for block in BLOCK.findall(environment_pages.task_page(task))]
    (path,) = (path for path in DOCUMENTS if path.name == document)
    return BLOCK.findall(path.read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder in which the blocks of one document run one after the other."""
    return tmp_path


def run(command: list[str], folder: Path, **keywords: Any) -> None:
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(folder / "datasets"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, **{"timeout": 300, **keywords}
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Read each folder of results once: otherwise most of the time of these tests goes into that."""
    once = functools.cache(read_results)
    with pytest.MonkeyPatch.context() as patch:
        for module in (reports, figures, scaling, sys.modules[__name__]):
            patch.setattr(module, "read_results", once)
        yield


LONG = (
    "training.md",
    "pretrained_agents.md",
    "benchmarks.md",
    "leaderboard.md",
    "demonstrations.md",
    "teach_by_showing.md",
    "add_a_task.md",
    "objects.md",
    "add_a_robot.md",
    "remote_agents.md",
    "explanations.md",
    "pretraining.md",
    "adaptation.md",
    "large_action_model.md",
    "teach_a_new_word.md",
)
"""Documents whose blocks take a minute; ``make test-all`` runs them."""
WITH_BLOCKS = [path.name for path in DOCUMENTS if BLOCK.search(path.read_text())]


@pytest.mark.timeout(900)  # all of a document; README trains an agent twice
@pytest.mark.parametrize(
    "document",
    [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in [*WITH_BLOCKS, TASK_PAGES]],
)
@pytest.mark.usefixtures("server")
def test_blocks_run_one_after_the_other(document: str, folder: Path) -> None:
    steps: list[Step] = []
    commands = [line for language, code in blocks(document) if language == "sh" for line in code.strip().splitlines()]
    for language, code in blocks(document):
        if language == "python":
            named = re.match(r"# (\w+\.py)\n", code)
            if named:
                (folder / named[1]).write_text(code)
            if named is None or f"python {named[1]} &" not in commands:
                steps.append((language, code))
            continue
        for line in code.strip().splitlines():
            command = shlex.split(line)
            if command[-1] == "&":
                steps.append(("server", command[1:-1]))
                continue
            if command[0] == "make":
                # CI calls the targets themselves; here they must exist and consist of commands.
                run(["make", "--directory", str(ROOT), "--dry-run", *command[1:]], folder)
            else:
                assert command[:2] == ["python", "-m"]
                steps.append((language, command[2:]))
    read(steps, folder)


def test_a_block_that_makes_environments_imports_them() -> None:
    # Which a run of blocks does not tell: one that runs earlier may have imported them.
    for document in (*WITH_BLOCKS, TASK_PAGES):
        for language, code in blocks(document):
            if language == "python" and re.search(r"\(\"Lam\w+-v\d", code):
                assert re.search(r"^import .*\b(lam_envs|demos|agents|benchmarks)\b", code, re.MULTILINE), code


def test_no_block_is_in_a_language_that_is_not_run() -> None:
    languages = {language for path in DOCUMENTS for language, _ in BLOCK.findall(path.read_text())}
    assert languages <= {"python", "sh"}


LINKED = sorted(
    [*DOCUMENTS, *(path for folder in ("examples", "results", "zoo") for path in ROOT.glob(f"{folder}/**/*.md"))]
)
"""Documents whose links and images are tested."""


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in LINKED])
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        linked = path.parent / target if target else path
        assert linked.exists(), target
        if heading:
            assert heading in headings(linked), f"{target}#{heading}"


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in LINKED])
def test_every_image_has_a_text_for_those_who_do_not_see_it(path: Path) -> None:
    text = path.read_text()
    shown = re.findall(r"!\[([^\]]*)\]\(", text)
    shown += [(re.findall(r'alt="([^"]*)"', tag) or [""])[0] for tag in re.findall(r"<(?:img|video)\b[^>]*>", text)]
    assert all(len(alternative) > 3 for alternative in shown), shown


def headings(path: Path) -> set[str]:
    """Return the anchors of the headings of a document, as on GitHub."""
    plain = [
        re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    ]
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("arguments", [["--help"], ["--out", "site"], ["docs"]])
def test_the_help_of_the_pages_and_unknown_arguments_write_nothing(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["docs.pages", *arguments])
    monkeypatch.setattr(pages, "repository_page", lambda: pytest.fail("a page is written"))
    with pytest.raises(SystemExit):
        pages.main()


def test_the_pages_are_those_of_the_code() -> None:
    assert (ROOT / "docs" / "environments.md").read_text() == pages.repository_page(), "run make docs"


@pytest.mark.parametrize("task", TASKS)
def test_the_docstring_of_a_task_has_all_sections(task: str) -> None:
    assert tables.headings(task) == list(tables.SECTIONS)


@pytest.mark.parametrize("task", TASKS)
def test_the_observation_table_of_a_page_is_the_layout(task: str) -> None:
    env: Any = gym.make(env_id(task)).unwrapped
    rows = re.findall(
        r"^\| `([\w/]+)` \| (\d+):(\d+) \| (\S+) \| ([^|]+) \| ([^|]+) \|", environment_pages.task_page(task), re.M
    )
    assert [name for name, *_ in rows] == list(env.layout)
    for name, start, stop, unit, center, scale in rows:
        part = env.layout[name]
        assert (int(start), int(stop), unit) == (part.slice.start, part.slice.stop, part.unit)
        assert float(scale) == pytest.approx(part.scale, rel=1e-5)
        numbers = np.broadcast_to([float(number) for number in center.split(",")], len(part.center))
        np.testing.assert_allclose(numbers, part.center, rtol=1e-5)
    env.close()


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_small_image_with_every_robot(task: str, robot: str) -> None:
    file = images.path(task, robot)
    assert file.exists(), "run make images"
    assert file.stat().st_size < 60_000
    assert Image.open(file).size == (images.SIZE, images.SIZE)


def test_there_are_images_of_nothing_else() -> None:
    known = {images.path(task, robot) for task in TASKS for robot in ROBOTS} | {images.OVERVIEW, images.ARCHITECTURE}
    # A trained model is needed for the conversation.
    assert set(images.FOLDER.iterdir()) - {images.CONVERSATION} == known, "run make images"


@pytest.mark.slow
@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("task", TASKS)
def test_the_images_show_what_the_code_does_now(task: str, robot: str) -> None:
    shown = np.asarray(Image.open(images.path(task, robot)).convert("RGB"), dtype=float)
    assert np.abs(shown - images.draw(task, robot)).mean() < 4.0, "run make images"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a warning, such as a broken link, fails the build."""
    folder = tmp_path_factory.mktemp("documentation")
    run([sys.executable, "-m", "docs.website", str(folder / "site")], folder)
    return folder / "site"


@pytest.mark.slow
def test_the_site_has_a_page_for_every_task_and_robot(site: Path) -> None:
    assert {file.stem for file in site.glob("tasks/*.html")} == set(TASKS)
    for robot in ROBOTS:
        assert f'id="{robot}"'.replace("_", "-") in (site / "robots.html").read_text()
        for task in TASKS:
            assert f"{task}_{robot}.png" in (site / "tasks" / f"{task}.html").read_text()
    for place in (*website.OUTSIDE.values(), *pages.generated(), *reference.reference()):
        assert (site / place).with_suffix(".html").exists()


@pytest.mark.slow
def test_the_site_documents_the_public_names_of_every_package(site: Path) -> None:
    for package in reference.PACKAGES:
        page = (site / "api" / f"{package}.html").read_text()
        for name in importlib.import_module(package).__all__:
            assert f'id="{package}.{name}"' in page or f"{package}.{name}</span>" in page, name


@pytest.mark.slow
def test_each_page_is_once_in_the_side_bar(site: Path) -> None:
    (bar,) = re.findall(r'<div class="sidebar-tree">(.*?)</div>', (site / "index.html").read_text(), re.DOTALL)
    targets = re.findall(r'href="([^"#]+)"', bar)
    assert len(targets) == len(set(targets))
    assert {f"agents/{name}.html" for name in AGENTS} <= set(targets)
    assert "More" not in re.findall(r'class="caption-text">([^<]*)<', bar)


def test_an_interval_is_beneath_its_rate() -> None:
    wide = "| agent | success | 95% interval | steps |\n|---|---|---|---|\n| bc | 99.4% | 97.8% to 99.8% | 12.0 |"
    assert figures.narrow(wide).splitlines() == [
        "| agent | success, 95% interval | steps |",
        "|---|---|---|",
        "| bc | 99.4%<br><sub>97.8% to 99.8%</sub> | 12.0 |",
    ]
    assert figures.narrow("| bc | 99.4% (97.8% to 99.8%) |") == "| bc | 99.4%<br><sub>97.8% to 99.8%</sub> |"


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for file in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=\"([^\"]+)\"", file.read_text())
        assert not [target for target in loaded if re.match(r"(\w+:)?//", target)]
    for file in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", file.read_text())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_a_link_that_leads_nowhere_fails_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = pages.generated()
    broken = {**good, "controls.md": good["controls.md"] + "\n[there](nowhere.md)\n"}
    monkeypatch.setattr(pages, "generated", lambda: broken)
    assert website.build(tmp_path / "site", tmp_path / "work") != 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "nowhere.md" in warnings[0]


# A test of its own says it of README.md.
@pytest.mark.parametrize("place", [place for place in pages.WRITTEN if place != "README.md"])
def test_the_figures_of_the_pages_by_hand_are_those_of_the_results(place: str) -> None:
    text = (ROOT / place).read_text()
    assert text == pages.WRITTEN[place](text), "run make results"


def test_the_readme_shows_all_agents_and_its_table_does_not_drift() -> None:
    text = (ROOT / "README.md").read_text()
    overview = figures.overview()
    assert "<br><sub>98.1% to 100.0%</sub>" in overview
    assert overview in text
    drifted = text.replace(overview, overview.replace("100.0%", "100.1%", 1))
    assert pages.readme(drifted) == text


@pytest.mark.parametrize("suite", [folder.name for folder in figures.published()])
def test_the_committed_report_is_that_of_the_results(suite: str) -> None:
    folder = ROOT / "results" / suite
    assert (folder / "report.md").read_text() == reports.markdown(folder), "run make results"


def test_the_speedup_by_cores_is_computed_from_times() -> None:
    chains = [4.0, 3.0, 3.0, 2.0]
    assert [scaling.makespan(chains, cores) for cores in (1, 2, 3, 4, 1000)] == [12.0, 6.0, 5.0, 4.0, 4.0]
    measured = scaling.chain_seconds(ROOT / "results" / "core")
    assert scaling.makespan(measured, 1) == pytest.approx(sum(measured))
    assert scaling.makespan(measured, 1000) == max(measured)


def test_the_page_of_an_agent_has_its_results() -> None:
    page = pages.agent_page("bc")
    row = next(
        row
        for row in rows(read_results(ROOT / "results" / "core")[1])
        if (row.environment, row.agent) == ("LamGrasp-v0", "bc")
    )
    assert f"| LamGrasp-v0 | bc | 100 | 5 | {figures.rate(row.success_rate, row.low, row.high)} |" in page
    assert '<a href="../vision.html">' in page


@pytest.mark.parametrize("name", ["bc-rnn", "act", "diffusion", "keypoints", "lam", "bco", "hg-dagger"])
def test_agents_outside_of_the_core_suite_have_their_results(name: str) -> None:
    page = pages.agent_page(name)
    suites = [heading for heading, _ in figures.SUITES.values() if f"\n### {heading}\n" in page]
    assert suites
    assert "## Results" in page
    assert f"| {name} |" in page


def test_the_readme_names_every_target_that_it_uses() -> None:
    targets = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()))
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
