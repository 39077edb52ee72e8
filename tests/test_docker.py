"""The image of the Dockerfile has all files of the repository, and runs targets of the Makefile.

No test builds it: that needs Docker, and CI has a job for it.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
INSTRUCTIONS = [line.partition(" ")[::2] for line in LINES if line and not line.startswith("#")]
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
LEFT_OUT = (".git", ".github")
"""Folders of the repository that the image does not have."""


def tracked() -> list[PurePosixPath]:
    """Return the files of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [PurePosixPath(name) for name in listed.splitlines()]


def is_ignored(path: PurePosixPath) -> bool:
    """Return True if Docker leaves a file out: a pattern matches it, or a folder that it is in."""
    candidates = [path, *path.parents][:-1]
    return any(
        len(PurePosixPath(pattern).parts) == len(candidate.parts) and fnmatch.fnmatchcase(str(candidate), pattern)
        for pattern in IGNORED
        for candidate in candidates
        if not pattern.startswith("**/")
    ) or any(f"**/{part}" in IGNORED for part in path.parts)


def test_the_image_has_every_file_of_the_repository() -> None:
    files = tracked()
    assert {"Makefile", "constraints.txt", "setup.cfg"} <= {str(file) for file in files}
    assert [file for file in files if is_ignored(file) and file.parts[0] not in LEFT_OUT] == []
    assert ("COPY", "--chown=lam:lam . .") in INSTRUCTIONS


def test_the_image_has_nothing_that_is_installed_or_generated() -> None:
    for pattern in (line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()):
        assert is_ignored(PurePosixPath(pattern.replace("*", "x"))), f"{pattern} is missing in .dockerignore"
    assert is_ignored(PurePosixPath("lam_envs/tasks/__pycache__/reach.pyc"))
    assert is_ignored(PurePosixPath(".venv/bin/python"))


def test_the_image_is_made_and_started_by_targets_of_the_makefile() -> None:
    (command,) = (json.loads(content) for name, content in INSTRUCTIONS if name == "CMD")
    targets = {
        found for name, content in INSTRUCTIONS if name == "RUN" for found in re.findall(r"make (\w+)", content)
    }
    assert (command, targets) == (["make", "quickstart"], {"install"})
    for target in (command[1], *targets):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_the_image_has_the_python_of_the_locked_install() -> None:
    (base,) = (content for name, content in INSTRUCTIONS if name == "FROM")
    assert base.startswith("python:3.11-")
    settings = " ".join(content for name, content in INSTRUCTIONS if name == "ENV")
    assert "PATH=/lam-envs/.venv/bin:$PATH" in settings
    assert ("WORKDIR", "/lam-envs") in INSTRUCTIONS
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^VENV := \.venv$", makefile, re.MULTILINE)


@pytest.mark.slow
def test_the_files_of_the_image_are_enough_for_its_command(tmp_path: Path) -> None:
    for path in tracked():
        if not is_ignored(path):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, tmp_path / path)
    planned = subprocess.run(["make", "--dry-run", "quickstart"], cwd=tmp_path, capture_output=True, text=True)
    command = planned.stdout.splitlines()[-1]
    assert command == ".venv/bin/python -m benchmarks run quickstart"
    arguments = [sys.executable, *command.split()[1:], "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    dry = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr
    assert "LamGrasp-v0" in dry.stdout
