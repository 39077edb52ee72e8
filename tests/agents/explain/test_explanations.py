"""Explanations of an episode: for every agent of ours what it has, for others what needs no gradients."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from torch import nn
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.deployment.remote.server import PolicyServer, metadata_of
from agents.explain.command import demonstrations_of
from agents.explain.explaining import Report, check_path, explain
from agents.explain.failure.monitor import Monitor
from agents.explain.frames import demonstration_images
from agents.explain.functions import Inputs, SequenceFunction, function_of
from agents.explain.methods import METHODS, find_method
from agents.explain.methods.uncertainty import disagreement
from agents.explain.references import References
from agents.explain.trace import trace_episode
from agents.policies.torch_policy import TorchPolicy
from agents.training.randomness import isolated_rng
from lam_envs.observation.instructions import decode_instruction
from tests.browser import browsing

from ...conftest import Make
from ..remote.servers import ours
from ..sequence.small import SMALL
from ..test_export import CASES, scrambled

QUICK = ("bc, goals, ensemble", "dqn", "act, instructions")
"""Cases of ``make test``; the others take the same paths, in seconds each."""
WITHOUT_SPREAD = ("keypoints", "lam, features alone", "lam, objects")
"""Cases of policies that plan a single action at each step, without noise."""


def available(report: Report) -> set[str]:
    return {name for name, found in report.content["explanations"].items() if "unavailable" not in found}


def reason(report: Report, method: str) -> str:
    return str(report.content["explanations"][method]["unavailable"])


@pytest.mark.parametrize(
    "label", [pytest.param(label, marks=[] if label in QUICK else [pytest.mark.slow]) for label in CASES]
)
def test_every_agent_of_ours_has_explanations(label: str, make: Make) -> None:
    name, env_id, keywords, settings = CASES[label]
    env = make(env_id, **keywords, max_episode_steps=3)
    report = explain(scrambled(name, env, settings), env, seed=0)
    expected = {"features"} if label in WITHOUT_SPREAD else {"features", "uncertainty"}
    expected |= {"pixels"} if "Pixels" in env_id else set()
    expected |= {"words"} if keywords.get("instruct") else set()
    assert available(report) >= expected, report.content["explanations"]
    assert ("uncertainty" in available(report)) or "this policy is deterministic" in reason(report, "uncertainty")
    assert "there are no demonstrations" in reason(report, "distance")
    assert all(len(found["steps"]) == 3 for found in report.content["explanations"].values() if "steps" in found)
    assert len(report.frames) == 3
    json.dumps(report.content)


@pytest.mark.parametrize("label", ["bc, goals, ensemble", "act", "bc-rnn, chunks", "diffusion, task frame"])
def test_the_function_of_a_policy_gives_the_actions_that_the_agent_takes(label: str, make: Make) -> None:
    name, env_id, keywords, settings = CASES[label]
    env = make(env_id, **keywords, max_episode_steps=7)
    agent = scrambled(name, env, settings)
    trace, function = trace_episode(agent, env, 0), function_of(agent)
    assert function is not None
    for step in range(len(trace)):
        numbers = function(trace.deciding_inputs(step, function.horizon))[0].detach().numpy()
        if function.is_discrete:
            assert int(numbers.argmax()) == int(trace.actions[step])
        else:
            low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
            np.testing.assert_allclose(np.clip(numbers, low, high), trace.actions[step], atol=1e-5)


@pytest.mark.parametrize("name", ["act", "bc-rnn"])
def test_discrete_actions_of_a_sequence_policy_are_explained_by_logits(name: str, make: Make) -> None:
    env = make("LamReachDiscrete-v0", max_episode_steps=2)
    agent = scrambled(name, env, SMALL[name])
    trace, function = trace_episode(agent, env, 0), function_of(agent)
    assert isinstance(function, SequenceFunction)
    inputs = trace.inputs(0, function.horizon)
    numbers, probabilities = function(inputs), function.chunk(inputs)[:, 0]
    torch.testing.assert_close(numbers.softmax(dim=1), probabilities)
    torch.testing.assert_close(numbers.mean(dim=1), torch.zeros(1), atol=1e-6, rtol=0.0)


def test_actions_of_sac_are_drawn_in_the_units_of_the_environment() -> None:
    env = gym.make("Pendulum-v1")  # its actions are from -2 to 2
    model = SAC("MlpPolicy", env, seed=0, buffer_size=10, policy_kwargs={"net_arch": [8]})
    function, observation = function_of(model), env.reset(seed=0)[0]
    assert function is not None
    inputs = Inputs(torch.from_numpy(observation)[None, None], torch.zeros(1, 1, dtype=torch.bool))
    with isolated_rng(0):
        drawn = function.draws(inputs, 20)
    assert drawn is not None
    with isolated_rng(0):
        actions = [model.predict(observation, deterministic=False)[0] for _ in range(20)]
    np.testing.assert_allclose(drawn[:, 0].numpy(), actions, atol=1e-6)
    assert np.abs(actions).max() > 1.0
    env.close()


class StartsAtFive(gym.ActionWrapper[Any, Any, Any]):
    """Environment whose first discrete action is 5."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.Discrete(env.action_space.n, start=5)  # type: ignore[attr-defined]

    def action(self, action: Any) -> Any:
        return action - 5


