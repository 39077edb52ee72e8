"""Several processes train lam together: the same loss curve, reproducible, resumed; a failure ends all of them."""

from __future__ import annotations

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
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.mixture import Mixture
from agents.imitation.lam.sources import read_source
from agents.training.parallel import ProcessGroup, processes
from agents.training.run import CHECKPOINT, Run

from ...conftest import Make
from ..test_runs import Fragile, KilledError
from .scenes import policy_of
from .test_agent import Noted

SMALL: dict[str, Any] = {"width": 16, "batches": 10, "batch_size": 64, "epochs": 4}


@pytest.fixture
def both(datasets: Any) -> list[Any]:
    root, ids = datasets
    return [demos.load(each, root) for each in ids.values()]


def learned(env: Any, data: Any, run: Run, **settings: Any) -> Lam:
    agent: Lam = agents.make("lam", env, **{**SMALL, **settings})
    agent.learn(data, env, seed=7, run=run)
    return agent


def test_the_weighted_losses_of_parts_are_the_loss_of_the_minibatch(both: Any, make: Make) -> None:
    policy = policy_of(make("LamGrasp-v0"))
    mixture = Mixture([read_source(both[1])], policy.network.schema, ["panda"], 4, 4)
    mixture.fit_words(policy.network.sentences.numbers(mixture.parsed))
    batch = policy.augment(mixture[np.arange(len(mixture) - 31, len(mixture))])
    parts = [batch[:16], batch[16:]]
    assert sum(map(len, parts)) == len(batch) == 31
    weights = [policy.loss_weight(part) for part in parts]
    assert sum(weights) == pytest.approx(policy.loss_weight(batch), rel=1e-6)
    losses = [float(policy.compute_loss(part)[0].detach()) for part in parts]
    assert np.average(losses, weights=weights) == pytest.approx(
        float(policy.compute_loss(batch)[0].detach()), rel=1e-5
    )


def test_agents_and_devices_that_several_processes_cannot_train_are_refused(
    datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    env, data = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    with pytest.raises(ValueError, match="agent bc is trained by one process; processes is 2"):
        agents.make("bc", env).learn(data, env, seed=0, run=Run(processes=2))
    with pytest.raises(ValueError, match="2 processes train on CPUs, and device is 'cuda': expected auto or cpu"):
        Run(processes=2, device="cuda")
    with pytest.raises(ValueError, match="processes is 0; expected at least 1"):
        Run(processes=0)
    command = ["train", "bc", "--env", "LamReach-v0", "--demos", ids["LamReach-v0"], "--root", str(root)]
    done = CliRunner().invoke(app, [*command, "--processes", "2", "--out", str(tmp_path / "bc")])
    assert done.exit_code == 2
    assert "agent bc is trained by one process: remove --processes 2" in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"network": "mlp", "ema_decay": 0.9}, {"head": "flow"}], ids=str)
def test_two_processes_give_the_losses_of_one_with_the_doubled_batch(
    settings: dict[str, Any], both: Any, make: Make
) -> None:
    env = make("LamTable-v0", instruct=True)
    data = [both[0], demos.collect("LamTable-v0", episodes=4, seed=600000, root=both[0].storage.data_path.parents[2])]
    one, two = Noted(), Noted(processes=2)
    single, double = (learned(env, data, run, **settings) for run in (one, two))
    assert len(one.numbers["loss"]) == SMALL["epochs"]
    assert {"mean loss", "loss/reach panda ee", "loss/table panda ee"} < two.numbers.keys() == one.numbers.keys()
    for name, losses in one.numbers.items():
        np.testing.assert_allclose(two.numbers[name], losses, atol=1e-3)
    for name, values in single.weights().items():
        torch.testing.assert_close(double.weights()[name], values, atol=1e-3, rtol=1e-2)
    assert double.training is not None
    assert double.training["processes"] == 2


@pytest.mark.slow
def test_a_killed_training_of_two_processes_resumes_with_the_same_weights(
    both: Any, make: Make, tmp_path: Path
) -> None:
    env = make("LamReach-v0")
    whole = learned(env, both, Run(processes=2)).weights()
    with pytest.raises(KilledError):
        learned(env, both, Fragile(tmp_path, seconds=0.0, processes=2))
    with pytest.raises(ValueError, match="an unfinished training with another processes"):
        learned(env, both, Run(tmp_path))
    resumed = learned(env, both, Run(tmp_path, seconds=0.0, processes=2)).weights()
    assert all(torch.equal(resumed[name], values) for name, values in whole.items())


def failing(work: str, group: ProcessGroup) -> None:
    """Fail, as a process of a training."""
    raise OSError(f"there is no {work}")


@pytest.mark.slow
def test_the_error_of_another_process_is_reported() -> None:
    with pytest.raises(RuntimeError, match=r"process 1 of the training failed:(?s:.*)there is no space left"):
        wait_for_the_failure()


def wait_for_the_failure() -> None:
    with processes(2, failing, lambda: "space left") as group:
        assert group is not None
        group.mean(torch.zeros(1))


@pytest.mark.slow
def test_the_other_processes_end_when_the_first_is_killed(both: Any, tmp_path: Path) -> None:
    root = both[0].storage.data_path.parents[2]
    command = [
        sys.executable, "-m", "agents", "train", "lam", "--dataset", both[0].id, "--root", str(root), "--seed", "7",
        "--config", "width=16", "--config", "batches=20", "--budget", "2000", "--processes", "2",
        "--eval-episodes", "0", "--out", str(tmp_path / "lam"),
    ]  # fmt: skip
    training = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "lam.training" / CHECKPOINT
    deadline = time.monotonic() + 120.0
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.2)
    others = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    assert checkpoint.is_file()
    assert others
    os.kill(training.pid, signal.SIGKILL)
    training.wait()
    while any(_is_running(pid) for pid in others) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(_is_running(pid) for pid in others)


def _is_running(pid: str) -> bool:
    """Return True if a process runs; one that ended, and that nobody waited for, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
