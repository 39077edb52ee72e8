"""Parts of a paper are made from results alone, and LaTeX can read them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.registry import AGENTS
from benchmarks.__main__ import app
from benchmarks.reports.paper import CITED, FIGURES, FROM_OBSERVATIONS, HINDSIGHT, default_results, write_paper
from benchmarks.runner.results import read_results, write_cell
from benchmarks.suite.suite_file import read_suite
from demos.runtime.files import write_json

from .suites import CORE, PUBLISHED, part_of_core

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
    assert {*CITED.values(), HINDSIGHT, FROM_OBSERVATIONS} == set(references)
    # Only two agents of ours have no paper.
    assert set(AGENTS) - set(CITED) == {"random", "expert"}
    assert set(CITED) <= set(AGENTS)
    cited = ", ".join(re.findall(r"\\cite{([\w, ]+)}", (paper / "setup.tex").read_text())).split(", ")
    assert set(cited) <= set(references)
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


LATEX = next(filter(None, map(shutil.which, ("pdflatex", "tectonic"))), None)


@pytest.mark.skipif(LATEX is None, reason="needs pdflatex or tectonic")
def test_latex_compiles_the_document(paper: Path, tmp_path: Path) -> None:
    assert LATEX is not None
    folder = shutil.copytree(paper, tmp_path / "paper")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if LATEX.endswith("pdflatex") else []
    done = subprocess.run([LATEX, *options, "paper.tex"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")


def set_up_of(folder: Path, name: str, suite: dict[str, Any], cell: str) -> str:
    """Return the text of the setup of a suite of which one cell is measured."""
    results = folder / "results"
    (results / "cells").mkdir(parents=True)
    write_json(results / "suite.json", suite)
    shutil.copy(PUBLISHED / name / "cells" / f"{cell}.json", results / "cells")
    write_paper(results, folder / "paper")
    return " ".join((folder / "paper" / "setup.tex").read_text().split())


def test_conditions_are_plain_text_that_latex_can_read(tmp_path: Path) -> None:
    suite = json.loads((PUBLISHED / "language" / "suite.json").read_text())
    suite["conditions"]["<50% & {more}>"] = {
        "env": {"randomize": {"sensor_noise": [0.01, 0.02]}, "instruct": True},
        "pushes": 2,
    }
    text = set_up_of(tmp_path, "language", suite, "LamTable-v0-lam-five_cubes-630828c4-seed0")
    assert (
        r"\item <50\% \& \{more\}>: randomize = (sensor\_noise = (0.01, 0.02)), instruct = true, pushes = 2" in text
    )
    assert r"\item unseen combinations: commands = (lift purple\_cube, bin red\_cube, " in text
    assert "other\\_instruction = true" in text
    assert not re.search(r'"|&\w+;|\\u00', text)
    assert r"\item {lam}~\cite{lamenvs}" in text


def test_agents_cite_what_their_settings_and_environments_use(tmp_path: Path) -> None:
    suite = json.loads((CORE / "suite.json").read_text())
    text = set_up_of(tmp_path / "core", "core", suite, "LamGrasp-v0-expert")
    assert r"\item {sac}~\cite{haarnoja2018}" in text
    assert r"\item {sac-her} (agent sac)~\cite{haarnoja2018, andrychowicz2017}" in text
    assert r"\item {gail}~\cite{ho2016}" in text
    observations = read_suite("observations").model_dump(mode="json")["agents"]
    text = set_up_of(tmp_path / "more", "core", {**suite, "agents": observations}, "LamGrasp-v0-expert")
    assert r"\item {gail}~\cite{ho2016}" in text
    assert r"\item {gaifo} (agent gail)~\cite{ho2016, torabi2019}" in text


def test_without_a_folder_the_paper_is_of_core_or_else_of_the_newest_results(
    core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    none = CliRunner().invoke(app, ["paper"])
    assert none.exit_code == 2
    assert "no results in runs: run a suite, such as python -m benchmarks run core" in " ".join(none.output.split())
    for age, name in enumerate(("later", "earlier")):
        shutil.copytree(core, Path("runs") / name)
        os.utime(Path("runs") / name / "suite.json", (1e9 - age, 1e9 - age))
    Path("runs", "submissions", "core-mine").mkdir(parents=True)
    assert default_results() == Path("runs/later")
    shutil.copytree(core, Path("runs") / "core")
    os.utime("runs/core/suite.json", (1e6, 1e6))
    assert default_results() == Path("runs/core")
    done = CliRunner().invoke(app, ["paper"])
    assert done.exit_code == 0, done.output
    assert "results: runs/core" in done.output
    assert Path("paper", "paper.tex").is_file()


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