def test_discrete_actions_are_named_by_their_own_numbers(make: Make) -> None:
    env = StartsAtFive(make("CartPole-v1", max_episode_steps=4))
    content = explain(agents.make("random", env), env, seed=0, methods=["distance"]).content
    assert (content["first_action"], content["outputs"]) == (5, ["action 5", "action 6"])
    assert set(content["actions"]) <= {5, 6}
    assert explain(agents.make("random", env.env), env.env, seed=0, methods=["distance"]).content["first_action"] == 0


def test_an_action_of_a_chunk_was_decided_on_when_the_chunk_was_planned(make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=9)
    agent = scrambled("act", env, SMALL["act"])
    trace = trace_episode(agent, env, 0)
    assert [trace.planned(step) for step in range(9)] == [0, 0, 0, 0, 4, 4, 4, 4, 8]


@pytest.mark.parametrize("name", ["expert", pytest.param("random", marks=pytest.mark.slow)])
def test_agents_without_a_network_have_the_explanations_that_need_none(name: str, datasets: Any, make: Make) -> None:
    root, ids = datasets
    env = make("LamReach-v0", max_episode_steps=4)
    report = explain(agents.make(name, env), env, seed=0, demonstrations=demos.load(ids["LamReach-v0"], root))
    assert available(report) == {"distance"}
    assert name in reason(report, "features")
    assert max(report.content["explanations"]["distance"]["steps"]) > 0.0


def test_an_environment_may_choose_the_size_of_its_images(datasets: Any, make: Make) -> None:
    env = make("LamReach-v0", render_mode="rgb_array", render_width=64, render_height=48, max_episode_steps=2)
    report = explain(agents.make("random", env), env, seed=0, methods=["distance"])
    assert len(report.frames) == 2


def test_demonstrations_of_another_task_are_refused(inserting: tuple[Path, str], make: Make) -> None:
    env = make("LamPickPlace-v0", max_episode_steps=2)
    dataset = demos.load(inserting[1], inserting[0])
    assert dataset.observation_space == env.observation_space
    with pytest.raises(ValueError, match="shows the task insert; this environment has the task pick_place"):
        explain(agents.make("random", env), env, seed=0, demonstrations=dataset)
    agent = agents.make("bc", env, hidden_sizes=(8,))
    agent.training = {"demonstrations": {"id": dataset.id}}
    found = demonstrations_of(agent, env, None, inserting[0])
    assert isinstance(found, str)
    assert "has other observations, actions or tasks than this environment" in found


