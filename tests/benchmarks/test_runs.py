"""A run measures every cell once, on the same seeds, and again only what is outdated."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

import agents
import demos
from agents.training.saving.zoo import CHECKOUT
from benchmarks.__main__ import app
from benchmarks.analysis.tables import overviews
from benchmarks.analysis.tables import rows as rows_of
from benchmarks.reports import report as reports
from benchmarks.reports.labels import label_descriptions
from benchmarks.runner import runner
from benchmarks.runner.cache_keys import provenance_of
from benchmarks.runner.results import PlannedCell, cell_provenance, is_done, read_cell, read_results, write_cell
from benchmarks.runner.trained import describe_unfinished
from benchmarks.runner.training import Curve
from benchmarks.suite.suite import PeriodicEvaluation, Suite
from benchmarks.suite.suite_file import read_suite
from demos.experts.reach import ReachExpert
from demos.human.motion.files import read_motion
from demos.runtime.engines import LocalEngine

from .suites import CLONE, PUBLISHED, finished, written

PRETRAINED = "bc/LamReach-v0"


def test_every_cell_is_measured_on_the_same_unseen_seeds(results: Path) -> None:
    _, cells = read_results(results)
    names = sorted(result.cell.name for result in cells)
    assert names == [
        "LamReach-v0-bc-8-expert-seed0",
        "LamReach-v0-bc-8-expert-seed1",
        "LamReach-v0-expert",
        "LamReach-v0-random",
        "LamReach-v0-tests_benchmarks_third_party_ZeroAgent-c7a89e12",
    ]
    assert {tuple(episode.seed for episode in result.evaluation.episodes) for result in cells} == {
        tuple(range(1000, 1006))
    }
    assert all(result.provenance.libraries["pybullet"] for result in cells)
    for which in ("median", "worst"):
        assert (results / "videos" / f"{CLONE}-{which}.mp4").stat().st_size > 1000
    assert len(list((results / "agents").iterdir())) == 2


def test_a_second_run_measures_nothing_again(results: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (results / "cells").glob("*.json")}
    suite = read_suite(written(tmp_path), ("tests.benchmarks.third_party:ZeroAgent",))
    runner.run(suite, results, LocalEngine(2))
    assert {path: path.stat().st_mtime_ns for path in (results / "cells").glob("*.json")} == before


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(results: Path, tmp_path: Path) -> None:
    def output_of(suite: str, out: Path) -> str:
        done = CliRunner().invoke(app, ["run", suite, "--out", str(out), "--dry-run", "--workers", "2"])
        assert done.exit_code == 0, done.output
        return done.stdout

    suite = written(tmp_path)
    said = output_of(suite, tmp_path / "out")
    assert "1 datasets, 2 training runs, 4 of 4 evaluations and 1 videos are missing" in said
    assert "6 training runs and evaluations of unknown duration" in said
    assert not (tmp_path / "out").exists()
    folder = shutil.copytree(results, tmp_path / "copy")
    for name in ("LamReach-v0-bc-8-expert-seed0", "LamReach-v0-expert"):
        (folder / "cells" / f"{name}.json").unlink()
    before = sorted(folder.rglob("*"))
    said = output_of(suite, folder)
    assert sorted(folder.rglob("*")) == before
    assert "0 datasets, 0 training runs, 2 of 4 evaluations and 0 videos" in said
    assert "1 training runs and evaluations of unknown duration" in said
    other = read_cell(folder / "cells" / "LamReach-v0-bc-8-expert-seed1.json")
    assert re.search(rf"LamReach-v0 +bc +- +1 +{other.evaluation_seconds:.0f} s", said)
    shutil.rmtree(folder / "agents")
    said = output_of(suite, folder)
    assert "1 datasets, 1 training runs, 2 of 4 evaluations and 0 videos" in said
    took = (other.training_seconds or 0.0) + other.evaluation_seconds
    assert re.search(rf"LamReach-v0 +bc +1 +1 +{took:.0f} s", said)
    refused = CliRunner().invoke(app, ["run", suite, "--out", str(folder), "--dry-run", "--rerun", "bc"])
    assert refused.exit_code == 2
    assert "--dry-run cannot show what --rerun would run" in refused.stderr


@pytest.mark.slow
def test_changed_code_of_an_agent_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import agents\nclass Mine:\n"
        "    def __init__(self, env): self.acting = agents.make('{}', env)\n"
        "    def predict(self, *arguments, **keywords): return self.acting.predict(*arguments, **keywords)\n"
    )
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "benchmarks", "run", written(tmp_path, agents=["mine:Mine"], videos=None)]
    rates = []
    for name in ("random", "expert"):
        (tmp_path / "mine.py").write_text(source.format(name))
        done = subprocess.run([*command, "--out", "out"], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        rates.append(read_results(tmp_path / "out")[1][0].evaluation.success_rate)
    assert rates == [0.0, 1.0]


def test_outdated_results_are_measured_again(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    suite = read_suite(written(tmp_path))
    with monkeypatch.context() as patched:
        # As if all of it had been made before the version was raised.
        patched.setattr(ReachExpert, "version", 0)
        for path in (folder / "cells").glob("*.json"):
            result = read_cell(path)
            write_cell(folder, dataclasses.replace(result, provenance=cell_provenance(result.cell)))
        for path in (folder / "agents").glob("*/training.json"):
            content = json.loads(path.read_text())
            trainings = [planned.training for planned in map(PlannedCell.of, suite.cells()) if planned.training]
            wanted = next(each for each in trainings if each.description() == content["trained"])
            path.write_text(json.dumps({**content, "key": wanted.key}))
            os.rename(path.parent, folder / wanted.path)
    for path in (folder / "datasets").glob("*/data/metadata.json"):
        path.write_text(path.read_text().replace(r"\"expert reach\": 1", r"\"expert reach\": 0"))
    (folder / "videos" / f"{CLONE}.json").unlink()
    todo = runner.missing(suite, folder)
    assert [len(part) for part in (todo.datasets, todo.trainings, todo.cells, todo.videos)] == [1, 2, 3, 1]
    runner.run(read_suite(written(tmp_path, videos=None)), folder, LocalEngine(2))
    assert runner.missing(suite, folder).names() == [f"videos-of-{CLONE}"]
    trained = [PlannedCell.of(result.cell).training for result in read_results(folder)[1]]
    names = {each.name for each in trained if each is not None}
    assert {path.name for path in (folder / "agents").iterdir()} == names, "outdated agents are gone"


@pytest.mark.slow
def test_a_folder_of_results_alone_can_be_recorded(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("agents", "datasets", "videos"))
    suite = read_suite(written(tmp_path))
    todo = runner.missing(suite, folder)
    assert [len(part) for part in (todo.datasets, todo.trainings, todo.cells, todo.videos)] == [1, 1, 0, 1]
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")}
    runner.run(suite, folder, LocalEngine(2))
    assert (folder / "videos" / f"{CLONE}-median.mp4").is_file()
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")} == before


@pytest.mark.slow
def test_an_agent_is_measured_as_often_as_a_suite_sets_it_differently(tmp_path: Path) -> None:
    quick = {"epochs": 1, "batch_size": 32}
    agents = [
        {"agent": "bc", "label": "one-epoch", "settings": quick},
        {"agent": "bc", "label": "more-shown", "settings": quick, "demonstrations": 9, "demonstrator": "noisy"},
        {
            "agent": "dqn",
            "settings": {"steps": 80, "learning_starts": 40},
            "environments": ["LamReachDiscrete-v0"],
        },
    ]
    videos = {"agent": "one-epoch", "size": 16}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], videos=videos))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(2))
    cells = {result.cell.name: result.cell for result in read_results(folder)[1]}
    assert set(cells) == {
        "LamReach-v0-one-epoch-8-expert-seed0",
        "LamReach-v0-more-shown-9-noisy-seed0",
        "LamReachDiscrete-v0-dqn-seed0",
    }
    assert [cell.demonstrations for _, cell in sorted(cells.items())] == [9, 8, None]
    assert [cell.demonstrator for _, cell in sorted(cells.items())] == ["noisy", "expert", None]
    trained = {name: PlannedCell.of(cell).training for name, cell in cells.items()}
    saved = {
        name: json.loads((folder / each.path / "agent.json").read_text())
        for name, each in trained.items()
        if each is not None
    }
    assert [saved[name]["settings"]["epochs"] for name in sorted(cells)[:2]] == [1, 1]
    assert saved["LamReachDiscrete-v0-dqn-seed0"]["training"]["demonstrations"] is None
    assert sorted(file.stem for file in (folder / "videos").glob("*.mp4")) == [
        "LamReach-v0-one-epoch-8-expert-seed0-median",
        "LamReach-v0-one-epoch-8-expert-seed0-worst",
    ]
    for file in reports.report(folder)[1:]:
        text = file.read_text()
        assert "bc, batch_size 32, epochs 1" in text
        assert "9 noisy" in text
        assert {".md": "| one-epoch | ", ".html": "</span>one-epoch</td>"}[file.suffix] in text
    discrete, tasks = reversed(overviews(rows_of(read_results(folder)[1])))
    assert tasks.environments == ("LamReach-v0",)
    assert {agent for agent, _ in tasks.agents} == {"one-epoch", "more-shown"}
    assert [agent for agent, _ in discrete.agents] == ["dqn"]


def test_an_agent_is_trained_once_for_all_that_measure_it(tmp_path: Path) -> None:
    quick = {"epochs": 1, "batch_size": 32}
    agents = [{"agent": "bc", "settings": quick}, {"agent": "bc", "label": "again", "settings": quick}]
    conditions = {"as trained": {}, "noise": {"action_noise": 0.3}, "another arm": {"env": {"robot": "xarm6"}}}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], conditions=conditions, videos=None))
    todo = runner.missing(suite, tmp_path / "out")
    assert (len(todo.datasets), len(todo.trainings), len(todo.cells)) == (1, 1, 6)
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    assert len(list((folder / "agents").iterdir())) == 1
    _, found = read_results(folder)
    ends = {(one.cell.label, one.cell.condition): one.evaluation.episodes for one in found}
    assert len(ends) == 6
    for condition in conditions:
        assert ends["bc", condition] == ends["again", condition]
    assert len({ends["bc", condition] for condition in conditions}) == 3
    files = {file.name: file for file in reports.report(folder)}
    assert list(files) == ["success.png", "robustness.png", "report.md", "report.html"]
    text = files["report.md"].read_text()
    assert "| LamReach-v0 | as trained | noise | another arm |" in text
    assert "Under other conditions" in (folder / "report.html").read_text()


def test_agents_learn_in_environments_with_other_keywords_than_they_are_measured_in(tmp_path: Path) -> None:
    quick = {"epochs": 1, "batch_size": 32}
    randomized = {"agent": "bc", "label": "randomized", "settings": quick, "training_env": {"randomize": "physics"}}
    agents = ["expert", {"agent": "bc", "settings": quick}, randomized]
    keywords = {"env": {"control": "joint"}, "videos": None, "periodic_eval": None}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], demonstrations=4, **keywords))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    ids = [name for name, _ in demos.installed(folder / "datasets")]
    assert ids == [
        "LamReach-control-joint-expert-4-seed0-v0",
        "LamReach-control-joint-randomize-physics-expert-4-seed0-v0",
    ]
    collected = [demos.plan_of(demos.load(name, folder / "datasets"))["env_kwargs"] for name in ids]
    assert collected == [{"control": "joint"}, {"control": "joint", "randomize": "physics"}]
    versions = {one.cell.label: one.provenance.versions for one in read_results(folder)[1]}
    assert all("control joint" in each and "control ee" not in each for each in versions.values())
    assert [label for label, each in versions.items() if "randomization" in each] == ["randomized"]
    assert runner.missing(suite, folder).names() == []
    report = next(file for file in reports.report(folder) if file.name == "report.md").read_text()
    assert "environment with control=joint, trained with randomize=physics" in report


def test_keywords_that_are_not_used_are_not_stored(results: Path) -> None:
    stored = json.loads((results / "suite.json").read_text())
    assert "note" not in stored
    for part in (*stored["agents"], *stored["cells"]):
        assert not {"env", "training_env", "motion"} & set(part)


def test_an_agent_is_trained_once_on_a_mixture_and_measured_in_many_environments(tmp_path: Path) -> None:
    tasks = ["LamReach-v0", "LamGrasp-v0"]
    small = {"epochs": 1, "batches": 2, "batch_size": 16, "width": 16, "layers": 1}
    mixture = [
        {"environments": tasks, "demonstrations": 2},
        {"environments": ["LamReach-v0"], "demonstrations": 2, "env": {"robot": "xarm6"}},
    ]
    agents = [{"agent": "lam", "settings": small, "mixture": mixture, "env": {"instruct": True}}]
    conditions = {"as trained": {}, "xarm6": {"env": {"robot": "xarm6"}}}
    evaluation = {"first_seed": 1000, "episodes": 1}
    only = {"environments": tasks, "conditions": conditions, "evaluation": evaluation, "videos": None}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], periodic_eval=None, **only))
    assert len(suite.cells()) == 4
    todo = runner.missing(suite, tmp_path / "out")
    assert (len(todo.datasets), len(todo.trainings)) == (3, 1)
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    results = read_results(folder)[1]
    assert {(result.cell.environment, result.cell.condition) for result in results} == {
        (task, condition) for task in tasks for condition in conditions
    }
    for result in results:
        assert {"task reach", "task grasp", "robot panda", "robot xarm6", "agent lam"} <= set(
            result.provenance.versions
        )
    assert runner.missing(suite, folder).names() == []
    assert len(list((folder / "agents").iterdir())) == 1


def test_agents_learn_from_the_motion_of_a_person(tmp_path: Path) -> None:
    clone = {"agent": "bc", "settings": {"epochs": 1, "batch_size": 32}}
    fast = {"recording": "carry_box", "speed": 10}
    agents = [
        {**clone, "demonstrator": ["expert", "human"]},
        {**clone, "label": "fast", "demonstrator": "human", "motion": fast},
    ]
    only = {"environments": ["LamGrasp-v0"], "videos": None, "periodic_eval": None, "motion": "carry_box"}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], demonstrations=2, **only))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    plans = [demos.plan_of(demos.load(name, folder / "datasets")) for name, _ in demos.installed(folder / "datasets")]
    motion = read_motion("carry_box").as_json()
    shown = [(plan["quality"], plan.get("motion")) for plan in plans]
    assert sorted(shown, key=str) == sorted(
        [("expert", None), ("human", motion), ("human", {**motion, "speed": 10.0})], key=str
    )
    described = label_descriptions(read_results(folder)[0])
    assert described["fast"].endswith("human demonstrations, recording imitated at up to 10 times the person's speed")
    moved = {**motion, "points": [[x + 0.01, y, z] for x, y, z in motion["points"]]}
    changed = suite.model_copy(update={"agents": (suite.agents[0].model_copy(update={"motion": moved}),)})
    assert [planned.cell.demonstrator for planned in runner.missing(changed, folder).cells] == ["human"]


@pytest.mark.slow
def test_one_worker_gives_the_results_of_two(results: Path, tmp_path: Path) -> None:
    suite = read_suite(
        written(tmp_path, training_seeds=[0], videos=None), ("tests.benchmarks.third_party:ZeroAgent",)
    )
    alone = finished(runner.run(suite, tmp_path / "out", LocalEngine(1)))
    assert len(alone) == 4
    assert alone == {name: result for name, result in finished(results).items() if not name.endswith("seed1.json")}


def test_a_run_that_finds_the_folder_in_use_deletes_nothing(tmp_path: Path) -> None:
    suite, folder = written(tmp_path, agents=["random"], videos=None), tmp_path / "out"
    runner.run(read_suite(suite), folder, LocalEngine(1))
    before = sorted((folder / "cells").iterdir())
    with runner.locked(folder):
        refused = CliRunner().invoke(app, ["run", suite, "--out", str(folder), "--rerun", "random"])
    assert refused.exit_code == 2
    assert "another run works in" in refused.stderr
    assert sorted((folder / "cells").iterdir()) == before


def test_options_of_agents_are_refused_for_suites_of_speed(tmp_path: Path) -> None:
    command = ["run", "throughput", "--out", str(tmp_path), "--dry-run", "--rerun", "bc", "--workers", "0"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "measures the speed of environments: remove --rerun, --workers" in " ".join(refused.stderr.split())


def test_an_agent_without_periodic_evaluations_needs_no_learning_curve(tmp_path: Path) -> None:
    def missing(evaluations: dict[str, int] | None, **keys: object) -> runner.Missing:
        entry = {"agent": "bc", "settings": {"epochs": 1, "batch_size": 32}, **keys}
        changes = {"agents": [entry], "training_seeds": [0], "videos": None, "periodic_eval": evaluations}
        suite = read_suite(written(tmp_path, **changes))
        assert len(suite.cells()) == 1
        return runner.missing(suite, runner.run(suite, folder, LocalEngine(1)) if not folder.exists() else folder)

    folder, once = tmp_path / "out", {"evaluations": 1, "episodes": 1}
    assert not missing(None).cells
    assert not missing(once, periodic_eval=False).cells
    with_curve = missing(once)
    assert len(with_curve.cells) == len(with_curve.trainings) == 1
    assert list(with_curve.periodic_evals) == [with_curve.trainings[0].key]


def test_a_result_with_another_learning_curve_is_measured_again() -> None:
    suite = read_suite("core")
    planned = PlannedCell.of(next(cell for cell in suite.cells() if cell.label == "bc"))
    assert suite.periodic_eval is not None
    assert is_done(PUBLISHED / "core", planned, suite.periodic_eval)
    for changes in ({"evaluations": 5}, {"episodes": 200}):
        assert not is_done(PUBLISHED / "core", planned, suite.periodic_eval.model_copy(update=changes))
    curve = Curve("epochs", 10, (1.0, 2.0), (0.0, 1.0), evaluations=3)
    assert curve.is_of(PeriodicEvaluation(evaluations=3, episodes=10))
    assert not curve.is_of(PeriodicEvaluation(evaluations=50, episodes=10))


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, agents=["random"], videos=None))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.md").write_text("of somebody else")
    with pytest.raises(ValueError, match=r"holds report\.md and no suite\.json: choose another folder by --out"):
        runner.run(suite, folder, LocalEngine(1))
    (folder / "suite.json").write_text("{}")
    with pytest.raises(ValueError, match=r"suite\.json is not the file of a suite: choose another"):
        runner.run(suite, folder, LocalEngine(1))
    (folder / "suite.json").write_text('{"name": "another"}')
    with pytest.raises(ValueError, match="holds results of the suite 'another': choose another"):
        runner.run(suite, folder, LocalEngine(1))
    assert sorted(path.name for path in folder.iterdir()) == ["report.md", "suite.json"]
    with pytest.raises(NotADirectoryError, match="is a file; choose a folder"):
        runner.run(suite, folder / "report.md", LocalEngine(1))


def test_two_runs_do_not_work_in_one_folder(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, agents=["random"], videos=None))
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(ValueError, match="another run works in"):
        runner.run(suite, tmp_path / "out", LocalEngine(1))
    assert len(read_results(runner.run(suite, tmp_path / "out", LocalEngine(1)))[1]) == 1


def test_an_agent_is_measured_again_where_its_user_says_so(results: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    suite = read_suite(written(tmp_path), ("tests.benchmarks.third_party:ZeroAgent",))
    runner.delete_results(suite, folder, ["bc"])
    todo = runner.missing(suite, folder)
    assert [len(part) for part in (todo.datasets, todo.trainings, todo.cells, todo.videos)] == [1, 2, 2, 1]
    with pytest.raises(ValueError, match="no agent has the label 'bd'; expected one of random, expert, bc"):
        runner.delete_results(suite, folder, ["random", "bd"])
    assert runner.missing(suite, folder) == todo, "nothing is deleted where a label is wrong"
    assert runner.removed_agents(suite, folder) == []
    assert runner.removed_agents(read_suite(written(tmp_path)), folder) == ["tests.benchmarks.third_party:ZeroAgent"]


def test_checkpoints_of_other_trainings_are_kept_and_outdated_ones_removed(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def suite_of(epochs: int) -> Suite:
        entry = {"agent": "bc", "settings": {"epochs": epochs, "batch_size": 32}}
        return read_suite(written(tmp_path, agents=[entry], training_seeds=[0], videos=None, periodic_eval=None))

    (mine,) = runner.missing(suite_of(1), folder).trainings
    (other,) = runner.missing(suite_of(2), folder).trainings
    outdated = dataclasses.replace(mine, key="0" * 32)
    assert mine.stem == other.stem
    kept, removed = (describe_unfinished(folder, each) for each in (other, outdated))
    runner.run(suite_of(1), folder, LocalEngine(1))
    assert kept.exists()
    assert not removed.exists()
    assert list((folder / "unfinished").iterdir()) == [kept], "a finished training leaves no checkpoints"


def test_what_learns_nothing_needs_no_seeds_of_learning(tmp_path: Path) -> None:
    without = {"demonstrations": None, "demonstration_seed": None, "training_seeds": None, "videos": None}
    suite = read_suite(written(tmp_path, agents=["random"], **without))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    reports.report(folder)
    text = (folder / "report.md").read_text()
    assert "raining seeds" not in text
    assert "emonstrations of seed" not in text
    for lacking, needed in (("training_seeds", "bc"), ("demonstration_seed", "bc")):
        with pytest.raises(
            ValueError, match=f"line .*, agents.agent: {needed} learns, and the suite lacks {lacking}"
        ):
            read_suite(written(tmp_path, agents=[needed], **{lacking: None}))


def test_a_pretrained_agent_is_measured_by_its_name_and_its_files_are_in_the_key(tmp_path: Path) -> None:
    small = {"agents": [{"agent": PRETRAINED}], "videos": None, "evaluation": {"first_seed": 1000, "episodes": 2}}
    suite = read_suite(written(tmp_path, **small), (PRETRAINED,))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    [found] = read_results(folder)[1]
    measured = agents.evaluate(agents.load_pretrained(PRETRAINED), "LamReach-v0", seeds=range(1000, 1002))
    assert found.cell.label == PRETRAINED
    assert found.cell.training_seed is None
    assert found.evaluation.episodes == measured.episodes
    files = provenance_of(str(CHECKOUT / PRETRAINED), "LamReach-v0", {}, learns=False)
    assert found.provenance.sources["model"] == files.sources["model"]
    assert found.provenance.versions["agent bc"] == files.versions["agent bc"]
    with pytest.raises(ValueError, match=r"no pretrained agent of this name; .* bc/LamReach-v0"):
        read_suite(written(tmp_path, agents=["bc/LamReech-v0"], videos=None))


def test_a_pretrained_agent_acts_by_other_settings(tmp_path: Path) -> None:
    shared = {"agent": "lam/generalist", "env": {"instruct": True}}
    several = [{**shared, "label": str(count), "settings": {"executed_actions": count}} for count in (1, 8)]
    small = {"agents": several, "videos": None, "evaluation": {"first_seed": 1000, "episodes": 1}}
    suite = read_suite(written(tmp_path, **small, environments=["LamReach-v0"]))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    returns = {found.cell.label: found.evaluation.mean_return for found in read_results(folder)[1]}
    assert returns.keys() == {"1", "8"}
    assert returns["1"] != returns["8"]
    for settings, problem in (
        ({"executed_actions": 9}, "executed_actions is 9 and action_horizon 8"),
        ({"epochs": 9}, "epochs cannot change after the training of agent lam; expected only executed_actions"),
    ):
        with pytest.raises(ValueError, match=f"agents.settings: .*{problem}"):
            read_suite(written(tmp_path, agents=[{**shared, "settings": settings}], videos=None))


def test_a_saved_agent_is_measured_as_it_is(results: Path, tmp_path: Path) -> None:
    trained = next(path for path in sorted((results / "agents").iterdir()) if "-bc-seed0-" in path.name)
    saved = str(shutil.copytree(trained, tmp_path / "saved", ignore=shutil.ignore_patterns("training.json")))
    suite = read_suite(written(tmp_path, agents=["random"], videos=None), (saved,))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    found = {one.cell.label: one for one in read_results(folder)[1]}
    clone = read_cell(results / "cells" / f"{CLONE}.json")
    assert found[saved].evaluation.episodes == clone.evaluation.episodes
    assert runner.missing(suite, folder).cells == ()
    description = tmp_path / "saved" / "agent.json"
    description.write_text(description.read_text().replace('"epochs"', '"epochs" '))
    assert [planned.cell.label for planned in runner.missing(suite, folder).cells] == [saved]
    description.write_text(json.dumps({"agent": "os:system"}))
    with pytest.raises(ValueError, match="was saved by agent 'os:system'; expected one of"):
        read_suite(written(tmp_path), (saved,))
