"""The scripts of ``examples`` run one after the other, in one process and an empty folder, and are short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app

from .reader import read

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = (
    "make_environment.py",
    "collect_demonstrations.py",
    "train_bc.py",
    "evaluate_policy.py",
    "own_agent.py",
    "own_task.py",
)


NOTEBOOK = EXAMPLES / "first_hour.ipynb"


def test_every_example_is_listed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.ipynb")} == {NOTEBOOK.name}
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SCRIPTS)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"]({name})" in listed for name in (*SCRIPTS, NOTEBOOK.name))
    assert "](examples/README.md)" in (EXAMPLES.parent / "README.md").read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short_and_says_what_it_shows(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    assert len(lines) <= 45
    assert lines[0].startswith('"""')


@pytest.mark.usefixtures("server")
def test_the_examples_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SCRIPTS, "own_agent.yaml"):
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    said = read([("script", name) for name in SCRIPTS], tmp_path)
    # Its own processes are forked from the same server.
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", "own_agent.yaml", "--out", "runs/own-agent", "--workers", "1"])
    assert done.exit_code == 0, done.output
    rates = {line.split()[0]: line.split()[3] for line in said.splitlines() if "success rate" in line}
    assert rates["expert"] == "100%"
    assert rates["random"] == "0%"
    assert int(rates["bc"].rstrip("%")) >= 50
    assert "success: True" in said
    assert (tmp_path / "grasp.png").stat().st_size > 0
    assert (tmp_path / "runs" / "own-agent" / "report.html").is_file()


def notebook_cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_committed_without_outputs() -> None:
    for cell in notebook_cells("code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    cells = [*notebook_cells("code"), *notebook_cells("markdown")]
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_the_cells_of_the_notebook_run_one_after_the_other(tmp_path: Path) -> None:
    code = "\n\n".join("".join(cell["source"]) for cell in notebook_cells("code"))
    said = read([("python", code)], tmp_path)
    rates = {line.split()[0]: line.split()[3] for line in said.splitlines() if "success rate" in line}
    assert rates["expert"] == "100%"
    assert rates["random"] == "0%"
    assert int(rates["bc"].rstrip("%")) >= 90
    assert "straight: 100%" in said
    assert "solved: True" in said
    assert (tmp_path / "runs" / "first-hour" / "weights.safetensors").is_file()
