"""Two folders of results are compared with their noise, and results leave as tables that others read."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.analysis.compare import _noise, compare
from benchmarks.analysis.tables import overviews
from benchmarks.analysis.tables import rows as rows_of
from benchmarks.reports.export import as_csv, as_latex, export
from benchmarks.runner.results import read_results, write_cell

from .suites import part_of_core

CLONE = ("LamGrasp-v0", "bc")
MEASURED = [
    *((label, "LamGrasp-v0") for label in ("bc", "expert")),
    *((label, "LamGraspDiscrete-v0") for label in ("dqfd", "expert")),
]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the published results; not to be changed."""
    return part_of_core(tmp_path_factory.mktemp("core") / "results", MEASURED)


def changed(core: Path, folder: Path, successes: int) -> Path:
    """Copy results, with so many successes of each BC policy in Grasp."""
    shutil.copytree(core, folder)
    for result in read_results(folder)[1]:
        if (result.cell.environment, result.cell.label) == CLONE:
            episodes = tuple(
                dataclasses.replace(episode, success=number < successes)
                for number, episode in enumerate(result.evaluation.episodes)
            )
            evaluation = dataclasses.replace(result.evaluation, episodes=episodes)
            write_cell(folder, dataclasses.replace(result, evaluation=evaluation))
    return folder


def test_differences_beyond_noise_are_distinguished_from_noise(core: Path, tmp_path: Path) -> None:
    many, few, nearly = (changed(core, tmp_path / str(number), number) for number in (190, 150, 189))
    verdicts = {
        name: {(one.environment, one.agent): one.verdict for one in compare(many, other)}
        for name, other in (("few", few), ("nearly", nearly))
    }
    assert verdicts["few"].pop(CLONE) == "worse"
    assert set(verdicts["few"].values()) == {"the same"}
    assert verdicts["nearly"][CLONE] == "within noise"
    assert {(one.environment, one.agent): one.verdict for one in compare(few, many)}[CLONE] == "better"


def succeeded(episodes: int, *successes: int) -> list[list[bool]]:
    """Trainings that succeeded in so many of the first of so many episodes each."""
    return [[number < count for number in range(episodes)] for count in successes]


def test_trainings_that_come_out_differently_make_their_difference_noise() -> None:
    # 875 and 950 of 1000 episodes, which one training of 1000 would tell apart; of five, one had bad luck.
    before = succeeded(200, 175, 175, 175, 175, 175)
    alike, spread = succeeded(200, 190, 190, 190, 190, 190), succeeded(200, 200, 200, 200, 150, 200)
    assert np.mean(alike) == np.mean(spread) == 0.95
    assert _noise(before, alike, paired=True)[0] > 0.0
    assert _noise(before, spread, paired=True)[0] < 0.0


def test_episodes_that_both_met_tell_more_than_others() -> None:
    # Thirteen episodes more, and none less: so large a difference between other episodes may be chance.
    before, after = succeeded(200, 160), succeeded(200, 173)
    assert _noise(before, after, paired=True)[0] > 0.0
    assert _noise(before, after, paired=False)[0] < 0.0


def test_episodes_of_other_seeds_are_not_paired(core: Path, tmp_path: Path) -> None:
    folder = changed(core, tmp_path / "elsewhere", 150)
    suite = json.loads((folder / "suite.json").read_text())
    suite["evaluation"]["first_seed"] += 1000
    suite["cells"] = [cell for cell in suite["cells"] if (cell["environment"], cell["label"]) == CLONE]
    before = {(one.environment, one.agent): one for one in compare(core, folder)}[CLONE]
    for result in read_results(folder)[1]:
        if (result.cell.environment, result.cell.label) == CLONE:
            cell = dataclasses.replace(result.cell, first_seed=result.cell.first_seed + 1000)
            suite["cells"][suite["cells"].index(result.cell.as_json())] = cell.as_json()
            episodes = tuple(
                dataclasses.replace(episode, seed=episode.seed + 1000) for episode in result.evaluation.episodes
            )
            evaluation = dataclasses.replace(result.evaluation, episodes=episodes)
            write_cell(folder, dataclasses.replace(result, cell=cell, evaluation=evaluation))
    (folder / "suite.json").write_text(json.dumps(suite))
    found = {(one.environment, one.agent): one for one in compare(core, folder)}[CLONE]
    old = [one.outcomes for one in read_results(core)[1] if (one.cell.environment, one.cell.label) == CLONE]
    assert (found.differs, found.verdict) == (("first_seed",), "worse")
    assert found.interval == _noise(old, succeeded(200, *[150] * len(old)), paired=False)
    assert before.interval == _noise(old, succeeded(200, *[150] * len(old)), paired=True)