def test_missing_datasets_of_a_training_are_named_briefly(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    agent = agents.make("bc", env, hidden_sizes=(8,))
    for given, expected in (
        ("lam/a-v0, lam/b-v0", f"2 datasets of the agent's training, such as lam/a-v0, are not in {tmp_path}"),
        ("lam/a-v0", f"dataset lam/a-v0 of the agent's training is not in {tmp_path}: give --root"),
    ):
        agent.training = {"demonstrations": {"id": given}}
        found = demonstrations_of(agent, env, None, tmp_path)
        assert isinstance(found, str)
        assert found.startswith(expected)
        assert "existing" not in found


class Doubled:
    """Third party's agent: its actions are not the outputs of its network."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.action_space = env.action_space
        self.policy = nn.Linear(env.observation_space.shape[0], 4)  # type: ignore[index]
        self.factor = 2.0

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        with torch.no_grad():
            return self.factor * self.policy(torch.from_numpy(observation)).tanh().numpy() / 2.0, state


def test_a_network_that_does_not_give_the_actions_is_not_looked_into(make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=3)
    report = explain(Doubled(env), env, seed=0)
    assert "does not give its actions" in reason(report, "features")


class Plain(Doubled):
    """Third party's agent that acts by a network."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        with torch.no_grad():
            return self.policy(torch.from_numpy(observation)).clip(-1.0, 1.0).numpy(), state


def test_any_network_of_pytorch_that_acts_is_looked_into(make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=3)
    report = explain(Plain(env), env, seed=0)
    assert "features" in available(report)
    assert "no spread" in reason(report, "uncertainty")


class Thirds(gym.ActionWrapper[Any, Any, Any]):
    """Environment whose actions are -1, 0 or 1 in each direction, of MultiDiscrete."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.MultiDiscrete([3] * 4)

    def action(self, action: Any) -> Any:
        return np.asarray(action, dtype=np.float32) - 1.0


class ChoosesThirds(Doubled):
    """Third party's agent that acts by a network with several discrete choices."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        with torch.no_grad():
            return (self.policy(torch.from_numpy(observation)) > 0.0).numpy().astype(np.int64), state


def test_a_network_with_several_discrete_actions_is_not_looked_into(make: Make) -> None:
    env = Thirds(make("LamReach-v0", max_episode_steps=3))
    report = explain(ChoosesThirds(env), env, seed=0)
    assert "has actions MultiDiscrete([3 3 3 3]); gradients need Box or Discrete" in reason(report, "features")


def test_a_remote_policy_is_not_asked_for_other_observations(make: Make, tmp_path: Path) -> None:
    name, env_id, keywords, settings = CASES["act, images"]
    env = make(env_id, **keywords, max_episode_steps=3)
    agent = scrambled(name, env, settings)
    address = ours(PolicyServer(agent, env, metadata_of(agent.save(tmp_path / "agent"), env)))
    report = explain(agents.make(address, env), env, seed=0, methods=["pixels", "features"])
    assert "no earlier step can be restored" in reason(report, "pixels")
    assert "its network is not available" in reason(report, "features")


class ReadsAndSees:
    """Third party's agent without a network: it looks at one word and at one corner of an image."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        reads = "ball" in decode_instruction(observation["instruction"])
        corner = observation["front"][:3, -3:].mean() / 255.0
        return np.array([float(reads), corner, 0.0, 0.0], dtype=np.float32), state


def test_what_an_agent_reads_and_sees_is_found_without_gradients(make: Make) -> None:
    env = make("LamReachPixels-v0", instruct=True, image_width=26, image_height=24, max_episode_steps=2)
    env = ResetOptions(env, {"instruction": "reach the green ball now"})
    report = explain(ReadsAndSees(), env, seed=0)
    assert available(report) == {"words", "pixels"}
    words = dict(report.content["explanations"]["words"]["steps"][0])
    assert max(words, key=lambda word: words[word]) == "ball"
    assert sum(change > 0.0 for change in words.values()) == 1
    grid = np.array(report.content["explanations"]["pixels"]["steps"][0]["front"])
    assert np.flatnonzero(grid).tolist() == [7]
    assert not np.any(report.content["explanations"]["pixels"]["steps"][0]["wrist"])


class ResetOptions(gym.Wrapper[Any, Any, Any, Any]):
    """Environment that is always reset with the same options."""

    def __init__(self, env: gym.Env[Any, Any], options: dict[str, Any]) -> None:
        super().__init__(env)
        self.options = options

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self.env.reset(seed=seed, options=self.options)


class PlansTwo(TorchPolicy[Any]):
    """Third party's policy that plans two actions from each second observation."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env.observation_space, env.action_space)
        self.layer = nn.Linear(env.observation_space.shape[0], 8)  # type: ignore[index]

    def compute_loss(self, batch: Any) -> Any:
        raise NotImplementedError

    def fit_normalizer(self, statistics: Any, masked: Any = ()) -> None:
        raise NotImplementedError

    def initial_memory(self, count: int) -> Any:
        return {"left": torch.zeros(count, dtype=torch.int64), "plan": torch.zeros(count, 4)}

    def predict_action(self, observation: Any, memory: Any = None, *, deterministic: bool = True) -> Any:
        first, second = self.layer(observation).tanh().split(4, dim=1)
        needed = memory["left"][:, None] == 0
        plan = torch.where(needed, second, memory["plan"])
        return torch.where(needed, first, memory["plan"]), {"left": 1 - memory["left"], "plan": plan}


def test_a_policy_with_a_memory_of_its_own_is_explained_where_it_planned(make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=4)
    report = explain(PlansTwo(env), env, seed=0)
    assert report.content["decided_at"] == [0, 0, 2, 2]
    assert available(report) == {"features", "uncertainty"}
    assert report.content["explanations"]["features"]["facts"]["largest_relative_error"] <= 0.02


def test_policies_are_compared_by_what_they_plan_now_within_a_chunk_too(make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=4)
    first, second = agents.make("lam", env, width=16), scrambled("lam", env, {"width": 16})
    trace = trace_episode(second, env, 0)
    assert [trace.planned(step) for step in range(4)] == [0] * 4
    members = [function for function in map(function_of, (first, second)) if function is not None]
    assert min(disagreement(members, trace, step) for step in range(4)) > 0.0
    assert members[1].features(trace.inputs(2, 1)).shape[0] == 1
    # The memory of an exported policy has another name.
    exported = replace(trace, memories=[None, *({"memory_left": np.array(left)} for left in (1, 0, 1))])
    assert [exported.planned(step) for step in range(4)] == [0, 0, 2, 2]


def test_without_captum_the_other_explanations_remain(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("LamReach-v0", max_episode_steps=2)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report = explain(Plain(env), env, seed=0, methods=["features", "uncertainty"], ensemble=[Plain(env)])
    assert "pip install 'lam-envs[explain]'" in reason(report, "features")
    assert available(report) == {"uncertainty"}


def test_other_trainings_show_where_they_differ(make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=3)
    report = explain(Plain(env), env, seed=0, ensemble=[Plain(env)], methods=["uncertainty"])
    found = report.content["explanations"]["uncertainty"]
    assert "2 policies" in found["text"]
    assert min(found["steps"]) > 0.0
    with pytest.raises(ValueError, match="the ensemble has agent random; expected "):
        explain(Plain(env), env, seed=0, ensemble=[agents.make("random", env)], methods=["uncertainty"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0, "methods": ["sense"]}, "unknown method 'sense'"),
    ],
)
def test_wrong_arguments_have_a_clear_error(arguments: dict[str, Any], message: str, make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=3)
    with pytest.raises(ValueError, match=message):
        explain(agents.make("random", env), env, **arguments)


