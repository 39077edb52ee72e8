"""A report shows what the last suite measured, whole by itself and the same each time."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from benchmarks.analysis.tables import rows as rows_of
from benchmarks.reports import report as reports
from benchmarks.runner import runner
from benchmarks.runner.results import read_cell, read_results, write_cell, write_suite
from benchmarks.suite.suite import Cell
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine
from lam_envs.registration import TASKS, env_id

from .suites import CLONE, PUBLISHED, part_of_core, published, written


def test_a_report_shows_what_was_measured(results: Path) -> None:
    files = reports.report(results)
    assert [file.name for file in files] == ["success.png", "report.md", "report.html"]
    rows = {row.agent: row for row in rows_of(read_results(results)[1])}
    assert rows["expert"].success_rate == 1.0
    assert rows["bc"].trainings == 2
    assert rows["expert"].trainings is None
    assert rows["bc"].episodes == 12
    assert rows["bc"].demonstrations == 8
    assert rows["expert"].training_seconds is None
    times = [result.training_seconds for result in read_results(results)[1] if result.cell.agent == "bc"]
    assert rows["bc"].training_seconds == pytest.approx(sum(times) / 2)
    assert min(times) > 0.0
    assert rows["bc"].over_runs is not None
    for file in files[1:]:
        text = file.read_text()
        for row in rows.values():
            assert f"{100 * row.success_rate:.1f}%" in text
            assert f"{100 * row.low:.1f}% to {100 * row.high:.1f}%" in text
        assert "1000 to 1005" in text
        assert "python -m benchmarks run SUITE.yaml --agent tests.benchmarks.third_party:ZeroAgent" in text
    assert f"videos/{CLONE}-median.mp4" in files[1].read_text()
    page = files[2].read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [source[:22] for source in sources].count("data:video/mp4;base64,") == 2
    assert all(source.startswith(("data:", "#")) for source in sources), "the page is whole by itself"
    assert not re.search(r"https?://(?!www\.w3\.org)|<script|@import|url\(http", page)
    assert re.findall("<h3>([^<]+)</h3>", page) == ["Success", "Learning curves", "Behavior", "Failed episodes"]


def test_expert_labels_have_a_column_where_they_were_counted(tmp_path: Path) -> None:
    folder = part_of_core(tmp_path, {("dagger", "LamReach-v0"), ("bc", "LamReach-v0")})
    before = reports.markdown(folder)
    assert "xpert labels" not in before
    paths = sorted((folder / "cells").glob("*-dagger-*.json"))
    for number, path in enumerate(paths):
        old, result = path.read_bytes(), read_cell(path)
        assert result.training is not None
        assert write_cell(folder, result).read_bytes() == old, "a cell of an earlier version stays as it is"
        counted = dataclasses.replace(
            result, training=dataclasses.replace(result.training, expert_labels=2000 + number)
        )
        write_cell(folder, counted)
        assert read_cell(path) == counted
        assert counted.key == result.key
    (markdown, page) = (path.read_text() for path in reports.report(folder) if path.suffix in (".md", ".html"))
    head, _, *lines = markdown[markdown.index("| environment | agent | demonstrations ") :].splitlines()
    column = head.split(" | ").index("expert labels")
    shown = {line.split(" | ")[1]: line.split(" | ")[column] for line in lines[:2]}
    assert shown == {"dagger": f"{2000 + (len(paths) - 1) / 2:,.0f}", "bc": "-"}
    assert "Expert labels: steps with an action of the expert" in markdown
    assert "<th>expert labels</th>" in page


def test_a_report_of_the_same_results_is_the_same(results: Path) -> None:
    first = [file.read_bytes() for file in reports.report(results)]
    assert [file.read_bytes() for file in reports.report(results)] == first


def test_a_report_holds_the_last_suite_alone(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    fewer = {"agents": ["expert"], "evaluation": {"first_seed": 5, "episodes": 2}, "videos": None}
    runner.run(read_suite(written(tmp_path, **fewer)), folder, LocalEngine(1))
    _, cells = read_results(folder)
    assert [result.cell.agent for result in cells] == ["expert"]
    assert [episode.seed for episode in cells[0].evaluation.episodes] == [5, 6]


def test_a_single_agent_under_conditions_has_one_table_of_its_environments(tmp_path: Path) -> None:
    conditions = {"xarm6": {"env": {"robot": "xarm6"}}, "panda": {}}
    suite = read_suite(
        written(
            tmp_path,
            environments=["LamReach-v0", "LamGrasp-v0"],
            agents=["random"],
            evaluation={"first_seed": 5, "episodes": 2},
            conditions=conditions,
            **dict.fromkeys(("videos", "periodic_eval", "training_seeds", "demonstrations", "demonstration_seed")),
        )
    )
    folder = runner.run(suite, tmp_path / "out", LocalEngine(2))
    (folder / "cells" / "LamGrasp-v0-random-panda.json").unlink()
    image, text, page = reports.report(folder)
    assert (image.name, page.name) == ("success.png", "report.html")
    table = [
        "| success of random | xarm6 | panda |",
        "|---|---|---|",
        "| LamReach-v0 | 0.0% (0.0% to 65.8%) | 0.0% (0.0% to 65.8%) |",
        "| LamGrasp-v0 | 0.0% (0.0% to 65.8%) | pending |",
    ]
    overview = reports.markdown_overview(folder)
    assert [line for line in overview.splitlines() if line] == [
        *table,
        "3 of 4 evaluations are done; missing: LamGrasp-v0.",
    ]
    assert reports.markdown_conditions(folder) == "\n".join(table)
    assert text.read_text().count(overview) == 1
    assert text.read_text().count(table[0]) == 1
    assert "| LamReach-v0 | random, panda | 2 | 5, 6 |" in text.read_text()
    assert "<th>success of random</th><th>xarm6</th><th>panda</th>" in page.read_text()
    assert "<td>2</td><td>5, 6</td>" in page.read_text()
    assert "Under other conditions" not in page.read_text()


def test_several_agents_under_conditions_have_a_table_of_their_environments_each() -> None:
    folder = PUBLISHED / "generalist"
    parts = reports.markdown(folder).split("\n\n")
    heads = [part.splitlines()[0] for part in parts if "| panda | xarm6 | iiwa |" in part]
    labels = ("lam with ten tasks", "lam", "lam with ten tasks and 8 actions", "one mlp")
    assert heads[:4] == [f"| success of {label} | panda | xarm6 | iiwa |" for label in labels]
    matrix = next(part for part in parts if part.startswith("| success of lam |")).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in matrix[2:]] == [env_id(task) for task in TASKS][:6]
    assert heads[4] == "| success of lam with ten tasks in LamTable-v0 | panda | xarm6 | iiwa |"
    # Then the agents are compared in each environment.
    assert [head.split(" | ")[0].strip("| ") for head in heads[5:]] == [env_id(task) for task in TASKS]
    assert "| success | LamReach-v0 |" not in reports.markdown(folder)
    assert reports.markdown_conditions(folder).count("| panda | xarm6 | iiwa |") == 4 + len(TASKS)


def test_what_a_complete_suite_does_not_measure_is_not_pending() -> None:
    assert "pending" not in reports.markdown(PUBLISHED / "generalist")


def test_the_note_of_a_suite_is_under_the_title_of_its_report_and_makes_no_result_outdated(
    results: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(results, tmp_path / "copy", ignore=shutil.ignore_patterns("agents", "datasets")))
    without = read_suite(written(tmp_path), ("tests.benchmarks.third_party:ZeroAgent",))
    suite = read_suite(
        written(tmp_path, note="No claim about\n  <b>speed</b> [1]."), ("tests.benchmarks.third_party:ZeroAgent",)
    )
    assert suite.cells() == without.cells()
    assert runner.missing(suite, folder).names() == []
    write_suite(folder, suite)
    reports.report(folder)
    text = (folder / "report.md").read_text()
    assert text.startswith("# Suite small\n\nNo claim about &lt;b&gt;speed&lt;/b&gt; \\[1\\].\n\n| success |")
    page = (folder / "report.html").read_text()
    assert "<h1>Suite small</h1>\n<p>No claim about &lt;b&gt;speed&lt;/b&gt; [1].</p>" in page


def test_a_suite_of_ours_is_ours_with_another_note() -> None:
    stored = published("generalist")[0]
    assert reports.command({**stored, "note": "an earlier one"}) == "python -m benchmarks run generalist"
    assert reports.command({**stored, "demonstration_seed": 2}) == "python -m benchmarks run SUITE.yaml"


def test_markup_in_a_name_stays_text(results: Path, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    content = json.loads((results / "cells" / "LamReach-v0-expert.json").read_text())
    content["cell"]["label"] = "<script>alert(1)</script>"
    result = read_cell(results / "cells" / "LamReach-v0-expert.json")
    write_cell(tmp_path, dataclasses.replace(result, cell=Cell(**content["cell"])))
    suite = json.loads((results / "suite.json").read_text())
    (tmp_path / "suite.json").write_text(json.dumps({**suite, "cells": [content["cell"]]}))
    reports.report(tmp_path)
    for name in ("report.html", "report.md"):
        assert "<script>alert" not in (tmp_path / name).read_text()


def test_a_name_is_neither_formula_nor_markup(results: Path, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    result = read_cell(results / "cells" / "LamReach-v0-expert.json")
    cell = dataclasses.replace(result.cell, label=r"cost $\frac{$ [x](y) *b*")
    write_cell(tmp_path, dataclasses.replace(result, cell=cell))
    suite = json.loads((results / "suite.json").read_text())
    (tmp_path / "suite.json").write_text(json.dumps({**suite, "cells": [cell.as_json()]}))
    reports.report(tmp_path)
    assert r"| cost $\\frac{$ \[x\](y) \*b\* |" in (tmp_path / "report.md").read_text()


def test_a_video_that_leads_elsewhere_is_not_shown(results: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(results, tmp_path / "copy", ignore=shutil.ignore_patterns("agents", "datasets")))
    (tmp_path / "secret").write_text("a secret")
    video = folder / "videos" / f"{CLONE}-median.mp4"
    video.unlink()
    video.symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="leads out of its folder"):
        reports.report(folder)


def test_a_suite_of_ones_own_by_the_name_of_ours_is_not_taken_for_ours(tmp_path: Path) -> None:
    folder = runner.run(
        read_suite(written(tmp_path, name="core", agents=["random"], videos=None)), tmp_path / "out", LocalEngine(1)
    )
    reports.report(folder)
    assert "**Made** by `python -m benchmarks run SUITE.yaml`" in (folder / "report.md").read_text()
