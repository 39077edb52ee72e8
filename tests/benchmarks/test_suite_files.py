"""Suites are read from YAML: those of the package are sound, and what is wrong with one of a user is said."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.reports.labels import label_descriptions
from benchmarks.suite.suite_file import (
    is_speed_suite,
    read_speed_suite,
    read_suite,
    suite_names,
    suite_path,
)
from demos.collection.catalog import published_datasets

from .suites import EXPERTS, SMALL, written

shipped = cache(read_suite)
OF_AGENTS = [name for name in suite_names() if not is_speed_suite(name)]

MIXED_DATA = {"environments": ["LamReach-v0"], "demonstrations": 2}


@pytest.mark.parametrize("name", OF_AGENTS)
def test_the_demonstrations_of_every_suite_of_the_package_are_published(name: str) -> None:
    published = [entry["plan"] for entry in published_datasets.published().values()]
    datasets = [cell.dataset for cell in shipped(name).cells() if cell.dataset is not None]
    assert all(one == other for one in datasets for other in datasets if one.id == other.id)
    for cell in shipped(name).cells():
        shown = cell.dataset
        if shown is not None:
            demonstrator = {} if shown.demonstrator == "expert" else {"demonstrator": shown.demonstrator}
            keywords = {"env_kwargs": shown.env} if shown.env else {}
            named = {"env_id": shown.environment, "episodes": shown.count, "seed": shown.seed}
            motion = {} if shown.motion is None else {"motion": shown.motion}
            wanted = {**named, **keywords, **demonstrator, **motion}
            assert wanted in published


@pytest.mark.parametrize("name", OF_AGENTS)
def test_every_suite_of_the_package_is_sound(name: str) -> None:
    suite = shipped(name)
    assert suite.name == name
    names = [cell.name for cell in suite.cells()]
    assert len(set(names)) == len(names)


def test_the_suites_measure_what_they_are_called_after() -> None:
    published = {
        "ablations",
        "adaptation",
        "core",
        "data",
        "generalist",
        "generalist-pixels",
        "language",
        "observations",
        "people",
        "quality",
        "quickstart",
        "randomized",
        "robustness",
        "scenes",
        "sequence",
        "vision",
    }
    assert set(suite_names()) == published | set(EXPERTS) | {"pretraining", "throughput"}
    data, quality, robustness = (shipped(name) for name in ("data", "quality", "robustness"))
    tasks = set(data.environments[:6])
    for environment in tasks:
        counts = {cell.demonstrations for cell in data.cells() if cell.environment == environment}
        assert counts == {10, 25, 50, 100, 200}
        demonstrators = {cell.demonstrator for cell in quality.cells() if cell.environment == environment}
        assert demonstrators == {"expert", "noisy", "novice", "mixed"}
        conditions = {cell.condition for cell in robustness.cells() if cell.environment == environment}
        assert conditions == {"as trained", "physics", "noise", "delay", "pushes", "another arm"}
    assert read_speed_suite("throughput").compared, "all environments"
    sequence = shipped("sequence")
    for environment in tasks:
        for agent in ("bc", "diffusion", "bc-rnn"):
            own = [cell for cell in sequence.cells() if (cell.label, cell.environment) == (agent, environment)]
            assert {cell.demonstrator for cell in own} == {"novice", "mixed", "noisy", "expert"}


def test_an_agent_can_have_training_seeds_of_its_own(tmp_path: Path) -> None:
    few = {"agent": "bc", "label": "few", "training_seeds": [5]}
    suite = read_suite(written(tmp_path, agents=["bc", few], videos=None))
    seeds = {label: [cell.training_seed for cell in suite.cells() if cell.label == label] for label in ("bc", "few")}
    assert seeds == {"bc": [0, 1], "few": [5]}
    assert label_descriptions(suite.model_dump(mode="json"))["few"].endswith(", training seed 5")
    several = {**few, "demonstrations": [10, 25, 8], "demonstrator": ["expert", "novice", "mixed"]}
    described = read_suite(written(tmp_path, agents=[{**several, "training_seeds": [0, 1]}], videos=None))
    assert label_descriptions(described.model_dump(mode="json"))["few"] == (
        "bc, 8, 10 and 25 demonstrations of expert, novice and mixed, training seeds 0 and 1"
    )
    alone = read_suite(written(tmp_path, agents=[few], training_seeds=None, videos=None))
    assert [cell.training_seed for cell in alone.cells()] == [5]


def test_an_agent_of_several_datasets_can_leave_out_the_training_keywords(tmp_path: Path) -> None:
    agents = [
        {"agent": "lam", "mixture": [MIXED_DATA], "training_env": {}},
        {"agent": "lam", "label": "b", "mixture": [MIXED_DATA]},
    ]
    keywords = {"randomize": {"action_delay": [1, 1]}}
    suite = read_suite(written(tmp_path, agents=agents, training_env=keywords, videos=None))
    assert [entry.mixture[0].env for entry in suite.agents] == [{}, keywords]


def test_the_documents_state_the_defaults_of_a_suite(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| .* \| ([^|]+) \|$", text, re.MULTILINE))
    least = {"name": "a", "agents": ["random"], "evaluation": {"first_seed": 0, "episodes": 1}}
    file = tmp_path / "least.yaml"
    file.write_text(yaml.safe_dump({**least, "environments": ["LamReach-v0"]}))
    suite = read_suite(str(file))
    (condition,), (agent,) = suite.conditions, suite.agents
    assert documented["evaluation"] == f"required; {suite.evaluation.episode_seconds} s"
    assert documented["demonstrator"] == f"`{agent.demonstrators[0]}`"
    assert documented["conditions"] == f"`{condition}: {{}}`"
    assert (suite.periodic_eval, suite.videos) == (None, None)
    assert documented["periodic_eval"] == documented["videos"] == "none"
    for key in least:
        assert documented[key].startswith("required"), key
        file.write_text(yaml.safe_dump({name: value for name, value in least.items() if name != key}))
        with pytest.raises(ValueError, match=f"lacks {key}"):
            read_suite(str(file))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environments": ["LamFly-v0"]}, "environments: unknown environment 'LamFly-v0'"),
        ({"environments": [3]}, "environments: found 3; expected a valid string"),
        (
            {"environments": ["no.such.module:LamFly-v0"]},
            "cannot import the module of environment 'no.such.module:LamFly-v0': No module named 'no'",
        ),
        ({"agents": ["bd"]}, "agent: unknown agent 'bd'"),
        ({"agents": ["no.such:Agent"]}, "agent: .*no.such"),
        ({"agents": [{"label": "x"}]}, "agents: lacks agent"),
        (
            {"agents": [{"agent": "bc", "epochs": 3}]},
            "agents.epochs: unknown key 'epochs'; expected one of agent, label",
        ),
        ({"agents": [{"agent": "bc", "settings": 3}]}, "settings: found 3; expected a mapping"),
        (
            {"agents": [{"agent": "bc", "environments": "LamReach-v0"}]},
            "environments: found 'LamReach-v0'; expected a l",
        ),
        (
            {"agents": [{"agent": "bc", "demonstrator": "best"}]},
            "demonstrator: found 'best'; expected 'expert', 'noisy'",
        ),
        (
            {"agents": [{"agent": "bc", "mixture": [{"environments": ["LamReach-v0"], "demonstrations": 2}]}]},
            "agents.mixture: bc learns in one environment: remove mixture",
        ),
        (
            {"agents": [{"agent": "lam", "mixture": 2 * [{"environments": ["LamReach-v0"], "demonstrations": 2}]}]},
            "agents.mixture: the dataset LamReach-expert-2-seed0-v0 is listed twice",
        ),
        (
            {"agents": [{"agent": "lam", "mixture": [{"environments": ["LamReach-v0"]}]}]},
            "agents.mixture: lacks demonstrations",
        ),
        (
            {"agents": [{"agent": "lam", "demonstrations": 3, "mixture": [MIXED_DATA]}]},
            "agents.demonstrations: give demonstrations in mixture",
        ),
        ({"demonstrator": "human"}, "agents.demonstrator: bc learns from a person; the suite lacks motion"),
        ({"motion": "wave"}, "motion: no motion 'wave'; expected one of carry_box, or the path of a JSON"),
        ({"motion": "../wave.json"}, "motion: there is no file ../wave.json"),
        ({"motion": 3}, "motion: found 3; expected a mapping with recording, speed"),
        ({"motion": {"recording": "carry_box", "speed": 0}}, "motion: speed is 0; expected a number from 0.01"),
        ({"motion": {"recording": "carry_box", "pace": 2}}, "motion.pace: unknown key 'pace'; .* recording, speed$"),
        (
            {"agents": [{"agent": "bc", "demonstrator": "human", "motion": {"recording": "carry_box", "pace": 2}}]},
            "agents.motion.pace: unknown key 'pace'; expected one of recording, speed$",
        ),
        (
            {"agents": [{"agent": "lam", "mixture": [{**MIXED_DATA, "count": 2}]}]},
            "agents.mixture.count: unknown key 'count'; expected one of environments, demonstrations, demonstrator",
        ),
        (
            {"agents": [{"agent": "bc", "motion": "carry_box"}]},
            "agents.motion: bc does not learn from a person: remove motion",
        ),
        ({"demonstrator": ["noisy", "noisy"]}, "demonstrator: 'noisy' is listed twice"),
        ({"training_seeds": [0, 1, 0]}, "training_seeds: 0 is listed twice; expected each item once"),
        (
            {"agents": [{"agent": "bc", "training_seeds": []}]},
            r"agents.training_seeds: found \[\]; expected at least one item",
        ),
        (
            {"agents": [{"agent": "random", "training_seeds": [0]}]},
            "agents.training_seeds: random does not learn: remove training_seeds",
        ),
        (
            {"agents": [{"agent": "random", "periodic_eval": False}]},
            "agents.periodic_eval: random does not learn: remove periodic_eval",
        ),
        (
            {"agents": [{"agent": "expert", "demonstrations": 10}]},
            "agents.demonstrations: expert needs no demonstrations: remove demonstrations",
        ),
        (
            {"agents": [{"agent": "ppo", "demonstrator": "noisy"}]},
            "agents.demonstrator: ppo needs no demonstrations: remove demonstrator",
        ),
        ({"note": " "}, "note: found ' '; expected a non-empty text without control characters"),
        ({"note": "a\x07"}, "note: found .*; expected a non-empty text without control characters"),
        ({"note": 3}, "note: found 3; expected a valid string"),
        ({"training_seeds": [0.5]}, "training_seeds: found 0.5; expected a whole number"),
        ({"agents": ["bc", {"agent": "random", "label": "BC-8-expert-seed0"}]}, "two results would be stored as"),
        ({"agents": [{"agent": "bc", "label": "a|b"}]}, "label: found 'a|b'; expected a text in one line without"),
        ({"agents": [{"agent": "bc", "label": None}]}, "label: found None; expected a valid string"),
        (
            {"agents": [{"agent": "bc", "label": "bc, 8"}]},
            "label: found .bc, 8.; expected a text in one line",
        ),
        ({"agents": ["tests.benchmarks.third_party:Unkept"]}, "agent: .*has learn and lacks save and load"),
        ({"agents": [{"agent": "bc", "settings": {"epocs": 1}}]}, "settings: unknown setting 'epocs' of agent bc"),
        ({"agents": [{"agent": "bc", "settings": {"epochs": "many"}}]}, "settings: .*epochs"),
        ({"agents": [{"agent": "expert", "settings": {"speed": 2}}]}, "settings: .*speed"),
        (
            {"agents": [{"agent": "tests.benchmarks.third_party:ZeroAgent", "settings": {"speed": 2}}]},
            "settings: got an unexpected keyword argument 'speed'",
        ),
        ({"environments": ["..:LamReach-v0"]}, "environments: .*fails when it is imported"),
        (
            {"conditions": {"as trained": {"pushes": 1}}},
            "conditions: under the condition 'as trained' nothing changes",
        ),
        ({"conditions": {"a, b": {}}}, "conditions.a, b: found 'a, b'; expected a text"),
        ({"conditions": {"rough": {"pushes": 1.5}}}, "conditions.rough.pushes: found 1.5; expected a whole number"),
        ({"conditions": {"rough": {"pushes": 10**9}}}, "conditions.rough.pushes: found 10+; expected at most 100"),
        ({"conditions": {"seen": {"env": {"render_mode": "human"}}}}, "conditions.seen.env: env has render_mode"),
        ({"evaluation": {"first_seed": 2**30, "episodes": 1}}, "evaluation: first_seed is .* periodic evaluations"),
        ({"agents": "bc"}, "agents: found 'bc'; expected a list"),
        ({"agents": [3]}, "agents: found 3; expected a mapping with agent"),
        ({"agents": [{"agent": 3}]}, "agents.agent: found 3; expected a valid string"),
        ({"agents": ["model.zip"]}, "agent: model.zip can hold code that runs .* add --allow-pickle"),
        ({"evaluation": [1000, 6]}, r"evaluation: found \[1000, 6\]; expected a mapping"),
        ({"agents": [{"agent": "bc", "settings": {"epochs": float("nan")}}]}, "settings: Out of range float"),
        (
            {"videos": {"agent": "bc", "size": 9000}},
            "videos.size: found 9000; expected at most 8192",
        ),
        ({"videos": {"agent": "bc", "size": 32, "foo": 1}}, "videos.foo: unknown key 'foo'"),
        ({"agents": ["bc", {"agent": "bc", "settings": {"epochs": 3}}]}, "agents have the label 'bc' in LamReach-v0"),
        (
            {"demonstrations": {"LamGrasp-v0": 3}},
            "demonstrations: agent bc has no number of demonstrations for LamReach-v0",
        ),
        ({"demonstrations": [5, 5]}, "demonstrations: 5 is listed twice"),
        ({"demonstrations": 0}, "demonstrations: found 0; expected at least 1"),
        ({"demonstrations": 10**12}, "demonstrations: found 10"),
        (
            {"evaluation": {"first_seed": 0, "episodes": 0}},
            "evaluation.episodes: found 0; expected at least 1",
        ),
        ({"evaluation": {"seeds": 3}}, "evaluation.seeds: unknown key 'seeds'"),
        ({"evaluation": {"first_seed": 3}}, "evaluation: lacks episodes"),
        (
            {"evaluation": {"first_seed": 0, "episodes": 1, "episode_seconds": 0}},
            "evaluation.episode_seconds: found 0",
        ),
        ({"color": "red"}, "color: unknown key 'color'"),
        ({"name": "../escape"}, "name: found '../escape'; expected letters"),
        ({"demonstrations": "many"}, "demonstrations: found 'many'"),
        ({"training_seeds": []}, r"training_seeds: found \[\]; expected at least one item"),
        ({"videos": {"agent": "bc"}}, "videos: lacks size"),
        ({"videos": {"agent": "bc", "size": 33}}, "videos.size: found 33; expected a multiple of 2"),
        ({"videos": {"agent": "spy", "size": 32}}, "videos.agent: 'spy' is not among the agents"),
        ({"periodic_eval": {"evaluations": 0, "episodes": 1}}, "periodic_eval.evaluations: found 0"),
        ({"periodic_eval": 5}, "periodic_eval: found 5; expected a mapping with evaluations, episodes"),
        ({"conditions": {}}, "conditions: found {}; expected at least one item"),
        ({"conditions": {"dark": {"light": 0}}}, "conditions.dark.light: unknown key 'light'"),
        ({"conditions": {"cold": {"env": {"robot": "arm"}}}}, "conditions.cold: unknown robot 'arm'"),
        ({"conditions": {"cold": {"env": {"heat": 3}}}}, "conditions.cold: .*heat"),
        ({"conditions": {"cold": {"env": 3}}}, "conditions.cold.env: found 3; expected a mapping"),
        ({"conditions": {"cold": {"pushes": -1}}}, "conditions.cold.pushes: found -1; expected at least 0"),
        ({"conditions": {"cold": 3}}, "conditions.cold: found 3; expected a mapping"),
        ({"evaluation": {"first_seed": 1.9, "episodes": 2}}, r"evaluation.first_seed: found 1\.9; expected a whole"),
        (
            {"evaluation": {"first_seed": -5, "episodes": 2}},
            "evaluation.first_seed: found -5; expected at least 0",
        ),
        ({"demonstrations": True}, "demonstrations: found True; expected a whole number"),
        ({7: "x"}, "7: unknown key '7'"),
        ({"env": {"heat": 3}}, "agents.env: .*heat"),
        ({"env": {"render_mode": "human"}}, "env: env has render_mode"),
        ({"env": 3}, "env: found 3; expected a mapping"),
        ({"training_env": {"robot": "arm"}}, "agents.training_env: unknown robot 'arm'"),
        (
            {"agents": ["bc", {"agent": "random", "training_env": {"randomize": "full"}}]},
            "agents.training_env: random does not learn: remove training_env",
        ),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_bad_suite_says_what_is_wrong_and_in_which_line(
    changes: dict[Any, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}, sort_keys=False))
    with pytest.raises(ValueError, match=rf"small.yaml, line \d+, .*{message}"):
        read_suite(str(path))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", r"ZeroDivisionError\('division by zero'\)"),
        ("def act(", "SyntaxError"),
        ("raise SystemExit(3)", r"SystemExit\(3\)"),
    ],
)
def test_modules_that_fail_when_they_are_imported_are_reported(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_module.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "small.yaml"
    for changes, key in (
        ({"agents": ["failing_module:act"]}, "agents.agent"),
        ({"environments": ["failing_module:My-v0"]}, "environments"),
    ):
        path.write_text(yaml.safe_dump({**SMALL, **changes}))
        with pytest.raises(ValueError, match=rf"small.yaml, line \d+, {key}: .*fails when it is imported: {reason}"):
            read_suite(str(path))


def test_the_line_is_that_of_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    lines = yaml.safe_dump(SMALL).splitlines()
    place = lines.index("  episodes: 6") + 1
    path.write_text("\n".join(lines).replace("  episodes: 6", "  episodes: six"))
    with pytest.raises(ValueError, match=f"line {place}, evaluation.episodes: found 'six'"):
        read_suite(str(path))
    path.write_text("name: a\nagents: [bc]\nname: b\n")
    with pytest.raises(ValueError, match="line 3: invalid YAML: duplicate key 'name'"):
        read_suite(str(path))
    path.write_text("name: a\nagents: [bc\n")
    with pytest.raises(ValueError, match=r"line \d: invalid YAML"):
        read_suite(str(path))


def test_a_missing_or_dangerous_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no suite 'quick'; expected one of ablations, adaptation, core"):
        read_suite("quick")
    (tmp_path / "x.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ValueError, match="invalid YAML"):
        read_suite(str(tmp_path / "x.yaml"))


def complaint(path: Path) -> str | None:
    """Return the problem of a suite; None without one."""
    try:
        assert read_suite(str(path)).cells()
    except ValueError as error:
        return str(error)
    return None


def test_a_hundred_corruptions_of_a_suite_are_reported_clearly_or_change_what_it_says(tmp_path: Path) -> None:
    """Bytes that are lost, doubled or changed: either the file still is a suite, or the error names it."""
    # Fewer environments, in each of which each condition is made.
    text = suite_path("robustness").read_text()
    whole = re.sub("^environments: .*$", "environments: [LamReach-v0, LamPush-v0]", text, flags=re.MULTILINE).encode()
    path = tmp_path / "robustness.yaml"
    rng = np.random.default_rng(0)
    reported = 0
    for _ in range(100):
        at, kind = int(rng.integers(len(whole))), int(rng.integers(4))
        length = int(rng.integers(1, 9))
        noise = bytes(int(byte) for byte in rng.integers(0, 256, length))
        path.write_bytes(
            (
                whole[:at] + whole[at + length :],
                whole[:at] + noise + whole[at + length :],
                whole[: at + length] + whole[at:],
                whole[:at],
            )[kind]
        )
        problem = complaint(path)
        if problem is not None:
            reported += 1
            assert problem.startswith(str(path))
            assert len(problem) < 2000
    assert reported > 50
