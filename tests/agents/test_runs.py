"""Runs do not change a training: an interrupted one resumes and ends with the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import agents
import demos
from agents.registry import find
from agents.spec import spec_of
from agents.training.checkpoints import read_state, write_state
from agents.training.loop import torch_device
from agents.training.randomness import isolated_rng
from agents.training.run import CHECKPOINT, Run

from ..conftest import Make
from ..lam_envs.traces import fingerprint

SETTINGS: list[Any] = [
    pytest.param({}, marks=pytest.mark.slow),
    pytest.param({"ensemble_size": 2}, marks=pytest.mark.slow),
    {"validation_fraction": 0.2, "patience": 3},
]


QUICK: dict[str, Any] = {"batch_size": 32, "hidden_sizes": [16]}


class KilledError(Exception):
    pass


class Fragile(Run):
    """Dies after some checkpoints."""

    left = 3

    def checkpoint(self, state: Any, *, now: bool = False) -> None:
        super().checkpoint(state, now=True)
        self.left -= 1
        if not self.left:
            raise KilledError


def weights(agent: Any) -> str:
    return fingerprint([{k: v.numpy() for k, v in policy.state_dict().items()} for policy in agent.policies])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    settings: dict[str, Any], datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0")

    def fresh() -> Any:
        return agents.make("bc", env, epochs=8, **QUICK, **settings)

    whole = fresh()
    whole.learn(dataset, env, seed=0)
    deaths = 0
    agent = fresh()
    while True:
        try:
            # Whatever happened to the global generators between.
            torch.manual_seed(deaths)
            agent = fresh()
            agent.learn(dataset, env, seed=0, run=Fragile(tmp_path / "run"))
            break
        except KilledError:
            deaths += 1
    assert deaths >= 2
    assert weights(agent) == weights(whole)


def test_periodic_evaluation_does_not_change_a_training(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0")
    agent, watched = agents.make("bc", env, **QUICK), agents.make("bc", env, **QUICK)
    agent.learn(dataset, env, seed=0, budget=4)
    seen: list[float] = []

    class PeriodicEvaluation(Run):
        def log(self, done: int, **numbers: float) -> None:
            super().log(done, **numbers)
            seen.extend([numbers["success"]] if "success" in numbers else [])

    watched.learn(dataset, env, seed=0, budget=4, run=PeriodicEvaluation(tmp_path, episodes=2, evaluations=2))
    assert len(seen) == 2
    assert all(0.0 <= rate <= 1.0 for rate in seen)
    assert weights(watched) == weights(agent)
    assert list(tmp_path.glob("events.out.tfevents*"))


class DyingLate(Run):
    """Writes its third checkpoint alone, and dies two epochs after it."""

    calls = 0

    def checkpoint(self, state: Any, *, now: bool = False) -> None:
        self.calls += 1
        if self.calls == 3:
            super().checkpoint(state, now=True)
        if self.calls == 5:
            raise KilledError


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the curves that TensorBoard shows of a folder: steps and values by name."""
    shown = EventAccumulator(str(folder))
    shown.Reload()
    return {tag: [(each.step, each.value) for each in shown.Scalars(tag)] for tag in shown.Tags()["scalars"]}


def test_a_resumed_training_has_the_curves_of_an_uninterrupted_one(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0")
    evaluation = {"episodes": 1, "evaluations": 4, "seconds": 1000.0}

    def learn(run: Run) -> None:
        agents.make("bc", env, **QUICK).learn(dataset, env, seed=0, budget=8, run=run)

    learn(Run(tmp_path / "whole", **evaluation))
    with pytest.raises(KilledError):
        learn(DyingLate(tmp_path / "resumed", **evaluation))
    learn(Run(tmp_path / "resumed", **evaluation))
    whole = curves(tmp_path / "whole")
    assert [step for step, _ in whole["loss"]] == list(range(1, 9))
    assert [step for step, _ in whole["success"]] == [2, 4, 6, 8]
    assert curves(tmp_path / "resumed") == whole


def test_a_training_from_the_start_removes_the_curves_of_an_earlier_one(
    datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0")
    (tmp_path / "notes.txt").write_text("mine")
    for seed in (0, 1):
        agents.make("bc", env, **QUICK).learn(dataset, env, seed=seed, budget=3, run=Run(tmp_path, overwrite=True))
        (tmp_path / CHECKPOINT).unlink(missing_ok=True)
    assert [step for step, _ in curves(tmp_path)["loss"]] == [1, 2, 3]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"device": "xpu"}, "device is 'xpu'; expected one of auto, cpu, cuda"),
        ({"episodes": -1}, "episodes is -1"),
        ({"evaluations": 0}, "evaluations 0"),
    ],
)
def test_runs_with_invalid_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Run(**keywords)


