"""Published agents are the published files, in the Hub's layout, and a newcomer sees one act without training."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import agents
import demos
from agents.deployment.adaptation.check import Check, Successes
from agents.deployment.pretrained.card import Result, model_card
from agents.deployment.pretrained.publishing import FILES, publish, rounded
from agents.deployment.pretrained.recipes import RECIPES, Recipe, train
from agents.folders import read_description
from agents.training.provenance import outdated_parts
from agents.training.saving import zoo as zoo_module
from agents.training.saving.zoo import CHECKOUT, CHECKSUMS, read_checksums
from benchmarks.suite.suite_file import read_suite
from demos.collection.catalog.published_datasets import published

from ...conftest import Make

NAMES = agents.pretrained_agents()
REACH = "bc/LamReach-v0"


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A copy of the zoo that a test may damage."""
    return Path(shutil.copytree(CHECKOUT, tmp_path / "zoo", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_zoo_is_complete_and_small() -> None:
    assert {*RECIPES, "lam/generalist"} == set(NAMES)
    files = read_checksums(CHECKOUT)
    assert {file.rpartition("/")[2] for file in files} == set(FILES)
    assert {file.relative_to(CHECKOUT).as_posix() for file in CHECKOUT.glob("*/*/*")} == set(files)
    assert sum((CHECKOUT / file).stat().st_size for file in files) <= 12 * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_a_pretrained_agent_loads_by_its_name_and_its_card_is_in_the_layout_of_the_hub(name: str) -> None:
    agent = agents.load_pretrained(name)
    assert agent.training is not None
    card = ModelCard.load(CHECKOUT / name / "README.md")
    assert (card.data.license, card.data.library_name) == ("mit", "lam-envs")
    assert card.data.pipeline_tag == "robotics"
    assert card.data.datasets == agent.training["demonstrations"]["id"].split(", ")
    for result in card.data.eval_results:
        assert name in agents.pretrained_agents(result.dataset_type)
        assert 0.0 < result.metric_value <= 1.0
    for section in ("Results", "Data", "Settings", "Versions", "Intended use", "Limits"):
        assert f"\n## {section}\n" in card.text


@pytest.mark.parametrize("name", RECIPES)
def test_a_pretrained_agent_is_of_its_recipe(name: str) -> None:
    recipe, description = RECIPES[name], read_description(CHECKOUT / name)
    learned = description["training"]["demonstrations"]
    assert description["agent"] == recipe.agent
    published_dataset = published()[recipe.dataset]
    assert (learned["id"], learned["checksum"]) == (published_dataset["id"], published_dataset["checksum"])
    assert description["settings"].items() >= recipe.settings.items()
    assert not outdated_parts(description["training"])


def test_the_generalist_is_the_agent_of_its_suite() -> None:
    cell = next(cell for cell in read_suite("generalist").cells() if cell.label == "lam with ten tasks")
    description = read_description(CHECKOUT / "lam/generalist")
    assert description["settings"].items() >= cell.settings.items()
    assert description["training"]["demonstrations"]["id"] == ", ".join(dataset.id for dataset in cell.mixture)
    assert description["training"]["seed"] == cell.training_seed
    assert not outdated_parts(description["training"])


def test_a_pretrained_agent_solves_its_task(make: Make) -> None:
    env = make("LamReach-v0")
    agent = agents.load_pretrained(REACH, env)
    assert agents.evaluate(agent, env, seeds=range(1000, 1003)).success_rate == 1.0


def test_it_is_refused_in_an_environment_with_other_spaces(make: Make) -> None:
    with pytest.raises(ValueError, match="was trained with observation space"):
        agents.load_pretrained(REACH, make("LamGrasp-v0"))


def test_an_unknown_name_is_answered_by_the_known_ones() -> None:
    with pytest.raises(ValueError, match=rf"unknown pretrained agent 'bc/LamFly-v0'; expected one of .*{REACH}"):
        agents.load_pretrained("bc/LamFly-v0")


def test_a_damaged_exchanged_or_missing_file_is_refused(zoo: Path) -> None:
    weights = zoo / REACH / "weights.safetensors"
    whole = weights.read_bytes()
    for content in (whole[:-1] + bytes([whole[-1] ^ 1]), b"", None):
        weights.unlink()
        if content is not None:
            weights.write_bytes(content)
        with pytest.raises(ValueError, match=r"weights\.safetensors is not the published file: its SHA-256 is "):
            agents.load_pretrained(REACH, zoo=zoo)
    others = [name for name in NAMES if name != REACH]
    if others:  # the files of one agent under the name of another
        shutil.rmtree(zoo / REACH)
        shutil.copytree(zoo / others[0], zoo / REACH)
        with pytest.raises(ValueError, match="is not the published file"):
            agents.load_pretrained(REACH, zoo=zoo)


@pytest.mark.parametrize("line", ["", "abc  bc/x/agent.json", f"{'0' * 64}  ../x/agent.json", f"{'0' * 64}  /etc/x"])
def test_a_damaged_file_of_checksums_is_refused(zoo: Path, line: str) -> None:
    (zoo / CHECKSUMS).write_text(f"{line}\n")
    with pytest.raises(ValueError, match=f"{CHECKSUMS}:1 is damaged"):
        agents.load_pretrained(REACH, zoo=zoo)


def test_the_installed_package_serves_where_there_is_no_checkout(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo_module, "CHECKOUT", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"pip install \./zoo"):
        agents.pretrained_agents()
    zoo.rename(tmp_path / "lam_envs_zoo")
    monkeypatch.syspath_prepend(tmp_path)
    assert agents.pretrained_agents() == NAMES


@pytest.mark.slow
def test_the_wheel_of_the_zoo_holds_all_its_files(tmp_path: Path) -> None:
    source = shutil.copytree(CHECKOUT.parent, tmp_path / "source")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, timeout=240)
    (wheel,) = tmp_path.glob("lam_envs_zoo-*.whl")
    held = {name.removeprefix("lam_envs_zoo/") for name in zipfile.ZipFile(wheel).namelist()}
    assert {CHECKSUMS, *read_checksums(CHECKOUT)} <= held


def test_publishing_again_gives_the_same_files(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    first, second = (publish(CHECKOUT / REACH, name, zoo, episodes=1) for name in ("mine/first", "mine/second"))
    written = {file: (first / file).read_bytes() for file in FILES}
    with pytest.raises(FileExistsError, match="add --overwrite"):
        publish(CHECKOUT / REACH, "mine/first", zoo, episodes=1)
    publish(CHECKOUT / REACH, "mine/first", zoo, episodes=1, overwrite=True)
    assert {file: (first / file).read_bytes() for file in FILES} == written
    assert agents.pretrained_agents("LamReach-v0", zoo=zoo) == ["mine/first", "mine/second"]
    assert "Episodes: 1 in each environment, with seeds 1000 to 1000" in (second / "README.md").read_text()
    assert agents.load_pretrained("mine/second", zoo=zoo).settings.hidden_sizes == (256, 256)


def test_half_precision_halves_the_file_and_hardly_changes_actions(make: Make, tmp_path: Path) -> None:
    whole, half = (
        publish(CHECKOUT / REACH, name, tmp_path, episodes=1, half_precision=name == "my/half")
        for name in ("my/whole", "my/half")
    )
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.55 * sizes[0]
    assert (half / "weights.safetensors").stat().st_mode & 0o444 == 0o444
    env = make("LamReach-v0")
    observation, _ = env.reset(seed=0)
    actions = [agents.load(folder, env).predict(observation, deterministic=True)[0] for folder in (whole, half)]
    assert np.abs(actions[0] - actions[1]).max() <= 0.01
    assert agents.evaluate(agents.load(half, env), env, seeds=range(1000, 1003)).success_rate == 1.0


def test_a_weight_that_16_bits_cannot_hold_is_refused() -> None:
    weights = {"small": torch.full((4,), 1e6), "large": torch.full((2000,), 1e6)}
    with pytest.raises(ValueError, match=r"large has a number of 1e\+06; float16 holds at most 65504"):
        rounded(weights)
    assert torch.equal(rounded({"small": weights["small"]})["small"], weights["small"])


def test_half_precision_takes_infinities(make: Make, tmp_path: Path) -> None:
    large = torch.full((2000,), 0.5)
    large[3] = torch.inf
    assert torch.equal(rounded({"large": large})["large"], large.half())
    env = make("LamReach-v0")
    masked = agents.make("bc", env, masked_features=["tool/velocity"], batch_size=32)
    masked.learn(demos.collect("LamReach-v0", episodes=1, root=tmp_path), env, seed=0, budget=1)
    # The normalizer divides masked features by infinity.
    assert any(bool(values.isinf().any()) for values in masked.weights().values())
    folder = publish(masked.save(tmp_path / "masked"), "my/masked", tmp_path, episodes=1, half_precision=True)
    agents.load(folder, env)


def test_damaged_checksums_are_found_before_the_old_agent_is_replaced(tmp_path: Path) -> None:
    folder = publish(CHECKOUT / REACH, "mine/reach", tmp_path, episodes=1)
    written = {file: (folder / file).read_bytes() for file in FILES}
    (tmp_path / CHECKSUMS).write_text("damaged\n")
    with pytest.raises(ValueError, match=f"{CHECKSUMS}:1 is damaged"):
        publish(CHECKOUT / REACH, "mine/reach", tmp_path, episodes=2, overwrite=True)
    assert {file: (folder / file).read_bytes() for file in FILES} == written
    assert {path.name for path in tmp_path.rglob("*")} == {"mine", "reach", CHECKSUMS, *FILES}


def test_the_card_of_an_adapted_agent_describes_each_adaptation(make: Make) -> None:
    description, env, seeds = read_description(CHECKOUT / REACH), make("LamReach-v0"), range(1000, 1001)
    evaluation = agents.evaluate(agents.load_pretrained(REACH, env), env, seeds=seeds)
    results = [Result("LamReach-v0", {}, seeds, evaluation)]
    plain = model_card("mine/reach", description, results)
    record = {
        "method": "demonstrations",
        "budget": 5,
        "environment": "LamReach-v0",
        "keywords": {"randomize": "{'action_delay': [1, 1]}"},
        "check": Check(Successes(2, 10, 10), Successes(9, 10, 10), 0.02).as_json(),
        "is_better": True,
    }
    description["training"]["adaptations"] = [record]
    adapted = model_card("mine/reach", description, results)
    before, found, after = adapted.partition("\n## Adaptations\n")
    assert found
    section, _, rest = after.partition("\n## Settings\n")
    assert f"{before}\n## Settings\n{rest}" == plain
    assert (
        "| `LamReach-v0, randomize={'action_delay': [1, 1]}` | demonstrations | 5 | 20.0% before, 90.0% after "
        "| 100.0% before, 100.0% after | yes |"
    ) in section


@pytest.mark.slow
def test_a_recipe_gives_the_same_agent_again(tmp_path: Path) -> None:
    recipe = Recipe("bc", "LamReach-10-seed1", {"hidden_sizes": (8,), "epochs": 1})
    first, second = (train(recipe, tmp_path / run, tmp_path) for run in ("one", "two"))
    for file in ("agent.json", "weights.safetensors"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


@pytest.mark.parametrize("name", ["bc", "../bc", "/etc/bc", "bc/../x", "bc/", "a/b/c", "bc/ x"])
def test_a_name_that_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected two parts"):
        publish(CHECKOUT / REACH, name, tmp_path / "zoo")
