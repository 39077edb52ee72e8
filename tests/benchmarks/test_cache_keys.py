"""A result is outdated when, and only when, what decides it has another version, setting or source.

Our own parts count by their versions. The code of parts without a version, such as a third-party agent, is hashed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import agents.registry
import agents.training.settings
import demos.collection.environment_versions
from agents.imitation.bc import BehaviorCloning
from agents.registry import AGENTS
from agents.training.provenance import effective_settings
from benchmarks.runner import cache_keys
from benchmarks.runner.cache_keys import provenance_of
from benchmarks.runner.results import (
    CellResult,
    PlannedCell,
    cell_provenance,
    is_done,
    key_of,
    outdated_by,
)
from benchmarks.suite.conditions import NoisyActions, PushedArm
from demos.experts import EXPERTS
from lam_envs.registration import TASKS, TaskEntry
from lam_envs.robots import ROBOTS, RobotModel

from .suites import CORE, published

FILES = {
    "loose_agent.py": "import loose_helper\n\ndef act(observation):\n    return loose_helper.ACTION\n",
    "loose_helper.py": "ACTION = 1\n",
    "boxed/__init__.py": "",
    "boxed/acting.py": "from . import deciding\n\ndef act(observation):\n    return deciding.ACTION\n",
    "boxed/deciding.py": "from boxed.deep.down import ACTION\n",
    "boxed/deep/__init__.py": "",
    "boxed/deep/down.py": "ACTION = 1\n",
}


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with a module and a package of a third party."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("boxed", "loose_agent", "loose_helper")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def version(agent: str) -> str:
    cache_keys._fingerprint.cache_clear()  # as in another process
    return provenance_of(agent, "LamReach-v0", {}, learns=False).sources["agent"]


@pytest.mark.parametrize(
    ("agent", "helper"), [("loose_agent:act", "loose_helper.py"), ("boxed.acting:act", "boxed/deep/down.py")]
)
def test_the_imports_of_a_third_party_agent_count(agent: str, helper: str, third_party: Path) -> None:
    before = version(agent)
    assert version(agent) == before
    (third_party / "beside.py").write_text("ACTION = 2\n")
    assert version(agent) == before
    (third_party / helper).write_text("ACTION = 2\n")
    assert version(agent) != before


def test_an_agent_that_a_package_names_counts_with_its_code(
    third_party: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named:
        name, value = "mine", "boxed.acting:act"

    def installed() -> Any:
        yield Named()

    monkeypatch.setattr(agents.registry, "_installed", installed)
    assert agents.registry.find("mine")(None) == 1
    assert version("mine") == version("boxed.acting:act")
    before = version("mine")
    (third_party / "boxed" / "deciding.py").write_text("ACTION = 3\n")
    assert version("mine") != before


def test_compiled_code_counts_by_its_bytes(third_party: Path) -> None:
    import py_compile

    (third_party / "source.py").write_text("def act(observation):\n    return 1\n")
    py_compile.compile(str(third_party / "source.py"), cfile=str(third_party / "compiled.pyc"))
    before = version("compiled:act")
    (third_party / "source.py").write_text("def act(observation):\n    return 2\n")
    py_compile.compile(str(third_party / "source.py"), cfile=str(third_party / "compiled.pyc"))
    assert version("compiled:act") != before


def test_our_agents_count_by_their_version_alone() -> None:
    for agent in AGENTS:
        found = provenance_of(agent, "LamReach-v0", {}, demonstrator="expert", learns=True)
        assert found.sources == {}
        assert found.versions[f"agent {agent}"] >= 1


def test_the_agent_that_learns_from_labels_counts_too() -> None:
    found = provenance_of("dagger", "LamReach-v0", {"learner": "act"}, demonstrator="expert", learns=True)
    assert {"agent dagger", "agent act"} <= set(found.versions)


@pytest.fixture(scope="module", name="published")
def up_to_date() -> dict[str, list[CellResult]]:
    """The committed results that are up to date, by suite; of trainings those of the first seed."""
    found = {name: published(name)[1] for name in ("core", "robustness")}
    return {
        name: [each for each in cells if not (each.cell.training_seed or outdated_by(each))]
        for name, cells in found.items()
    }


def outdated(cells: list[CellResult]) -> set[str]:
    return {each.cell.name for each in cells if each.key != key_of(each.cell, cell_provenance(each.cell))}


def test_raising_the_version_of_an_agent_makes_exactly_its_cells_outdated(
    published: dict[str, list[CellResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = BehaviorCloning.spec
    monkeypatch.setattr(BehaviorCloning, "spec", replace(before, version=before.version + 1))
    cells = published["core"]
    own = {each.cell.name for each in cells if each.cell.agent == "bc"}
    assert own
    assert outdated(cells) == own
    one = next(each for each in cells if each.cell.agent == "bc")
    assert outdated_by(one) == [f"agent bc was {before.version}, is {before.version + 1}"]
    assert not is_done(CORE, PlannedCell.of(one.cell))


@pytest.mark.parametrize(
    ("changed", "condition"), [(NoisyActions, "action noise"), (PushedArm, "pushes"), (RobotModel, "another arm")]
)
def test_raising_the_version_of_a_condition_makes_what_met_it_outdated(
    changed: Any, condition: str, published: dict[str, list[CellResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if changed is RobotModel:
        monkeypatch.setitem(ROBOTS, "xarm6", replace(ROBOTS["xarm6"], version=ROBOTS["xarm6"].version + 1))
    else:
        monkeypatch.setattr(changed, "version", changed.version + 1)
    cells = published["robustness"]
    met = {each.cell.name for each in cells if each.cell.condition == condition}
    assert outdated(cells) == met
    assert outdated(published["core"]) == set()


def test_raising_the_version_of_an_expert_makes_what_learned_from_it_outdated(
    published: dict[str, list[CellResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EXPERTS["reach"], "version", EXPERTS["reach"].version + 1)
    cells = published["core"]
    learned = {
        each.cell.name
        for each in cells
        if "Reach" in each.cell.environment and (each.cell.demonstrations is not None or each.cell.agent == "expert")
    }
    assert outdated(cells) == learned
    assert not learned & {each.cell.name for each in cells if each.cell.agent in ("ppo", "random")}


def test_a_new_task_a_renamed_module_and_another_message_make_nothing_outdated(
    published: dict[str, list[CellResult]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(sys.modules[BehaviorCloning.__module__].__file__ or "").read_text()
    assert "collect more, or set batch_size" in source
    (tmp_path / "renamed_cloning.py").write_text(source.replace("collect more, or set batch_size", "get more"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(AGENTS, "bc", "renamed_cloning:BehaviorCloning")
    monkeypatch.setitem(TASKS, "hover", TaskEntry("hovering:Hover", 40))
    for name, cells in published.items():
        assert outdated(cells) == set(), name
    assert agents.registry.find("bc").__module__ == "renamed_cloning"


def test_a_changed_setting_makes_the_cells_that_have_it_outdated(
    published: dict[str, list[CellResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = agents.training.settings.file_settings

    def changed(name: str, fields: Any) -> Any:
        sections = before(name, fields)
        if name == "bc":
            sections["LamPush"] = {**sections["LamPush"], "epochs": 401}
        return sections

    monkeypatch.setattr(agents.training.settings, "file_settings", changed)
    assert effective_settings("bc", {}, "LamPush")["epochs"] == 401
    cells = published["core"]
    own = {each.cell.name for each in cells if each.cell.agent == "bc" and each.cell.environment == "LamPush-v0"}
    assert own
    assert outdated(cells) == own


def test_a_major_version_of_a_library_that_decides_numbers_counts(published: dict[str, list[CellResult]]) -> None:
    one = next(each for each in published["core"] if each.cell.agent == "bc")
    assert key_of(one.cell, one.provenance) == one.key
    for library, version, counts in (
        ("torch", "3.0.0", True),
        ("torch", "2.99.0", False),
        ("gymnasium", "1.4.0", False),
        ("pybullet", "4.0", True),
    ):
        other = replace(one.provenance, libraries={**one.provenance.libraries, library: version})
        assert (key_of(one.cell, other) != one.key) == counts, (library, version)


def test_what_a_cell_is_called_decides_nothing(published: dict[str, list[CellResult]]) -> None:
    one = next(each for each in published["robustness"] if each.cell.condition == "pushes")
    renamed = replace(one.cell, label="other", condition="perturbed")
    assert key_of(renamed, cell_provenance(renamed)) == one.key


def test_every_part_of_an_environment_counts() -> None:
    found = demos.collection.environment_versions.environment_versions(
        "LamGraspPixels-v0", robot="iiwa", control="joint", randomize="visual"
    )
    assert found.keys() == {
        *("environment", "task grasp", "robot iiwa", "control joint", "randomization", "images"),
    }
    assert demos.collection.environment_versions.environment_versions("CartPole-v1") == {}


@pytest.mark.parametrize(
    "keyword",
    [{"task": "nope"}, {"task": ["push"]}, {"task": None}, {"robot": ["panda"]}, {"control": {}}, {"obs": [1, 2]}],
)
def test_a_value_that_names_no_part_is_left_to_the_environment_to_refuse(keyword: dict[str, Any]) -> None:
    parts = demos.collection.environment_versions.environment_versions("LamReach-v0", **keyword)
    assert parts["environment"] == 1
    assert not any("nope" in part for part in parts)


@pytest.mark.parametrize("agent", ["gone.away:act", "gone", "gone/saved", "gone.zip", "failing.agent:act"])
def test_a_third_party_agent_that_is_not_here_makes_no_result_outdated(
    agent: str, published: dict[str, list[CellResult]], third_party: Path
) -> None:
    (third_party / "failing").mkdir()
    (third_party / "failing" / "__init__.py").write_text("raise SystemError('no license')\n")
    one = published["core"][0]
    sources = {"model" if "/" in agent or ".zip" in agent else "agent": "0123456789abcdef"}
    result = replace(one, cell=replace(one.cell, agent=agent), provenance=replace(one.provenance, sources=sources))
    assert outdated_by(result) == []


def test_everything_in_the_folder_of_a_saved_agent_counts(tmp_path: Path) -> None:
    def key() -> str:
        return provenance_of(str(tmp_path), "LamReach-v0", {}, learns=False).sources["model"]

    (tmp_path / "agent.json").write_text("{}")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "weights").write_text("1")
    before = key()
    (tmp_path / "parts" / "weights").write_text("2")
    assert key() != before
