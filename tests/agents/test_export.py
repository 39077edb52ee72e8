"""Exported policies act as the policies themselves, from the same inputs, without PyTorch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.deployment.export.exporting import TOLERANCE, export, graph_of, verify
from agents.deployment.export.lam import LamGraph
from agents.deployment.export.onnx_agent import OnnxAgent
from agents.deployment.export.readme import token_lines
from agents.registry import AGENTS
from agents.rl.residual import ResidualAgent
from agents.training.randomness import isolated_rng
from lam_envs.observation.instructions import encode_instruction

from ..conftest import Make
from .sequence.small import SMALL

PIXELS: dict[str, Any] = {"image_width": 26, "image_height": 24}
ACT = SMALL["act"]
LAM: dict[str, Any] = {"width": 16}
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "bc": ("bc", "LamReach-v0", {}, {}),
    "bc, goals, ensemble": ("bc", "LamReachGoal-v0", {}, {"ensemble_size": 2}),
    "bc, discrete, ensemble": ("bc", "LamReachDiscrete-v0", {}, {"ensemble_size": 3}),
    "bc, images": ("bc", "LamReachPixels-v0", PIXELS, {}),
    "bc, depth, one encoder": ("bc", "LamReachPixels-v0", {**PIXELS, "depth": True}, {"share_image_encoder": True}),
    "bco": ("bco", "LamReach-v0", {}, {}),
    "dagger": ("dagger", "LamReach-v0", {}, {}),
    "dagger, chunks": ("dagger", "LamReach-v0", {}, {**ACT, "learner": "act"}),
    "hg-dagger": ("hg-dagger", "LamReachGoal-v0", {}, {}),
    "ensemble-dagger": ("ensemble-dagger", "LamReach-v0", {}, {"ensemble_size": 2}),
    "gail": ("gail", "LamReach-v0", {}, {}),
    "airl": ("airl", "LamReach-v0", {}, {}),
    "ppo": ("ppo", "LamReach-v0", {}, {}),
    "sac": ("sac", "LamReachGoal-v0", {}, {}),
    "dqn": ("dqn", "LamReachDiscrete-v0", {}, {}),
    "dqfd": ("dqfd", "LamReachDiscrete-v0", {}, {}),
    "sqil": ("sqil", "LamReachDiscrete-v0", {}, {}),
    "bc-rnn": ("bc-rnn", "LamReach-v0", {}, SMALL["bc-rnn"]),
    "bc-rnn, chunks": (
        "bc-rnn", "LamReachDiscrete-v0", {}, {**SMALL["bc-rnn"], "action_horizon": 3, "executed_actions": 2}
    ),
    "act": ("act", "LamReach-v0", {}, ACT),
    "act, discrete": ("act", "LamReachDiscrete-v0", {}, ACT),
    "act, ensembling": (
        "act", "LamReachGoal-v0", {}, {**ACT, "ensembling": True, "latent_size": 4, "obs_horizon": 3}
    ),
    "act, images": ("act", "LamReachPixels-v0", {**PIXELS, "depth": True}, {**ACT, "image_readout": "patches"}),
    "bc-rnn, images": ("bc-rnn", "LamReachPixels-v0", PIXELS, SMALL["bc-rnn"]),
    "act, instructions": ("act", "LamReach-v0", {"instruct": True}, {**ACT, "feature_tokens": True}),
    "diffusion": ("diffusion", "LamReach-v0", {}, SMALL["diffusion"]),
    "diffusion, images": ("diffusion", "LamReachPixels-v0", PIXELS, SMALL["diffusion"]),
    "diffusion, task frame": (
        "diffusion", "LamPush-v0", {}, {**SMALL["diffusion"], "task_frame": "goal/relative", "masked_features": ()}
    ),
    "diffusion, noise": (
        "diffusion", "LamReachDiscrete-v0", {}, {**SMALL["diffusion"], "objective": "noise", "noise_scale": 1.0}
    ),
    "diffusion, noise and mirrored actions": (
        "diffusion", "LamReach-v0", {}, {**SMALL["diffusion"], "objective": "noise", "mirror": True}
    ),
    "keypoints": ("keypoints", "LamReachPixels-v0", PIXELS, {}),
    "keypoints, chunks": (
        "keypoints", "LamPushPixels-v0", PIXELS,
        {**SMALL["diffusion"], "learner": "diffusion", "rotate": False, "mirror": False},
    ),
    "lam": ("lam", "LamTable-v0", {"instruct": True}, LAM),
    "lam, features alone": ("lam", "LamReach-v0", {}, {**LAM, "executed_actions": 1}),
    "lam, one perceptron": ("lam", "LamTable-v0", {"instruct": True}, {**LAM, "network": "mlp"}),
    "lam, flow": ("lam", "LamPush-v0", {"instruct": True}, {**LAM, "head": "flow"}),
    "lam, images": ("lam", "LamGraspPixels-v0", {**PIXELS, "instruct": True}, LAM),
    "lam, objects": (
        "lam", "LamTablePixels-v0", {**PIXELS, "instruct": True}, {**LAM, "find_objects": True, "executed_actions": 1}
    ),
    "lam, without language": ("lam", "LamGrasp-v0", {"instruct": True}, {**LAM, "use_instruction": False}),
}  # fmt: skip
"""Agent, environment, keywords and settings."""


def scrambled(name: str, env: Any, settings: dict[str, Any]) -> Any:
    """Return an agent with random weights and normalizers, as after a training."""
    env.reset(seed=0)
    agent = agents.make(name, env, **settings)
    policies = agent.policies if name == "bc" else [agent.policy]
    with isolated_rng(0), torch.no_grad():
        for policy in policies:
            for weights in policy.parameters():
                weights += 0.1 * torch.randn_like(weights)
            for part, values in policy.named_buffers():
                if part.split(".")[-1].partition("_")[0] in ("mean", "spread") and values.is_floating_point():
                    values += 0.2 * torch.rand_like(values)
            if hasattr(policy, "fit_words"):
                policy.fit_words([env.unwrapped.instruction])
            if name == "lam":
                policy.network.sentences.extend([policy.parsed(env.unwrapped.instruction)])
    return agent


LONG = "lift把红色方块放在桌子的左边"
"""Word whose first 24 bytes count, which end within a character."""
VARIANTS = (
    "bc, images", "bc, goals, ensemble", "bco", "dagger", "hg-dagger", "gail", "airl", "dqn", "sqil",
    "bc-rnn, chunks", "bc-rnn, images", "act, ensembling", "diffusion, noise",
    "diffusion, noise and mirrored actions", "keypoints", "lam, features alone",
    "lam, one perceptron", "lam, flow", "lam, images", "lam, objects", "lam, without language",
)  # fmt: skip
"""Cases whose parts the others have, too."""


@pytest.mark.parametrize(
    "label", [pytest.param(label, marks=[pytest.mark.slow] if label in VARIANTS else []) for label in CASES]
)
def test_an_exported_policy_acts_as_the_policy(label: str, make: Make, tmp_path: Path) -> None:
    name, env_id, keywords, settings = CASES[label]
    env = make(env_id, **keywords, max_episode_steps=12)
    agent = scrambled(name, env, settings)
    verification = export(agent, env, tmp_path / "exported", seeds=(0,))
    assert verification.steps == 12
    assert verification.largest_difference <= TOLERANCE
    assert {path.name for path in (tmp_path / "exported").iterdir()} == {"README.md", "model.json", "model.onnx"}
    exported = OnnxAgent(tmp_path / "exported")
    if env.action_space.shape:
        assert len({str(exported.predict(env.reset(seed=seed)[0])[0]) for seed in range(3)}) == 3
    graph = graph_of(agent)
    described = exported.description
    assert [port["name"] for port in described["inputs"]] == [port.name for port in graph.inputs]
    assert described["outputs"][0]["shape"] == list(env.action_space.shape)
    env.close()


def test_every_agent_with_a_policy_has_a_case() -> None:
    assert {name for name, *_ in CASES.values()} == set(AGENTS) - {"random", "expert"}


@pytest.mark.parametrize(
    ("base", "algorithm"),
    [
        ("act, instructions", "sac"),
        pytest.param("bc, goals, ensemble", "ppo", marks=pytest.mark.slow),
        pytest.param("bc-rnn", "ppo", marks=pytest.mark.slow),
        pytest.param("diffusion", "sac", marks=pytest.mark.slow),
    ],
)
def test_a_residual_policy_is_exported_with_the_agent_that_it_corrects(
    base: str, algorithm: str, make: Make, tmp_path: Path
) -> None:
    name, env_id, keywords, settings = CASES[base]
    env = make(env_id, **keywords, max_episode_steps=12)
    corrected = scrambled(name, env, settings)
    agent = ResidualAgent.of(corrected, env, hidden_sizes=[16], algorithm=algorithm)
    with isolated_rng(0), torch.no_grad():
        for weights in agent.policy.parameters():
            weights += 0.1 * torch.randn_like(weights)
    assert export(agent, env, tmp_path / "exported", seeds=(0,)).largest_difference <= TOLERANCE
    exported = OnnxAgent(tmp_path / "exported")
    assert exported.description["agent"] == "residual"
    assert graph_of(agent).memory == graph_of(corrected).memory
    with pytest.raises(ValueError, match="acts differently"):
        verify(corrected, exported, env, [0])


def test_an_agent_is_exported_right_after_its_training(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env = make("LamReach-v0", max_episode_steps=4)
    agent = agents.make("bc", env, hidden_sizes=[16])
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=0, budget=1)
    assert export(agent, env, tmp_path / "exported", seeds=(0,)).largest_difference <= TOLERANCE


def test_an_export_that_differs_is_not_kept(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("LamReach-v0", max_episode_steps=5)
    agent = scrambled("bc", env, {})
    export(agent, env, tmp_path / "one")
    other = agents.make("bc", env)
    with pytest.raises(ValueError, match="the exported policy acts differently from the policy of agent bc: actions"):
        verify(other, OnnxAgent(tmp_path / "one"), env, [0])
    with pytest.raises(FileExistsError, match="one exists; choose another path"):
        export(agent, env, tmp_path / "one")
    export(other, env, tmp_path / "one", overwrite=True)
    verify(other, OnnxAgent(tmp_path / "one"), env, [0])
    monkeypatch.setattr("agents.deployment.export.exporting.TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="acts differently"):
        export(agent, env, tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]


def test_noise_decides_on_the_chunk_of_a_generative_policy(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0", max_episode_steps=5)
    export(scrambled("diffusion", env, SMALL["diffusion"]), env, tmp_path / "exported")
    exported, (observation, _) = OnnxAgent(tmp_path / "exported"), env.reset(seed=0)
    shape = next(port["shape"] for port in exported.description["inputs"] if port["role"] == "noise")
    drawn = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    actions = [exported.predict(observation, noise=noise)[0] for noise in (drawn[0], drawn[0], drawn[1])]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert not np.array_equal(actions[0], actions[2])


WITHOUT_TORCH = """
import sys
class Refusing:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("torch", "stable_baselines3", "agents"):
            raise AssertionError(f"{name} is imported")
