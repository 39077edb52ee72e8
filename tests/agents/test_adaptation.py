"""Agents are adapted where they are used, by three methods, and stay as they were unless that made them better."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
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
from agents.deployment.adaptation import adapting
from agents.deployment.adaptation.adapting import adapt, delete_checkpoints
from agents.deployment.adaptation.check import Check, Successes
from agents.rl import residual
from agents.rl.residual import ResidualAgent
from agents.training.checkpoints import read_state
from agents.training.run import CHECKPOINT, Run

from ..conftest import Make
from .sequence.small import SMALL

DELAYED: dict[str, Any] = {"randomize": {"action_delay": [1, 1]}}
FEW: dict[str, Any] = {"check_episodes": 2, "updates": 20, "batch_size": 16}
BETTER, WORSE = Successes(2, 2, 2), Successes(0, 0, 2)


@pytest.fixture(scope="module")
def reach(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Dataset, its root, and a folder with a saved agent of each kind."""
    root = tmp_path_factory.mktemp("adaptation")
    dataset = demos.collect("LamReach-v0", episodes=4, root=root)
    env = gym.make("LamReach-v0")
    for name, settings in {"bc": {"hidden_sizes": [16]}, "act": SMALL["act"]}.items():
        agent = agents.make(name, env, batch_size=32, **settings)
        agent.learn(dataset, env, seed=0, budget=2)
        agent.save(root / name)
    ppo = agents.make("ppo", env, hidden_sizes=[8])
    ppo.training = agent.training  # a record, from which the command takes the environment
    ppo.save(root / "ppo")
    env.close()
    return dataset, root