def test_a_missing_gpu_is_an_error_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for call in (lambda: Run(device="cuda"), lambda: torch_device("cuda")):
        with pytest.raises(ValueError, match="PyTorch finds no GPU: use auto or cpu"):
            call()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bc", {}),
        ("bc-rnn", {}),
        pytest.param("gail", {"warm_start": "none"}, marks=pytest.mark.slow),
        pytest.param("ppo", {}, marks=pytest.mark.slow),
    ],
)
def test_a_training_that_diverges_is_an_error_of_one_line(
    name: str, settings: dict[str, Any], datasets: Any, make: Make
) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    rate = "scratch_learning_rate" if name == "gail" else "learning_rate"
    agent = agents.make(name, env, **settings, **{rate: 1e30})
    with pytest.raises(ValueError, match=f"the training of {name} diverged: .* lower learning_rate$"):
        agent.learn(dataset, env, seed=0, budget=4000 if name in ("gail", "ppo") else 3)


@pytest.mark.parametrize("seed", [-1, 2**32, pytest.param(2**70, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["bc", "bc-rnn", "dagger", "gail", "ppo"])
def test_seeds_out_of_range_are_refused(name: str, seed: int, datasets: Any, make: Make) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    with pytest.raises(ValueError, match=rf"seed is {seed}; expected at least 0 and below 4294967296"):
        agents.make(name, env).learn(dataset, env, seed=seed)


@pytest.mark.parametrize("seed", [1.5, 1.0, True, "1", None])
def test_seeds_that_are_not_whole_numbers_are_refused(seed: Any, datasets: Any, make: Make) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    with pytest.raises(ValueError, match=f"seed is {seed!r}; expected a whole number of at least 0 and below"):
        agents.make("bc", env).learn(dataset, env, seed=seed)


def test_seeds_and_budgets_of_numpy_are_recorded_as_integers(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    plain, numbers = agents.make("bc", env, **QUICK), agents.make("bc", env, **QUICK)
    plain.learn(dataset, env, seed=3, budget=2)
    numbers.learn(dataset, env, seed=np.int64(3), budget=np.int64(2))
    folders = [agent.save(tmp_path / name) for name, agent in (("plain", plain), ("numbers", numbers))]
    assert weights(numbers) == weights(plain)
    assert len({(folder / "agent.json").read_text() for folder in folders}) == 1


def test_periodic_evaluation_needs_an_environment_with_a_spec(make: Make) -> None:
    bare = make("LamReach-v0").unwrapped
    bare.spec = None
    run = Run(episodes=1)
    with run.training("expert", 10, "steps"), pytest.raises(ValueError, match=r"has no spec: make it by gym\.make"):
        run.evaluate(demos.make_expert(bare), bare, 10)


def test_a_checkpoint_of_another_training_is_refused_or_replaced(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0")
    with pytest.raises(KilledError):
        agents.make("bc", env, **QUICK).learn(dataset, env, seed=0, run=Fragile(tmp_path))
    for seed, changed, what in ((1, {}, "seed"), (0, {"l2_weight": 0.1}, "settings")):
        with pytest.raises(ValueError, match=f"holds an unfinished training with another {what}: choose another"):
            agents.make("bc", env, **QUICK, **changed).learn(dataset, env, seed=seed, run=Run(tmp_path))
    other, plain = agents.make("bc", env, **QUICK), agents.make("bc", env, **QUICK)
    plain.learn(dataset, env, seed=1, budget=2)
    other.learn(dataset, env, seed=1, budget=2, run=Run(tmp_path, overwrite=True))
    assert weights(other) == weights(plain)
    (tmp_path / CHECKPOINT).write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(ValueError, match=r"is damaged .*: delete it to train from scratch"):
        agents.make("bc", env, **QUICK).learn(dataset, env, seed=0, run=Run(tmp_path))


def test_a_checkpoint_of_an_earlier_format_belongs_to_another_training(tmp_path: Path) -> None:
    write_state(tmp_path / CHECKPOINT, {"identity": {}, "evaluated": 0, "state": 1})
    with pytest.raises(ValueError, match="holds an unfinished training with another description: choose another"):
        Run(tmp_path).restored()
    assert Run(tmp_path, overwrite=True).restored() is None


def test_a_folder_named_like_a_log_stays_where_a_training_starts(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.x").mkdir()
    run = Run(tmp_path)
    with run.training("agent", 1, "steps"):
        run.log_to_tensorboard(1, {"loss": 0.5})
    assert (tmp_path / "events.out.tfevents.x").is_dir()
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


# Drawing trees takes long on a busy machine.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES)
def test_a_checkpoint_returns_its_content(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("state")
    arrays = {"f": torch.arange(6.0)[::2], "b": torch.tensor([True]), "same": torch.arange(6.0)[::2]}
    numbers = np.arange(6).reshape(2, 3).T
    back = read_state(write_state(folder / "state", {"tree": tree, "arrays": arrays, "numbers": numbers}))
    assert back["tree"] == tree
    assert all(torch.equal(back["arrays"][name], value) for name, value in arrays.items())
    np.testing.assert_array_equal(back["numbers"].numpy(), numbers)


def test_a_checkpoint_holds_no_code(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a checkpoint cannot hold a function"):
        write_state(tmp_path / "state", {"run": lambda: None})
    assert not (tmp_path / "state").exists()


def test_global_generators_are_restored() -> None:
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
    torch_before, threads = torch.get_rng_state(), torch.get_num_threads()
    with isolated_rng(5):
        first = (np.random.random(), float(torch.rand(())))  # noqa: NPY002
    with isolated_rng(5):
        assert (np.random.random(), float(torch.rand(()))) == first  # noqa: NPY002
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert torch.get_num_threads() == threads


TRAININGS: dict[str, tuple[str, list[str]]] = {
    "bc": ("LamReach-v0", ["epochs=2500", "batch_size=32"]),
    "bc, images": ("LamReachPixels-v0", ["epochs=60", "batch_size=32"]),
    "bc-rnn": ("LamReach-v0", ["epochs=150", "batch_size=32"]),
    "act": ("LamReach-v0", ["epochs=150", "batch_size=32", "latent_size=8"]),
    "diffusion": ("LamReach-v0", ["epochs=400", "batch_size=32"]),
    "lam": ("LamReach-v0", ["epochs=60", "batches=20", "batch_size=32"]),
    "keypoints": ("LamReachPixels-v0", ["detector_epochs=20", "epochs=400", "batch_size=32"]),
    "dagger": (
        "LamReach-v0",
        ["initial_fraction=0.5", "iterations=3", "updates_per_iteration=6000", "epochs=800", "batch_size=32"],
    ),
    "gail": ("LamReach-v0", ["steps=30000", "warm_start_epochs=20"]),
    "airl": ("LamReach-v0", ["steps=30000", "warm_start_epochs=20"]),
    "dqfd": ("LamReachDiscrete-v0", ["pretraining_steps=3000", "steps=4000"]),
    "sqil": ("LamReachDiscrete-v0", ["steps=8000"]),
    "dqn": ("LamReachDiscrete-v0", ["steps=8000"]),
    "ppo": ("LamReach-v0", ["steps=30000"]),
    "sac": ("LamReachGoal-v0", ["steps=6000"]),
}
"""Environment and settings of trainings of about half a minute, of the agent that is named first."""


def trained(label: str, out: Path, root: Path) -> list[str]:
    env_id, settings = TRAININGS[label]
    name = label.partition(",")[0]
    data = ["--demos", "kills/shown-v0", "--root", str(root)] if spec_of(find(name)).needs_demonstrations else []
    return [
        sys.executable, "-m", "agents", "train", name, "--env", env_id, "--out", str(out), *data,
        "--eval-episodes", "0",
        *(part for setting in settings for part in ("--config", setting)),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("label", TRAININGS)
def test_a_training_that_is_killed_five_times_ends_with_the_same_weights(label: str, tmp_path: Path) -> None:
    demos.collect(TRAININGS[label][0], episodes=6, seed=7, root=tmp_path, dataset_id="kills/shown-v0")
    subprocess.run(trained(label, tmp_path / "whole", tmp_path), check=True, capture_output=True, timeout=300)
    rng, log = np.random.default_rng(0), tmp_path / "log"
    checkpoint = tmp_path / "killed.training" / CHECKPOINT
    for _ in range(5):
        process = subprocess.Popen(
            trained(label, tmp_path / "killed", tmp_path), stdout=subprocess.DEVNULL, stderr=log.open("w")
        )
        before = checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0
        # At any moment after it went on: loading the libraries is not of interest.
        while process.poll() is None and (not checkpoint.is_file() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0.0, 2.0)))
        assert process.poll() is None, f"it ended before it could be killed: {log.read_text()}"
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(trained(label, tmp_path / "killed", tmp_path), check=True, capture_output=True, timeout=300)
    files = [(tmp_path / folder / "weights.safetensors").read_bytes() for folder in ("whole", "killed")]
    assert files[0] == files[1]
    descriptions = [json.loads((tmp_path / folder / "agent.json").read_text()) for folder in ("whole", "killed")]
    assert descriptions[0] == descriptions[1]
    assert not checkpoint.exists()
    assert os.listdir(tmp_path / "killed") == os.listdir(tmp_path / "whole")