sys.meta_path.insert(0, Refusing())
"""


@pytest.mark.parametrize(
    "label",
    [
        "act, instructions",
        pytest.param("lam", marks=pytest.mark.slow),
        pytest.param("bc, goals, ensemble", marks=pytest.mark.slow),
        pytest.param("bc-rnn, chunks", marks=pytest.mark.slow),
        pytest.param("lam, one perceptron", marks=pytest.mark.slow),
        pytest.param("act, ensembling", marks=pytest.mark.slow),
    ],
)
def test_the_loop_of_the_readme_runs_without_torch(label: str, make: Make, tmp_path: Path) -> None:
    name, env_id, keywords, settings = CASES[label]
    env = make(env_id, **keywords)
    agent = scrambled(name, env, settings)
    export(agent, env, tmp_path / "exported", seeds=(0,))
    text = (tmp_path / "exported" / "README.md").read_text()
    loop = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    assert len(loop.split("\n\n")[-1].strip().splitlines()) == 10
    report = 'print("ACTION", json.dumps(action.tolist()))'
    program = WITHOUT_TORCH + loop + report
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "exported", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    observation, _ = env.reset(seed=1000)
    state: Any = None
    ended = False
    while not ended:
        action, state = agent.predict(observation, state, np.array([state is None]), deterministic=True)
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    printed = done.stdout.splitlines()
    assert printed[-2] == str(info["is_success"])
    np.testing.assert_allclose(json.loads(printed[-1].removeprefix("ACTION ")), action, atol=1e-3)


@pytest.mark.parametrize("network", ["transformer", "mlp"])
def test_the_readme_of_lam_finds_names_in_an_instruction(network: str, make: Make) -> None:
    env = make("LamTable-v0", instruct=True)
    policy = scrambled("lam", env, {**LAM, "network": network}).policy
    policy.network.sentences.extend([policy.parsed(f"put the red cube in the bin and lift it {LONG}")])
    graph = LamGraph(env.observation_space, env.action_space, policy)
    ports = [asdict(port) for port in graph.inputs]
    known: dict[str, Any] = {}
    lines = token_lines({"inputs": ports, **graph.tokenizer})
    program = "\n".join(["import re", "import numpy as np", f"model = {graph.tokenizer!r}", *lines])
    exec(program, known)  # noqa: S102  (the text of the README)
    for sentence in (
        "Put the red cube in the bin.",
        "hoist the red cube, the red cube, and the blue cube!",
        "",
        "cube red cubes " + 30 * "lift " + "the bin",
        f"Lift {LONG}",
    ):
        words, mentions = policy.tokens(sentence.encode())
        found = known["tokens"](sentence)
        assert found["instruction"].tolist() == words.tolist()
        assert found.get("mentions", np.full(len(mentions), -1)).tolist() == mentions.tolist()


@pytest.mark.parametrize("label", ["act, instructions", "lam"])
def test_an_exported_policy_knows_long_words_as_the_policy_does(label: str, make: Make, tmp_path: Path) -> None:
    name, env_id, keywords, settings = CASES[label]
    env = make(env_id, **keywords, max_episode_steps=2)
    agent = scrambled(name, env, settings)
    if name == "lam":
        agent.policy.network.sentences.extend([agent.policy.parsed(LONG)])
    else:
        agent.policy.encoder.instruction.vocabulary.extend([LONG])
    export(agent, env, tmp_path / "exported", seeds=(0,))
    exported, observation = OnnxAgent(tmp_path / "exported"), env.reset(seed=0)[0]
    actions = []
    for text in (LONG, "strange"):
        seen = {**observation, "instruction": encode_instruction(text)}
        actions.append(agent.predict(seen, deterministic=True)[0])
        np.testing.assert_allclose(exported.predict(seen)[0], actions[-1], atol=TOLERANCE)
    assert not np.allclose(*actions, atol=10 * TOLERANCE)


class OtherActions(gym.Wrapper[Any, Any, Any, Any]):
    """Environment with another action space."""

    def __init__(self, env: gym.Env[Any, Any], space: gym.Space[Any]) -> None:
        super().__init__(env)
        self.action_space = space


@pytest.mark.parametrize(
    ("env_id", "other"),
    [("LamReach-v0", gym.spaces.Box(-5.0, 5.0, (4,))), ("LamReachDiscrete-v0", gym.spaces.Discrete(2))],
)
def test_an_exported_policy_is_refused_for_other_actions(
    env_id: str, other: gym.Space[Any], make: Make, tmp_path: Path
) -> None:
    env = make(env_id)
    export(scrambled("bc", env, {"hidden_sizes": [8]}), env, tmp_path / "bc", seeds=[0])
    agents.make(str(tmp_path / "bc"), env)
    with pytest.raises(ValueError, match=r"trained with the action space .*; this environment has (Box|Discrete)\("):
        agents.make(str(tmp_path / "bc"), OtherActions(env, other))
    path = tmp_path / "bc" / "model.json"
    earlier = {name: part for name, part in json.loads(path.read_text()).items() if name != "action_space"}
    path.write_text(json.dumps(earlier))
    agents.make(str(tmp_path / "bc"), OtherActions(env, other))


def test_the_command_exports_for_the_environment_of_the_training(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env = make("LamReach-v0")
    agent = agents.make("bc", env)
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=0, budget=1)
    agent.save(tmp_path / "bc")
    done = CliRunner().invoke(app, ["export", str(tmp_path / "bc"), "--format", "onnx"])
    assert done.exit_code == 0, done.stderr
    assert "over 80 steps, actions differ by at most" in done.stdout
    assert OnnxAgent(tmp_path / "bc.onnx").description["training"]["demonstrations"]["id"] == ids["LamReach-v0"]
    again = CliRunner().invoke(app, ["export", str(tmp_path / "bc")])
    assert again.exit_code == 2
    assert "bc.onnx exists; choose another path" in again.stderr
    (tmp_path / "notes").write_text("mine")
    file = CliRunner().invoke(app, ["export", str(tmp_path / "bc"), "--out", str(tmp_path / "notes"), "--overwrite"])
    assert "notes is not a folder with model.json and is not replaced" in " ".join(file.stderr.split())
    agents.make("bc", env).save(tmp_path / "untrained")
    unknown = CliRunner().invoke(app, ["export", str(tmp_path / "untrained")])
    assert "trained in environment None; give the environment by --env" in " ".join(unknown.stderr.split())