@pytest.fixture
def always_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each check find a better agent, because the tests that use this are not about the check."""
    found = iter([WORSE, BETTER] * 10)
    monkeypatch.setattr(adapting, "successes", lambda *_, **__: next(found))


def weights(agent: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in agent.weights().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("demonstrations", "bc"),
        ("queries", "act"),
        pytest.param("demonstrations", "act", marks=pytest.mark.slow),
        pytest.param("queries", "bc", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("always_better")
def test_agents_learn_from_labels_where_they_are_used(
    method: str, name: str, reach: Any, make: Make, tmp_path: Path
) -> None:
    dataset, root = reach
    env, home = make("LamReach-v0", **DELAYED), make("LamReach-v0")
    settings = {**FEW, **({"iterations": 2} if method == "queries" else {})}
    how: dict[str, Any] = {"method": method, "budget": {"demonstrations": 2, "queries": 80}[method], "seed": 3}
    adapted = adapt(root / name, env, home, replay=dataset, **how, **settings)
    assert adapted.is_better
    again = adapt(root / name, env, home, replay=dataset, **how, **settings)
    assert equal(weights(adapted.agent), weights(again.agent)), "the same seed gives the same agent"
    assert not equal(weights(adapted.agent), weights(agents.load(root / name, home)))
    saved = adapted.agent.save(tmp_path / "adapted")
    (record,) = json.loads((saved / "agent.json").read_text())["training"]["adaptations"]
    assert (record["method"], record["is_better"], record["seed"]) == (method, True, 3)
    assert "action_delay" in record["keywords"]["randomize"]
    assert equal(weights(agents.load(saved, env)), weights(adapted.agent))


@pytest.mark.parametrize("algorithm", ["sac", pytest.param("ppo", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("always_better")
def test_a_residual_policy_learns_from_reward_on_top_of_the_frozen_agent(
    algorithm: str, reach: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residual, "PPO_ENVS", 2)
    _, root = reach
    env, home = make("LamReach-v0", **DELAYED), make("LamReach-v0")
    small = {"hidden_sizes": [8], "learning_starts": 40, "check_episodes": 2, "algorithm": algorithm}
    adapted = adapt(root / "act", env, home, method="reward", budget=80, **small)
    assert isinstance(adapted.agent, ResidualAgent)
    assert equal(weights(adapted.agent.base), weights(agents.load(root / "act", home)))
    loaded = agents.load(adapted.agent.save(tmp_path / "adapted"), env)
    observation, _ = env.reset(seed=0)
    states: list[Any] = [None, None]
    for _ in range(6):
        (action, states[0]), (same, states[1]) = (
            each.predict(observation, state, deterministic=True)
            for each, state in zip((adapted.agent, loaded), states, strict=True)
        )
        np.testing.assert_array_equal(action, same)
        assert env.action_space.contains(action)
        observation, *_ = env.step(action)
    stacked = np.stack([observation, observation])
    batch, _ = loaded.predict(stacked, None, np.array([True, True]), deterministic=True)
    np.testing.assert_allclose(batch[0], batch[1], atol=1e-6)


def test_an_untrained_correction_changes_nothing(reach: Any, make: Make) -> None:
    from stable_baselines3 import SAC
    from stable_baselines3.common.vec_env import DummyVecEnv

    from agents.rl.residual import ResidualEnv, _begin_near_zero

    _, root = reach
    env: Any = make("LamReach-v0")
    base = agents.load(root / "bc", env)
    agent = ResidualAgent.of(base, env, hidden_sizes=[8])
    model = SAC("MultiInputPolicy", DummyVecEnv([lambda: ResidualEnv(env, base, 0.3)]), buffer_size=10)
    _begin_near_zero(model, -1.0)
    agent.policy = model.policy
    observation, _ = env.reset(seed=1)
    expected = base.predict(observation, deterministic=True)[0]
    np.testing.assert_allclose(agent.predict(observation, deterministic=True)[0], expected, atol=1e-6)


def test_an_agent_that_got_worse_keeps_its_weights(reach: Any, make: Make, tmp_path: Path) -> None:
    dataset, root = reach
    env = make("LamReach-v0", **DELAYED)
    # So large a learning rate destroys the policy.
    ruined = adapt(root / "bc", env, make("LamReach-v0"), replay=dataset, budget=1, **{**FEW, "learning_rate": 10.0})
    assert not ruined.is_better
    assert equal(weights(ruined.agent), weights(agents.load(root / "bc", env)))
    saved = ruined.agent.save(tmp_path / "kept")
    (record,) = json.loads((saved / "agent.json").read_text())["training"]["adaptations"]
    assert record["is_better"] is False


@pytest.mark.parametrize(
    ("before", "after", "is_better"),
    [
        ((20, 50), (40, 50), True),
        ((20, 50), (40, 49), True),
        ((20, 50), (40, 48), False),
        ((20, 40), (20, 50), False),
        ((20, 40), (19, 50), False),
        ((20, 40), (21, 40), True),
    ],
)
def test_better_means_more_successes_and_hardly_fewer_at_home(
    before: tuple[int, int], after: tuple[int, int], is_better: bool
) -> None:
    assert Check(Successes(*before, 50), Successes(*after, 50), 0.02).is_better is is_better


def test_the_check_uses_seeds_of_nothing_else(reach: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.deployment.adaptation import check

    used: list[range] = []

    class Result:
        successes = 1

    def evaluate(agent: Any, env: Any, *, seeds: range, progress: bool) -> Result:
        used.append(seeds)
        return Result()

    monkeypatch.setattr(check, "evaluate", evaluate)
    dataset, root = reach
    env = make("LamReach-v0", **DELAYED)
    adapt(root / "bc", env, make("LamReach-v0"), replay=dataset, budget=1, **FEW)
    assert used == 4 * [range(2**30 + 2**28, 2**30 + 2**28 + 2)]


def test_given_demonstrations_replace_those_of_the_expert(reach: Any, make: Make) -> None:
    dataset, root = reach
    env, home = make("LamReach-v0", **DELAYED), make("LamReach-v0")
    own = demos.collect("LamReach-v0", episodes=2, seed=5, env_kwargs=DELAYED, root=root)
    given = adapt(root / "bc", env, home, demonstrations=own, replay=dataset, budget=2, **FEW)
    assert given.agent.training["adaptations"][0]["demonstrations"] is not None
    with pytest.raises(ValueError, match="has 2 episodes; the budget is 3: lower --budget"):
        adapt(root / "bc", env, home, demonstrations=own, replay=dataset, budget=3, **FEW)


def test_arguments_are_checked_before_the_episodes_and_leave_no_checkpoint(
    reach: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, root = reach
    env, home = make("LamReach-v0", **DELAYED), make("LamReach-v0")
    monkeypatch.delattr(adapting, "successes")
    few = {"replay": dataset, "run": Run(tmp_path), **FEW}
    for keywords, message in (
        ({"method": "queries", "budget": 39}, "the budget is 39 labels"),
        ({"demonstrations": dataset, "budget": 5}, "has 4 episodes; the budget is 5"),
        ({"budget": 1.5}, r"the budget is 1\.5 demonstrations; expected a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            adapt(root / "bc", env, home, **few, **keywords)
    with pytest.raises(ValueError, match="the budget is 39 steps"):
        adapt(root / "bc", env, home, method="reward", budget=39, run=Run(tmp_path))
    with pytest.raises(ValueError, match="agent ppo cannot be trained further on labels"):
        adapt(root / "ppo", env, home, **few)
    assert not (tmp_path / CHECKPOINT).exists()


def test_errors_say_what_to_do(reach: Any, make: Make) -> None:
    dataset, root = reach
    env, home = make("LamReach-v0", **DELAYED), make("LamReach-v0")
    few = {"replay": dataset, **FEW}
    for keywords, message in (
        ({"method": "magic"}, "unknown method 'magic'; expected one of demonstrations, queries, reward"),
        ({"budget": 0}, "the budget is 0 demonstrations; expected at least 1"),
        (
            {"method": "queries", "budget": 39, **few},
            "the budget is 39 labels; expected at least the 40 of an episode",
        ),
        ({"method": "reward", "budget": 39, "check_episodes": 1}, "budget is 39 steps; expected at least the 40"),
        ({"method": "reward", "budget": 60, "learning_starts": 60}, "budget is 60 steps and learning_starts is 60"),
        ({"update": 3}, "unknown setting 'update' of method demonstrations"),
        ({}, "no demonstrations to replay: give those that the agent learned from, or set replay_share=0"),
        ({"method": "queries", "demonstrations": dataset}, "method queries takes no demonstrations: remove --demos"),
    ):
        with pytest.raises(ValueError, match=message):
            adapt(root / "bc", env, home, **keywords)
    with pytest.raises(ValueError, match="agent ppo cannot be trained further on labels: use --method reward"):
        adapt(root / "ppo", env, home, **few)
    with pytest.raises(ValueError, match="to other dynamics, not to other spaces"):
        adapt(root / "bc", env, make("LamGrasp-v0"), **few)
    with pytest.raises(ValueError, match="was trained with observation space"):
        adapt(root / "bc", make("LamGrasp-v0"), home, **few)
    with pytest.raises(FileNotFoundError, match="no saved agent"):
        adapt(root / "nothing", env, home, **few)
    with pytest.raises(ValueError, match="the expert solved 0 of 10 episodes in the changed environment"):
        adapt(root / "bc", make("LamReach-v0", max_episode_steps=1), home, budget=1, **few)


@pytest.mark.parametrize(
    ("agent", "more", "problem"),
    [
        ("ppo", (), "agent ppo cannot be trained further on labels"),
        ("bc", ("--config", "update=3"), "unknown setting 'update' of method demonstrations"),
        ("bc", ("--method", "queries", "--budget", "39"), "the budget is 39 labels"),
        ("bc", ("--method", "queries", "--demos", "lost"), "method queries takes no demonstrations"),
        ("bc", ("--method", "reward", "--replay", "lost"), "--replay is not used by method reward: remove it"),
        ("bc", ("--config", "replay_share=0", "--replay", "lost"), "--replay is not used with replay_share=0"),
        ("bc", (), "Give the agent's datasets by --replay"),
    ],
)
def test_the_command_checks_its_arguments_before_it_loads_datasets(
    agent: str, more: tuple[str, ...], problem: str, reach: Any, tmp_path: Path
) -> None:
    _, root = reach
    # The folder of datasets lacks those of the agent.
    where = ["--env", "LamReach-v0", "--root", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["adapt", str(root / agent), *where, *more])
    assert done.exit_code == 2, done.output
    assert problem in " ".join(done.stderr.split())


def test_a_damaged_residual_policy_is_refused(reach: Any, make: Make, tmp_path: Path) -> None:
    _, root = reach
    env = make("LamReach-v0")
    saved = ResidualAgent.of(agents.load(root / "bc", env), env, hidden_sizes=[8]).save(tmp_path / "residual")
    content = json.loads((saved / "agent.json").read_text())
    for name in ("lam", "random", "os:system"):
        changed = {**content, "settings": {**content["settings"], "base": name, "base_settings": {}}}
        (saved / "agent.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match="cannot be corrected by a residual policy"):
            agents.load(saved, env)
    without = {name: value for name, value in content["settings"].items() if name != "base"}
    (saved / "agent.json").write_text(json.dumps({**content, "settings": without}))
    with pytest.raises(ValueError, match="setting base of agent residual is missing"):
        agents.load(saved, env)


def test_the_corrected_agent_keeps_its_own_settings(make: Make, tmp_path: Path) -> None:
    env = make("LamPush-v0")
    base = agents.make("act", env, width=16, task_frame=None, near_zero=False, idle_steps=None)
    assert agents.make("act", env).settings.task_frame == "goal/relative"
    agent = ResidualAgent.of(base, env, hidden_sizes=[8])
    with pytest.raises(ValueError, match="episodes=1; expected 0"):
        agent.learn(None, env, seed=0, run=Run(episodes=1))
    loaded: Any = agents.load(agent.save(tmp_path / "residual"), env)
    observation, _ = env.reset(seed=0)
    expected = base.predict(observation, deterministic=True)[0]
    for each in (agent, loaded):
        assert each.base.settings == base.settings
        np.testing.assert_array_equal(each.base.predict(observation, deterministic=True)[0], expected)


@pytest.mark.parametrize(
    ("method", "name", "budget", "settings"),
    [
        ("demonstrations", "bc", 2, FEW),
        ("queries", "act", 80, {**FEW, "iterations": 2}),
        pytest.param(
            "reward",
            "bc",
            120,
            {"hidden_sizes": [8], "learning_starts": 40, "check_episodes": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_interrupted_adaptation_resumes_with_the_same_result(
    method: str, name: str, budget: int, settings: dict[str, Any], reach: Any, make: Make, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, always_better: None,
) -> None:  # fmt: skip
    dataset, root = reach
    env, home = make("LamReach-v0", **DELAYED), make("LamReach-v0")
    how: dict[str, Any] = {"method": method, "budget": budget, "seed": 3, **settings}
    if method != "reward":
        how["replay"] = dataset
    whole = adapt(root / name, env, home, **how)
    write, written = Run.checkpoint, 0

    def stop_after_every_third(run: Run, state: Any, *, now: bool = False) -> None:
        nonlocal written
        write(run, state, now=True)
        written += 1
        if written % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "checkpoint", stop_after_every_third)
    resumed, interruptions = None, 0
    while resumed is None:
        run = Run(tmp_path / "run")
        try:
            resumed = adapt(root / name, env, home, run=run, **how)
        except KeyboardInterrupt:
            interruptions += 1
            assert interruptions < 20
    assert interruptions
    assert equal(weights(resumed.agent), weights(whole.agent))
    assert resumed.agent.training == whole.agent.training
    with pytest.raises(ValueError, match="holds an unfinished training with another seed: choose another folder"):
        adapt(root / name, env, home, run=Run(tmp_path / "run"), **{**how, "seed": 4})
    delete_checkpoints(run)
    assert not list(tmp_path.rglob("checkpoint*"))


@pytest.mark.slow
def test_a_killed_command_resumes(reach: Any, tmp_path: Path) -> None:
    _, root = reach

    def command(out: str, *more: str) -> list[str]:
        settings = {"check_episodes": 2, "batch_size": 16, "updates": 3000}
        few = [part for name, value in settings.items() for part in ("--config", f"{name}={value}")]
        where = ["--env", "LamReach-v0", "--env-kwargs", f"randomize={json.dumps(DELAYED['randomize'])}"]
        options = [*where, "--budget", "2", "--root", str(root), "--out", str(tmp_path / out), *few, *more]
        return ["adapt", str(root / "bc"), *options]

    process = subprocess.Popen([sys.executable, "-m", "agents", *command("killed")], stdout=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed.training" / CHECKPOINT
    while process.poll() is None and not (
        checkpoint.is_file() and "tuning" in read_state(checkpoint)["state"]["method"]
    ):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done = CliRunner().invoke(app, command("killed"))
    assert done.exit_code == 0, done.output
    assert not checkpoint.exists()
    assert CliRunner().invoke(app, command("whole")).exit_code == 0
    assert (tmp_path / "killed/agent.json").read_bytes() == (tmp_path / "whole/agent.json").read_bytes()
    weights = [(tmp_path / folder / "weights.safetensors").read_bytes() for folder in ("killed", "whole")]
    assert weights[0] == weights[1]


def test_the_command_adapts_and_saves(reach: Any, tmp_path: Path) -> None:
    _, root = reach
    command = [
        "adapt",
        str(root / "bc"),
        "--env",
        "LamReach-v0",
        "--env-kwargs",
        f"randomize={json.dumps(DELAYED['randomize'])}",
    ]
    few = [part for name, value in FEW.items() for part in ("--config", f"{name}={value}")]
    done = CliRunner().invoke(
        app, [*command, "--budget", "1", "--root", str(root), "--out", str(tmp_path / "out"), *few]
    )
    assert done.exit_code == 0, done.output
    assert "where it was trained" in done.output
    assert "The adapted agent is" in done.output
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "out")])
    assert "demonstrations, budget 1, LamReach-v0" in shown.output
    lost = CliRunner().invoke(
        app, [*command, "--budget", "1", "--out", str(tmp_path / "other"), *few, "--root", str(tmp_path)]
    )
    assert lost.exit_code == 2
    without = CliRunner().invoke(
        app,
        [*command, "--budget", "1", "--out", str(tmp_path / "other"), *few, "--config", "replay_share=0"],
    )
    assert without.exit_code == 0, without.output
