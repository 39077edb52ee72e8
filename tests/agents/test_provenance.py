"""A saved agent records the versions of parts and libraries it was trained with; changed ones are reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest

from agents.imitation.bc import BehaviorCloning
from agents.registry import AGENTS
from agents.training.provenance import effective_settings, outdated_parts, settings_type, training_record
from agents.training.settings import recorded_settings
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS


def described(env_id: str = "LamReach-v0", **keywords: Any) -> dict[str, Any]:
    env = gym.make(env_id, **keywords)
    try:
        return training_record("bc", {}, env, None, seed=0, budget=None)
    finally:
        env.close()


def test_a_training_names_the_version_of_every_part_and_no_hash_of_code() -> None:
    training = described(robot="xarm6")
    assert training["versions"] == {
        "environment": 1,
        "task reach": 1,
        "robot xarm6": ROBOTS["xarm6"].version,
        "control ee": 1,
        "expert reach": 1,
        "agent bc": BehaviorCloning.spec.version,
    }
    assert {"torch", "numpy", "pybullet", "gymnasium", "lam_envs", "python"} <= training["libraries"].keys()


def test_a_raised_version_and_another_major_version_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    training = described()
    assert outdated_parts(training) == []
    spec = BehaviorCloning.spec
    monkeypatch.setattr(BehaviorCloning, "spec", replace(spec, version=spec.version + 1))
    libraries = {**training["libraries"], "torch": "1.13.1", "numpy": "2.0.0"}
    assert outdated_parts({**training, "libraries": libraries}) == ["agent bc", "torch"]
    assert outdated_parts({}) == []


def test_parts_of_keywords_are_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    training = described(robot="xarm6", task="push")
    assert {"task push", "expert push"} < training["versions"].keys()
    assert outdated_parts(training) == []
    assert outdated_parts({**training, "versions": {**training["versions"], "robot xarm6": 0}}) == ["robot xarm6"]


def test_earlier_records_and_unreadable_keywords_make_nothing_outdated() -> None:
    libraries = described()["libraries"]
    assert outdated_parts({"agent": "bc", "environment": "LamReach-v0", "versions": libraries}) == []
    assert outdated_parts({"versions": {**libraries, "torch": "1.13.1"}}) == ["torch"]
    assert outdated_parts({"versions": None, "libraries": None, "keywords": None}) == []
    unreadable = {"task": "<tasks.Mine object>", "robot": "['panda']", "control": 3}
    assert (
        outdated_parts({"environment": "LamReach-v0", "keywords": unreadable, "versions": {"environment": 1}}) == []
    )


@pytest.mark.parametrize("task", TASKS)
def test_all_ids_with_images_have_the_settings_for_images(task: str) -> None:
    name = env_id(task, "Pixels").rpartition("-v")[0]
    bc, act = (effective_settings(agent, {}, name) for agent in ("bc", "act"))
    epochs = {"push": 20, "pick_place": 20, "stack": 20, "insert": 20, "reach": 80}.get(task, 40)
    expected = {
        "epochs": epochs,
        "batch_size": 64,
        "idle_steps": 20,
        "image_readout": "spatial_softmax",
        "image_shift": 3,
        "masked_features": ["tool/lag", "tool/velocity"],
    }
    assert {key: bc[key] for key in expected} == expected
    assert bc.get("share_image_encoder", False) == (task == "reach")
    assert (act["loss"], act["epochs"], act["masked_features"]) == ("huber", epochs, expected["masked_features"])
    assert "image_readout" not in effective_settings("bc", {}, "MyPixels")


@pytest.mark.parametrize("agent", AGENTS)
def test_settings_are_those_of_the_file_the_environment_and_the_changes(agent: str) -> None:
    found = effective_settings(agent, {}, "")
    kind = settings_type(agent, {})
    complete = found if kind is None else recorded_settings(kind, found)
    assert effective_settings(agent, complete, "LamPush") == found


def test_settings_of_an_environment_count_in_it_alone() -> None:
    assert effective_settings("bc", {}, "LamPush")["epochs"] == 400
    assert effective_settings("bc", {}, "LamReach")["epochs"] == 100
    assert effective_settings("bc", {"epochs": 3}, "LamPush")["epochs"] == 3
    # An agent with settings like those of another follows it.
    assert effective_settings("dagger", {}, "LamPush")["mirror"] is True
    with pytest.raises(ValueError, match="unknown setting 'speed' of agent bc"):
        effective_settings("bc", {"speed": 1}, "LamPush")
