"""Suites are read from YAML: those of the package are sound, and what is wrong with one of a stranger's is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.suite import SUITES, read_suite
from demos import ready_made

from .test_suites import SMALL


@pytest.mark.parametrize("name", sorted(file.stem for file in SUITES.glob("*.yaml")))
def test_the_demonstrations_of_every_suite_are_published(name: str) -> None:
    suite = read_suite(name)
    published = [entry["plan"] for entry in ready_made.published().values()]
    for entry in suite.agents:
        quality = {} if entry.quality == "expert" else {"quality": entry.quality}
        for environment, count in entry.demonstrations.items():
            wanted = {"env_id": environment, "episodes": count, "seed": suite.demonstration_seed, **quality}
            assert wanted in published


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environments": ["LamFly-v0"]}, "unknown environment 'LamFly-v0'"),
        ({"agents": ["bd"]}, "unknown agent 'bd'"),
        ({"agents": [{"label": "x"}]}, r"agent .*missing agent"),
        ({"agents": [{"agent": "bc", "epochs": 3}]}, "agent bc: unknown epochs"),
        ({"agents": [{"agent": "bc", "settings": 3}], "videos": None}, "agent bc has settings 3; expected a mapping"),
        ({"agents": [{"agent": "bc", "environments": "LamReach-v0"}]}, "expected a list of ids"),
        ({"agents": [{"agent": "bc", "quality": "best"}], "videos": None}, "unknown quality 'best'"),
        ({"training_seeds": [0, 1, 0]}, "training_seeds has 0 more than once"),
        ({"agents": ["bc", {"agent": "random", "label": "BC-seed0"}]}, "two measurements would be kept as"),
        ({"agents": [{"agent": "bc", "label": "a|b"}]}, "expected a text in one line without"),
        ({"agents": [{"agent": "bc", "label": None}]}, "has label None; expected a text"),
        ({"agents": "bc"}, "agents is 'bc'; expected a list"),
        ({"agents": [3]}, "an agent is 3; expected a mapping"),
        ({"evaluation": [1000, 6]}, r"evaluation is \[1000, 6\]; expected a mapping"),
        ({"agents": [{"agent": "bc", "settings": {"epochs": float("nan")}}], "videos": None}, "no plain numbers"),
        ({"videos": {"agent": "bc", "episodes": 1, "size": 9000}}, "an even size of at most 8192"),
        ({"videos": {"agent": "bc", "episodes": 1, "size": 32, "foo": 1}}, "videos: unknown foo"),
        ({"agents": ["bc", {"agent": "bc", "settings": {"epochs": 3}}]}, "two agents are called 'bc' in LamReach-v0"),
        ({"demonstrations": {"LamGrasp-v0": 3}}, "agent bc lacks demonstrations for LamReach-v0"),
        ({"evaluation": {"first_seed": 0, "episodes": 0}}, r"evaluation\.episodes is 0; expected at least 1"),
        ({"evaluation": {"seeds": 3}}, "seeds"),
        ({"evaluation": {"first_seed": 0, "episodes": 1, "episode_seconds": 0}}, "episode_seconds is 0"),
        ({"colour": "red"}, "unknown colour; missing none"),
        ({"name": "../escape"}, "the name '../escape' is to be letters"),
        ({"demonstrations": "many"}, "many"),
        ({"training_seeds": []}, "training_seeds is 0"),
        ({"videos": {"agent": "bc"}}, "episodes"),
        ({"videos": {"agent": "bc", "episodes": 1, "size": 33}}, "an even size"),
        ({"videos": {"agent": "spy", "episodes": 1, "size": 32}}, "is not among the agents"),
        ({"evaluation": {"first_seed": 1.9, "episodes": 2}}, r"found 1\.9; expected a whole number"),
        ({"evaluation": {"first_seed": -5, "episodes": 2}}, "found -5; expected a whole number"),
        ({"demonstrations": True}, "found True; expected a whole number"),
        ({7: "x"}, "unknown 7"),
    ],
)
def test_a_bad_suite_says_what_is_wrong(changes: dict[Any, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    with pytest.raises(ValueError, match=message):
        read_suite(str(path))


def test_a_missing_or_dangerous_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no suite 'quick'; expected one of core, quickstart"):
        read_suite("quick")
    (tmp_path / "x.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ValueError, match="is no YAML"):
        read_suite(str(tmp_path / "x.yaml"))


def test_every_suite_of_the_package_is_sound() -> None:
    for path in SUITES.glob("*.yaml"):
        assert read_suite(path.stem).name == path.stem
