"""Parts of a paper are made from results alone, and LaTeX can read them."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.registry import AGENTS
from benchmarks.__main__ import app
from benchmarks.reports.paper import CITED, FIGURES, write_paper
from benchmarks.runner.results import read_results, write_cell

from .suites import part_of_core

MEASURED = [("bc", "LamGrasp-v0"), ("expert", "LamGrasp-v0"), ("dqfd-no-margin", "LamGraspDiscrete-v0")]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the published results; not to be changed."""
    return part_of_core(tmp_path_factory.mktemp("core") / "results", MEASURED)


@pytest.fixture(scope="module")
def paper(core: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of a paper; not to be changed."""
    folder = tmp_path_factory.mktemp("paper")
    write_paper(core, folder)
    return folder


def test_the_set_up_states_what_the_results_were_measured_with(core: Path, paper: Path) -> None:
    suite, results = read_results(core)
    text = " ".join((paper / "setup.tex").read_text().split())
    assert "LamGrasp-v0, LamGraspDiscrete-v0" in text
    assert f"evaluated in {suite['evaluation']['episodes']} episodes with the seeds 1000 to 1199" in text
    assert "trained 5 times, with the seeds 0, 1, 2, 3, 4" in text
    assert r"{dqfd-no-margin} (agent dqfd)~\cite{hester2018}" in text
    assert r"with margin\_weight = 0.0" in text
    for result in results:
        assert f"numpy~{result.provenance.libraries['numpy']}" in text
        assert result.cell.environment in text


def test_the_settings_of_every_agent_that_learns_are_listed(core: Path, paper: Path) -> None:
    text = (paper / "settings.tex").read_text()
    for result in read_results(core)[1]:
        for name in result.provenance.settings if result.training is not None else ():
            assert f"& {name.replace('_', chr(92) + '_')} &" in text
    assert "{expert}" not in text


def test_every_part_of_the_document_is_there_and_every_citation_has_its_entry(paper: Path) -> None:
    document = (paper / "paper.tex").read_text()
    for name in re.findall(r"\\(?:input|includegraphics\[[^]]*\]){([^}]+)}", document):
        assert (paper / name).is_file(), name
    references = re.findall(r"^@\w+{(\w+),", (paper / "references.bib").read_text(), re.MULTILINE)
    assert set(CITED.values()) == set(references)
    assert set(CITED) <= set(AGENTS)
    assert set(re.findall(r"\\cite{(\w+)}", (paper / "setup.tex").read_text())) <= set(references)
    assert [file.name for file in paper.glob("*.pdf")] == ["success.pdf"]
    assert (paper / "success.pdf").read_bytes().startswith(b"%PDF")
    assert set(FIGURES) == {"success.pdf", "data-efficiency.pdf", "robustness.pdf"}


def test_braces_and_environments_are_balanced(paper: Path) -> None:
    for file in paper.glob("*.tex"):
        text = re.sub(r"\\[\\{}%_]", "", file.read_text())
        depth = 0
        for sign in re.findall("[{}]", text):
            depth += 1 if sign == "{" else -1
            assert depth >= 0, file.name
        assert depth == 0, file.name
        begun, ended = (Counter(re.findall(rf"\\{word}{{(\w+)}}", text)) for word in ("begin", "end"))
        assert begun == ended, file.name


def test_the_same_results_give_the_same_files(core: Path, paper: Path, tmp_path: Path) -> None:
    for file in write_paper(core, tmp_path):
        assert file.read_bytes() == (paper / file.name).read_bytes(), file.name


def test_a_strange_label_is_escaped(core: Path, tmp_path: Path) -> None:
    folder = part_of_core(tmp_path / "results", MEASURED[-1:])
    suite = folder / "suite.json"
    suite.write_text(suite.read_text().replace('"dqfd-no-margin"', '"50% of_$x$ {a}"'))
    for result in read_results(core)[1]:
        if result.cell.label == "dqfd-no-margin":
            cell = dataclasses.replace(result.cell, label="50% of_$x$ {a}")
            write_cell(folder, dataclasses.replace(result, cell=cell))
    write_paper(folder, tmp_path / "paper")
    for name in ("success.tex", "setup.tex", "settings.tex"):
        assert r"50\% of\_\$x\$ \{a\}" in (tmp_path / "paper" / name).read_text()


def test_files_are_not_replaced_without_being_asked(core: Path, tmp_path: Path) -> None:
    (tmp_path / "setup.tex").write_text("mine")
    refused = CliRunner().invoke(app, ["paper", str(core), "--out", str(tmp_path)])
    assert refused.exit_code == 2
    assert "has setup.tex: choose another folder, or --overwrite them" in " ".join(refused.output.split())
    assert [file.name for file in tmp_path.iterdir()] == ["setup.tex"]
    write_paper(core, tmp_path, overwrite=True)
    assert (tmp_path / "setup.tex").read_text() != "mine"
