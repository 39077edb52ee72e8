"""Every code block of the documents runs, every link leads somewhere, and every figure comes from a result."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import markdown_table
from docs import pages

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{path.name}-{number}", code)
        for path in DOCUMENTS
        for number, (found, code) in enumerate(BLOCK.findall(path.read_text()))
        if found == language
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the blocks run, one after the other, as a reader would."""
    return tmp_path_factory.mktemp("reader")


def run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(folder / "datasets"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("python")])
def test_python_blocks_run(code: str, folder: Path) -> None:
    named = re.match(r"# (\w+\.py)\n", code)
    if named:
        (folder / named[1]).write_text(code)
    run([sys.executable, "-c", code], folder)


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("sh")])
def test_shell_blocks_run(code: str, folder: Path) -> None:
    for line in code.strip().splitlines():
        command = shlex.split(line)
        if command[0] == "make":
            # CI calls the targets themselves; here they must exist and consist of commands.
            run(["make", "--directory", str(ROOT), "--dry-run", *command[1:]], folder)
        else:
            assert command[0] == "python"
            run([sys.executable, *command[1:]], folder)


def test_no_block_is_in_a_language_that_is_not_run() -> None:
    languages = {language for path in DOCUMENTS for language, _ in BLOCK.findall(path.read_text())}
    assert languages <= {"python", "sh"}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in DOCUMENTS])
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_pages_are_those_of_the_code() -> None:
    assert (ROOT / "docs" / "environments.md").read_text() == pages.page(), "run make docs"


def test_the_figures_of_the_readme_are_those_of_the_results() -> None:
    text = (ROOT / "README.md").read_text()
    assert text == pages.readme(text), "run make docs"
    assert markdown_table(ROOT / "results" / "core") in text


def test_the_readme_names_every_target_that_it_uses() -> None:
    targets = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()))
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