def test_observations_that_are_no_arrays_have_a_clear_error() -> None:
    env = gym.make("FrozenLake-v1", max_episode_steps=3)
    with pytest.raises(ValueError, match="expected a Box"):
        explain(agents.make("random", env), env, seed=0)


def test_each_method_is_found_by_its_name() -> None:
    assert all(callable(find_method(name)) for name in METHODS)


@pytest.fixture(scope="module")
def run(datasets: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of datasets, and of a saved agent."""
    root, ids = datasets
    env = gym.make("LamReach-v0")
    agent = agents.make("bc", env, hidden_sizes=(16,))
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=0, budget=1)
    return root, agent.save(tmp_path_factory.mktemp("runs") / "bc")


def command(run: tuple[Path, Path], out: Path, *more: str, agent: Path | None = None) -> Any:
    root, saved = run
    options = f"--env LamReach-v0 --env-kwargs max_episode_steps=6 --seed 3 --root {root} --out {out}"
    return CliRunner().invoke(app, ["explain", str(agent or saved), *options.split(), *more])


def test_the_command_writes_a_page_that_loads_nothing_and_json(run: tuple[Path, Path], tmp_path: Path) -> None:
    result = command(run, tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "words: not available: the policy reads no instruction" in result.output
    page = (tmp_path / "page.html").read_text()
    assert not re.search(r"""(?:src|href|poster)=(?!"data:)|url\(|@import""", page.partition("<script")[0])
    assert "default-src 'none'" in html.unescape(page)
    assert "unsafe" not in page
    content = json.loads((tmp_path / "page.json").read_text())
    assert content["seed"] == 3
    assert content["demonstrations"]["learned_from"]
    assert content["explanations"]["features"]["facts"]["largest_relative_error"] <= 0.02
    assert len(content["explanations"]["neighbors"]["steps"][0]) == 3


def test_a_monitor_brings_its_ensemble_and_takes_no_other(run: tuple[Path, Path], tmp_path: Path) -> None:
    agent, member = (Path(shutil.copytree(run[1], tmp_path / name)) for name in ("agent", "member"))
    Monitor([0.0] * 7, [1.0] * 7, [0.0] * 7, 0.0, 0.5, 6, origin={"ensemble": [str(member)]}).save(agent)
    done = command(run, tmp_path / "page.html", "--method", "uncertainty", "--method", "failure", agent=agent)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "page.json").read_text())["explanations"]
    assert "2 policies" in found["uncertainty"]["text"]
    refused = command(run, tmp_path / "page.html", "--ensemble", str(run[1]), agent=agent)
    assert refused.exit_code == 2
    assert f"the monitor was fitted with {member}" in " ".join(refused.output.split())
    other = command(run, tmp_path / "page.html", "--ensemble", str(run[1]), "--method", "uncertainty", agent=agent)
    assert other.exit_code == 0, other.output