def test_what_is_in_one_folder_alone_is_new_or_gone(core: Path, tmp_path: Path) -> None:
    folder = changed(core, tmp_path / "less", 190)
    suite = json.loads((folder / "suite.json").read_text())
    suite["cells"] = [cell for cell in suite["cells"] if (cell["environment"], cell["label"]) != CLONE]
    (folder / "suite.json").write_text(json.dumps(suite))
    gone = [one for one in compare(core, folder) if one.verdict == "removed"]
    assert [(one.environment, one.agent, one.after) for one in gone] == [(*CLONE, None)]
    assert [one.verdict for one in compare(folder, core) if (one.environment, one.agent) == CLONE] == ["new"]
    said = CliRunner().invoke(app, ["compare", str(core), str(folder)])
    assert said.exit_code == 0
    assert "1 removed" in said.output


def test_what_has_the_same_name_alone_is_not_called_better(core: Path, tmp_path: Path) -> None:
    folder = changed(core, tmp_path / "other", 20)
    suite = json.loads((folder / "suite.json").read_text())
    for result in read_results(folder)[1]:
        if (result.cell.environment, result.cell.label) == CLONE:
            cell = dataclasses.replace(result.cell, settings={"epochs": 1})
            suite["cells"][suite["cells"].index(result.cell.as_json())] = cell.as_json()
            write_cell(folder, dataclasses.replace(result, cell=cell))
    (folder / "suite.json").write_text(json.dumps(suite))
    found = {(one.environment, one.agent): one for one in compare(core, folder)}
    assert (found[CLONE].verdict, found[CLONE].differs) == ("not comparable", ("settings",))
    assert {one.verdict for key, one in found.items() if key != CLONE} == {"the same"}


@pytest.mark.parametrize(
    ("part", "value", "name"),
    [("settings", 1, "setting epochs"), ("versions", 1, "versions"), ("sources", "1", "code")],
)
def test_settings_versions_and_code_that_differ_are_named(
    part: str, value: int | str, name: str, core: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(core, tmp_path / "other")
    for result in read_results(folder)[1]:
        if (result.cell.environment, result.cell.label) == CLONE:
            content = {**getattr(result.provenance, part), "epochs": value}
            provenance = dataclasses.replace(result.provenance, **{part: content})
            write_cell(folder, dataclasses.replace(result, provenance=provenance))
    found = {(one.environment, one.agent): one for one in compare(core, folder)}
    assert (found[CLONE].differs, found[CLONE].verdict) == ((name,), "the same")
    assert {one.differs for key, one in found.items() if key != CLONE} == {()}


@pytest.mark.parametrize(
    ("changed_parts", "verdict"),
    [({"env": {"robot": "xarm6"}}, "not comparable"), ({"training_env": {"robot": "xarm6"}}, "the same")],
)
def test_agents_of_other_environments_are_not_compared(
    changed_parts: dict[str, Any], verdict: str, core: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(core, tmp_path / "other")
    suite = json.loads((folder / "suite.json").read_text())
    for result in read_results(folder)[1]:
        if (result.cell.environment, result.cell.label) == CLONE:
            cell = dataclasses.replace(result.cell, **changed_parts)
            suite["cells"][suite["cells"].index(result.cell.as_json())] = cell.as_json()
            write_cell(folder, dataclasses.replace(result, cell=cell))
    (folder / "suite.json").write_text(json.dumps(suite))
    (found,) = (one for one in compare(core, folder) if (one.environment, one.agent) == CLONE)
    assert found.verdict == verdict
    assert found.differs == tuple(changed_parts)


def test_a_label_is_not_run_as_a_formula_of_a_spreadsheet(core: Path) -> None:
    row = dataclasses.replace(rows_of(read_results(core)[1])[0], agent="=cmd()")
    (line,) = csv.DictReader(io.StringIO(as_csv([row])))
    assert line["agent"] == "'=cmd()"


def test_a_csv_holds_every_row(core: Path) -> None:
    table = rows_of(read_results(core)[1])
    read = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert len(read) == len(table)
    for row, line in zip(table, read, strict=True):
        assert (line["environment"], line["agent"]) == (row.environment, row.agent)
        assert float(line["success_rate"]) == row.success_rate
        assert (line["interquartile_mean_point"] == "") == (row.over_runs is None)


def test_latex_has_every_agent_and_escapes_what_is_special(core: Path) -> None:
    table = rows_of(read_results(core)[1])
    strange = dataclasses.replace(table[0], agent="mine_50% {a}\\b")
    text = as_latex([*table, strange, dataclasses.replace(table[0], agent="[x]")])
    assert "\n{[x]} & " in text, "brackets after a line's end would be LaTeX's"
    assert r"mine\_50\% \{a\}\textbackslash{}b" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(overviews(table))
    for row in table:
        assert f"{100 * row.success_rate:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]" in text


def test_an_export_is_written_once_and_nonsense_is_refused(core: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    command = ["export", str(core), "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert out.read_text() == export(core, "csv")
    assert CliRunner().invoke(app, command).exit_code == 2
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    with pytest.raises(ValueError, match="unknown format 'xls'; expected one of csv, latex"):
        export(core, "xls")
    with pytest.raises(FileNotFoundError, match="no results in"):
        export(tmp_path, "csv")
    with pytest.raises(FileNotFoundError, match="no results in"):
        compare(core, tmp_path)
