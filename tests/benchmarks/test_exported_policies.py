"""A suite measures an exported policy like the agent, and again when its files change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.deployment.export.exporting import export
from benchmarks.runner import runner
from benchmarks.runner.results import outdated_by, read_results
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from ..agents.test_export import scrambled
from ..conftest import Make
from .suites import written

QUICK: dict[str, Any] = {
    "agents": ["random"],
    "evaluation": {"first_seed": 1000, "episodes": 2},
    "env": {"max_episode_steps": 10},
    "videos": None,
    "periodic_eval": None,
}


def test_an_exported_policy_is_measured_like_its_agent_and_again_when_it_changes(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0", max_episode_steps=4)
    agent = scrambled("bc", env, {})
    saved, exported = str(agent.save(tmp_path / "agent")), str(tmp_path / "exported")
    export(agent, env, exported, seeds=(0,))
    suite = read_suite(written(tmp_path, **QUICK), extra_agents=(saved, exported))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    assert runner.failures(folder) == {}
    results = {result.cell.agent: result for result in read_results(folder)[1]}
    own, other = (results[name] for name in (saved, exported))
    assert own.outcomes == other.outcomes
    assert own.evaluation.mean_return == pytest.approx(other.evaluation.mean_return, rel=1e-3)
    assert "onnxruntime" in other.provenance.libraries
    assert runner.missing(suite, folder).cells == ()
    (tmp_path / "exported" / "README.md").write_text("a text that decides nothing")
    assert runner.missing(suite, folder).cells == ()
    export(scrambled("bc", env, {"hidden_sizes": [8]}), env, exported, seeds=(0,), overwrite=True)
    assert [planned.cell.agent for planned in runner.missing(suite, folder).cells] == [exported]
    assert "code of the model was" in outdated_by(other)[0]


def test_settings_of_an_exported_policy_are_refused(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0", max_episode_steps=4)
    export(scrambled("bc", env, {}), env, tmp_path / "exported", seeds=(0,))
    agent = {"agent": str(tmp_path / "exported"), "settings": {"width": 1}}
    with pytest.raises(ValueError, match="unexpected keyword argument 'width'"):
        read_suite(written(tmp_path, **{**QUICK, "agents": [agent]}))
