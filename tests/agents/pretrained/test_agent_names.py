"""Commands take an agent by folder, published name, name, address, archive or export, or refuse it by a sentence."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO
from typer.testing import CliRunner

import agents
from agents.__main__ import app
from agents.deployment.export.exporting import export
from agents.training.saving import zoo as zoo_module
from agents.training.saving.sources import Kind, find_source, load_source, make_trained_env, trained_keywords
from agents.training.saving.zoo import CHECKOUT, agent_path

from ...conftest import Make
from ..remote.servers import ACTIONS, actions, serving

REACH = "bc/LamReach-v0"
EVALUATE = ["evaluate", REACH, "--env", "LamReach-v0", "--episodes", "2"]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_published_agent_is_evaluated_by_its_name() -> None:
    shown = CliRunner().invoke(app, EVALUATE)
    assert shown.exit_code == 0, shown.stderr
    result = agents.evaluate(agents.load_pretrained(REACH), "LamReach-v0", seeds=range(1000, 1002))
    assert f"success rate {result.success_rate:.3f}" in re.sub(" +", " ", shown.stdout)
    assert f"return {result.mean_return:.2f}" in re.sub(" +", " ", shown.stdout)


@pytest.mark.slow
def test_a_published_agent_is_explained_by_its_name() -> None:
    command = ["explain", REACH, "--env", "LamReach-v0", "--method", "uncertainty", "--out", "reach.html"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(Path("reach.json").read_text())["explanations"]


def test_a_published_agent_is_served_by_its_name_with_the_version_of_its_files() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        shown = CliRunner().invoke(app, ["serve", REACH, "--port", str(occupied.getsockname()[1])])
    # The agent is loaded before the port is opened.
    assert shown.exit_code != 0
    assert "already in use" in shown.stderr


def test_a_folder_comes_before_a_published_agent_of_the_same_name() -> None:
    Path(REACH).mkdir(parents=True)
    shown = CliRunner().invoke(app, EVALUATE)
    assert shown.exit_code == 2
    assert f"no saved agent in {REACH}" in shown.stderr


def test_a_damaged_published_agent_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    zoo = Path(shutil.copytree(CHECKOUT, tmp_path / "zoo"))
    (zoo / REACH / "weights.safetensors").write_bytes(b"")
    monkeypatch.setattr(zoo_module, "CHECKOUT", zoo)
    shown = CliRunner().invoke(app, EVALUATE)
    assert shown.exit_code == 2
    assert "is not the published file" in shown.stderr


@pytest.mark.parametrize("name", ["bc", "ws://127.0.0.1:8000", "package.module:Class", "runs", str(CHECKOUT / REACH)])
def test_other_names_of_agents_are_unchanged(name: str) -> None:
    Path("runs").mkdir()
    assert agent_path(name) == name


@pytest.mark.parametrize("name", ["bc/LamFly-v0", "../bc/LamReach-v0", "runs/no", "./bc/LamReach-v0"])
def test_a_name_that_is_neither_a_folder_nor_published_is_an_error(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"there is no folder {re.escape(name)}, .* one of .*{REACH}"):
        agent_path(name)


def test_without_any_published_agents_the_error_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(zoo_module, "CHECKOUT", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=f"there is no folder {REACH}; .*pip install ./zoo"):
        agent_path(REACH)


def invoke(*command: str | Path) -> str:
    """Run a command, and return what it prints; of a command that fails, the error."""
    done = CliRunner().invoke(app, [*map(str, command)])
    assert done.exit_code in (0, 2), done.exception
    return " ".join((done.stdout if done.exit_code == 0 else done.stderr).split())


@pytest.fixture
def exported(make: Make, tmp_path: Path) -> Path:
    """Folder of an exported policy for LamReach-v0."""
    env = make("LamReach-v0", max_episode_steps=3)
    export(agents.load_pretrained(REACH, env), env, tmp_path / "reach.onnx", seeds=(0,))
    return tmp_path / "reach.onnx"


@pytest.fixture
def archived(make: Make, tmp_path: Path) -> Path:
    """Archive of an untrained PPO for LamReach-v0."""
    PPO("MlpPolicy", make("LamReach-v0"), n_steps=8, batch_size=8).save(tmp_path / "ppo.zip")
    return tmp_path / "ppo.zip"


def test_each_source_of_an_agent_is_recognized(exported: Path, archived: Path) -> None:
    for given, kind in (
        (REACH, Kind.SAVED),
        (str(CHECKOUT / REACH), Kind.SAVED),
        (str(exported), Kind.EXPORTED),
        (str(archived), Kind.ARCHIVE),
        ("ws://127.0.0.1:8000", Kind.REMOTE),
        ("expert", Kind.NAME),
        ("package.module:Class", Kind.NAME),
    ):
        source = find_source(given)
        assert (source.kind, source.is_pretrained) == (kind, given.endswith(REACH))


@pytest.mark.filterwarnings("ignore:the model in")  # the archive may have been trained under VecNormalize
@pytest.mark.parametrize("command", ["evaluate", "enjoy"])
def test_every_source_acts_in_these_commands(command: str, exported: Path, archived: Path) -> None:
    few = ("--episodes", "1", "--env-kwargs", "max_episode_steps=3")
    with serving(actions(ACTIONS)) as address:
        for given in (address, exported, archived, "expert", "random", REACH, CHECKOUT / REACH):
            allowed = ["--allow-pickle"] if given == archived else []
            if command == "evaluate":
                shown = invoke("evaluate", given, "--env", "LamReach-v0", *few, *allowed)
                assert "success rate 0.000" in shown, given
            else:
                shown = invoke("enjoy", "LamReach-v0", "--agent", given, "--video", "reach.mp4", *few, *allowed)
                assert f"{given} in LamReach-v0" in shown
                assert "solved 0 of 1 episodes" in shown, given


def test_an_exported_policy_has_the_result_of_the_agent(make: Make, exported: Path) -> None:
    env = make("LamReach-v0")
    own, other = (
        agents.evaluate(each, env, seeds=range(1000, 1010))
        for each in (agents.load_pretrained(REACH, env), agents.make(str(exported), env))
    )
    assert [each.success for each in own.episodes] == [each.success for each in other.episodes]
    assert own.mean_return == pytest.approx(other.mean_return, rel=1e-3)


def test_an_exported_policy_is_served(exported: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        # The agent is loaded before the port is opened.
        assert "already in use" in invoke("serve", exported, "--port", str(occupied.getsockname()[1]))


@pytest.mark.parametrize(
    ("env_id", "keywords", "problem"),
    [
        (
            "LamGrasp-v0",
            {},
            r"sees observation of shape \(18,\) and type float32; this environment has .*Make .* \(LamReach-v0\)",
        ),
        ("LamReachGoal-v0", {}, "this environment has the observation space Dict"),
        ("LamReach-v0", {"control": "discrete"}, r"gives actions of shape \(4,\) .* this environment has .*Discrete"),
    ],
)
def test_an_exported_policy_for_another_environment_is_refused(
    env_id: str, keywords: dict[str, Any], problem: str, make: Make, exported: Path
) -> None:
    with pytest.raises(ValueError, match=problem):
        agents.make(str(exported), make(env_id, **keywords))


def test_a_damaged_exported_policy_is_refused(make: Make, exported: Path) -> None:
    env = make("LamReach-v0")
    model, description = exported / "model.onnx", exported / "model.json"
    content = description.read_text()
    for damaged in ("{", "[]", content.replace('"float32"', '"float99"'), content.replace('"inputs"', '"puts"')):
        description.write_text(damaged)
        with pytest.raises(ValueError, match=r"model\.json is damaged: .*export the agent again"):
            load_source(find_source(str(exported)), env)
    description.write_text(content)
    with pytest.raises(ValueError, match="--config width cannot change an exported policy"):
        load_source(find_source(str(exported)), env, {"width": 3})
    model.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model\.onnx is damaged"):
        load_source(find_source(str(exported)), env)
    model.unlink()
    with pytest.raises(FileNotFoundError, match="no saved agent in"):
        find_source(str(exported))


OUT = ("--out", "other")
NEED_FILES: dict[str, tuple[str, ...]] = {
    "export": (),
    "monitor": ("--env", "LamReach-v0"),
    "adapt": ("--env", "LamReach-v0", *OUT),
    "finetune": OUT,
    "talk": ("--env", "LamTable-v0"),
    "show": (),
    "publish": ("mine/reach", *OUT),
    "serve": (),
}
"""Commands that need the files of an agent, with what they need besides."""


@pytest.mark.parametrize("command", NEED_FILES)
def test_what_has_no_files_of_an_agent_is_refused_by_commands_that_need_them(
    command: str, exported: Path, archived: Path
) -> None:
    more = NEED_FILES[command]
    for given, what in (
        ("ws://127.0.0.1:8000", "the address of a policy server"),
        (str(archived), "an archive of Stable-Baselines3"),
        ("expert", "the name of an agent that is not saved"),
        *([] if command == "serve" else [(str(exported), "an exported policy")]),
    ):
        assert re.search(
            f"cannot .*{re.escape(given)}: it is {what}; expected the folder of", invoke(command, given, *more)
        )
    assert "there is no folder bc/LamFly-v0, and no pretrained agent" in invoke(command, "bc/LamFly-v0", *more)


def test_a_published_agent_is_shown_and_exported_by_its_name() -> None:
    assert "environment LamReach-v0" in invoke("show", REACH)
    assert "exported to bc-LamReach-v0.onnx" in invoke("export", REACH)
    assert not (CHECKOUT / f"{REACH}.onnx").exists()
    assert "success rate 1.000" in invoke(
        "evaluate", "bc-LamReach-v0.onnx", "--env", "LamReach-v0", "--episodes", "2"
    )


def test_the_default_folder_of_an_export_has_the_name_of_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "exported to bc-LamReach-v0.onnx" in invoke("export", CHECKOUT / REACH)
    shutil.copytree(CHECKOUT / REACH, tmp_path / "runs" / "reach")
    monkeypatch.chdir(tmp_path / "runs" / "reach")
    assert f"exported to {tmp_path / 'runs' / 'reach.onnx'}" in invoke("export", ".")
    assert (tmp_path / "runs" / "reach.onnx" / "model.onnx").is_file()


def test_a_published_agent_is_adapted_fine_tuned_and_talked_to_by_its_name() -> None:
    # Its files are read, and then there is an error: a budget of 0, and an agent that is not lam.
    adapted = invoke("adapt", REACH, "--env", "LamReach-v0", *OUT, "--budget", "0", "--config", "replay_share=0")
    assert "budget" in adapted
    expected = f"finetune takes agent lam, and {REACH} holds bc: adapt it by python -m agents adapt {REACH} --method"
    assert expected in invoke("finetune", REACH, *OUT)
    expected = f"talk needs an agent that follows instructions: lam; {REACH} holds bc"
    assert expected in invoke("talk", REACH, "--env", "LamReach-v0", "--instruction", "reach the goal")
    talk = ("talk", "lam/generalist", "--env", "LamGrasp-v0", "--instruction", "lift the cube", "--max-steps", "1")
    assert "The scene has: " in invoke(*talk)


def test_the_monitor_of_a_published_agent_is_written_elsewhere() -> None:
    assert "is read-only: give a folder for the monitor by --out" in invoke("monitor", REACH, "--env", "LamReach-v0")


def test_keywords_that_are_not_given_are_those_of_the_training() -> None:
    source = find_source("lam/generalist")
    assert trained_keywords(source, "LamGrasp-v0") == trained_keywords(source, "lam_envs:LamGrasp-v0")
    assert trained_keywords(source, "LamGrasp-v0") == {"instruct": True}
    assert trained_keywords(source, "LamReachGoal-v0") == {}
    assert trained_keywords(find_source("expert"), "LamGrasp-v0") == {}
    for given, instructed in (((), True), (("instruct=false",), False)):
        env = make_trained_env(source, "LamGrasp-v0", given)
        assert ("instruction" in getattr(env.observation_space, "spaces", {})) == instructed
        env.close()
    with pytest.raises(ValueError, match="expert records no environment: give one by --env"):
        make_trained_env(find_source("expert"), None)


@pytest.mark.parametrize("keywords", [["robot"], {"env_id": "'x'"}], ids=str)
def test_damaged_keywords_of_an_exported_policy_are_refused(keywords: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "model.json").write_text(json.dumps({"environment": "LamReach-v0", "keywords": keywords}))
    with pytest.raises(ValueError, match=r"model\.json is damaged: .*keywords is"):
        make_trained_env(find_source(str(tmp_path)), None)


@pytest.mark.slow
def test_an_agent_is_explained_in_the_environment_of_its_training() -> None:
    command = ("explain", "lam/generalist", "--env", "LamReach-v0", "--method", "words", "--out", "reach.html")
    assert "written to reach.html" in invoke(*command, "--env-kwargs", "max_episode_steps=4")
    assert json.loads(Path("reach.json").read_text())["instruction"]


def test_an_agent_class_is_one_for_a_folder() -> None:
    with pytest.raises(ValueError, match="--agent-class module:Agent loads the folder of a saved agent, and ws://"):
        find_source("ws://127.0.0.1:8000", "module:Agent")
    with pytest.raises(
        ValueError, match="agent bc is not trained: give the folder of a saved agent, or a pretrained"
    ):
        invoke_load("bc")
    Path("notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"notes\.txt is a file; expected the folder of"):
        find_source("notes.txt")


def invoke_load(given: str) -> Any:
    source = find_source(given)
    return load_source(source, make_trained_env(source, "LamReach-v0"))
