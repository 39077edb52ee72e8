"""A result names the code that decides it: all that the agent's file imports, and nothing of other agents."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from agents import provenance
from agents.agent import AGENTS
from agents.provenance import imported_with, versions

AGENT = "{imports}\n\nclass Agent:\n    def predict(self, *args, **kwargs):\n        return {action}, None\n"


def test_what_an_agent_imports_counts_and_other_agents_do_not() -> None:
    cloning = imported_with("agents.bc")
    assert {"agents.bc", "agents.cloning", "agents.symmetry", "agents.networks", "agents.evaluation"} <= set(cloning)
    assert not {"agents.rl", "agents.dagger", "agents.agent"} & set(cloning)
    assert {"agents.sqil", "agents.dqn", "agents.rl"} <= set(imported_with("agents.sqil"))
    of_agents = [name for name in imported_with("agents.random") if name.startswith("agents")]
    assert of_agents == ["agents.evaluation", "agents.random"]


def test_how_demonstrations_are_made_counts_and_how_they_are_shown_and_exchanged_does_not() -> None:
    counted = set(imported_with("agents.random"))
    assert {"demos.collect", "demos.qualities", "demos.experts", "demos.experts.push", "demos.recording"} <= counted
    shown = ("demos.engines", "demos.report", "demos.exchange", "demos.check", "demos.commands", "demos.ready_made")
    assert not [name for name in counted for other in shown if f"{name}.".startswith(f"{other}.")]


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_has_a_code_of_its_own(agent: str) -> None:
    code = {name: versions(name)["code"] for name in AGENTS}
    same = {name for name, value in code.items() if value == code[agent]}
    place = AGENTS[agent].partition(":")[0]
    assert same <= {name for name, other in AGENTS.items() if other.partition(":")[0] == place}


def test_a_strangers_agent_counts_by_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "strange_agent.py"

    def code(**parts: Any) -> str:
        file.write_text(AGENT.format(**parts))
        importlib.invalidate_caches()
        provenance._code_of.cache_clear()
        return versions("strange_agent:Agent")["code"]

    first = code(imports="import numpy", action=0)
    assert code(imports="import numpy", action=0) == first
    assert code(imports="import numpy", action=1) != first
    assert code(imports="import numpy\nimport agents.networks", action=0) != first


def test_settings_count_without_where_better_ones_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = (provenance.CONFIGS / "bc.yaml").read_text()
    monkeypatch.setattr(provenance, "CONFIGS", tmp_path)

    def code(text: str, agent: str = "bc", environment: str = "LamReach") -> str:
        (tmp_path / "bc.yaml").write_text(text)
        provenance._code_of.cache_clear()
        return versions(agent, environment)["code"]

    first = code(shipped)
    assert code(shipped + "\n# A comment.\n") == first
    assert code(shipped.replace("high: 0.003", "high: 0.004")) == first
    assert code(shipped.replace("epochs: 100 ", "epochs: 101 ")) != first
    # What is said of another environment decides nothing here.
    others = shipped.replace("epochs: 400", "epochs: 401")
    assert others != shipped
    assert code(others) == first
    assert code(others, environment="LamPush") != code(shipped, environment="LamPush")
    # An agent with settings like those of another follows it.
    (tmp_path / "dagger.yaml").write_text("like: bc\ndefault: {rounds: 3}\n")
    assert code(others, "dagger") == code(shipped, "dagger")
    assert code(others, "dagger", "LamPush") != code(shipped, "dagger", "LamPush")
    provenance._code_of.cache_clear()