def test_those_of_several_datasets_that_fit_are_compared_with(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env, agent = make("LamReach-v0"), agents.make("bc", make("LamReach-v0"))
    agent.training = {"demonstrations": {"id": ", ".join([ids["LamGrasp-v0"], ids["LamReach-v0"]])}}
    (found,) = demonstrations_of(agent, env, None, root)
    assert not isinstance(found, str)
    assert found.id == ids["LamReach-v0"]
    references = References([found, found])
    assert len(references.data.episodes) == 12
    assert len(demonstration_images(references, [(0, 0), (7, 0)])) == 2


def test_some_of_the_datasets_of_a_training_are_those_that_the_agent_learned_from(datasets: Any, make: Make) -> None:
    root, ids = datasets
    env = make("LamReach-v0", max_episode_steps=2)
    agent, dataset = agents.make("bc", env, hidden_sizes=(8,)), demos.load(ids["LamReach-v0"], root)
    for learned, expected in (
        ({"id": f"lam/a-v0, {dataset.id}", "checksum": "joint"}, True),
        ({"id": "lam/a-v0, lam/b-v0", "checksum": "joint"}, False),
        # A dataset of this id was recorded again.
        ({"id": dataset.id, "checksum": "another"}, False),
        ({"id": "lam/copied-v0", "checksum": References(dataset).data.checksum}, True),
    ):
        agent.training = {"demonstrations": learned}
        report = explain(agent, env, seed=0, demonstrations=dataset, methods=["distance"])
        assert report.content["demonstrations"]["learned_from"] is expected


class CountsReads(References):
    """Demonstrations that count how often all their steps are read."""

    reads = 0

    def batches(self, horizon: int) -> Any:
        self.reads += 1
        return super().batches(horizon)


@pytest.mark.parametrize("size", [1, 2])
def test_demonstrations_are_encoded_once_for_all_episodes(size: int, datasets: Any, make: Make) -> None:
    references = CountsReads(demos.load(datasets[1]["LamReach-v0"], datasets[0]))
    env, settings = make("LamReach-v0"), {"hidden_sizes": (8,), "ensemble_size": size}
    first, other = agents.make("bc", env, **settings), scrambled("bc", env, settings)
    found = []
    for agent in (first, first, other):
        function = function_of(agent)
        assert function is not None
        found.append(references.features(function))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert references.reads == 2


def test_a_damaged_run_has_a_clear_error(run: tuple[Path, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(run[1], damaged)
    weights = damaged / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    result = command(run, tmp_path / "page.html", agent=damaged)
    assert result.exit_code == 2
    assert "damaged" in result.output
    assert not (tmp_path / "page.html").exists()


def test_a_page_needs_the_suffix_of_one(run: tuple[Path, Path], tmp_path: Path) -> None:
    result = command(run, tmp_path / "page.txt", "--method", "distance")
    assert result.exit_code == 2
    assert ".html" in result.output
    (tmp_path / "folder.html").mkdir()
    refused = command(run, tmp_path / "folder.html", agent=tmp_path / "none")
    assert "folder.html is a folder: choose another name" in " ".join(refused.output.split())


@pytest.mark.parametrize("content", ['{"agent": "bc"}', '["explanations"]', "explanations"])
def test_a_page_replaces_no_json_file_but_its_own(content: str, tmp_path: Path) -> None:
    (tmp_path / "agent.json").write_text(content)
    with pytest.raises(FileExistsError, match=r"agent\.json exists and holds no explanations: choose another name"):
        check_path(tmp_path / "agent.html")
    (tmp_path / "agent.json").write_text('{"explanations": {}}')
    assert check_path(tmp_path / "agent.html") == tmp_path / "agent.html"


@pytest.mark.slow
def test_a_browser_shows_every_kind_of_explanation_and_complains_of_nothing(
    run: tuple[Path, Path], tmp_path: Path
) -> None:
    assert command(run, tmp_path / "features.html").exit_code == 0
    env = gym.make("LamReachPixels-v0", instruct=True, image_width=26, image_height=24, max_episode_steps=6)
    agent = scrambled("act", env, SMALL["act"])
    explain(agent, env, seed=0).write(tmp_path / "pixels.html")
    with browsing(tmp_path / "profile") as browser:
        for page, plots in (
            ("features", "#curves svg, #features .track, #neighbors img"),
            ("pixels", "#pixels canvas"),
        ):
            for width in (1300, 400):
                for scheme in ("light", "dark"):
                    browser.open(tmp_path / f"{page}.html", width=width, scheme=scheme)
                    before = browser.evaluate("document.getElementById('step').textContent")
                    browser.evaluate("(slider.value = 4, slider.dispatchEvent(new Event('input')))")
                    assert browser.evaluate("document.getElementById('step').textContent") != before
                    assert browser.evaluate("document.documentElement.scrollWidth") <= width
                    shown = browser.evaluate(
                        f"[...document.querySelectorAll('{plots}')].map(plot => plot.getBoundingClientRect().width)"
                    )
                    assert shown
                    assert min(shown) > 20
        assert browser.complaints == []
