"""Commands that measure speed and memory: python -m benchmarks throughput, datasets, learning and others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeAlias, cast

import typer

import lam_envs
from agents.training.run import require_cuda
from benchmarks.speed import datasets as data_speed
from benchmarks.speed import latency as inference_latency
from benchmarks.speed import learning as learning_speed
from benchmarks.speed import remote as remote_speed
from benchmarks.speed import running as running_cost
from benchmarks.speed import scaling as scaling_speed
from benchmarks.speed import vector as vector_speed
from benchmarks.speed.measuring import show_measured, show_pieces
from benchmarks.speed.throughput_table import show_speeds
from demos.runtime.console import clear_errors
from lam_envs.validation import unknown_name

Rounds: TypeAlias = Annotated[int, typer.Option(help="Number of rounds; the median is shown.")]
Out: TypeAlias = Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")]


def throughput(
    env: Annotated[
        list[str], typer.Option(help="Id of an environment; may be repeated. By default all of them.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    steps: Annotated[int, typer.Option(help="Steps of a round.")] = 1000,
    rounds: Rounds = 5,
    out: Out = None,
) -> None:
    """Measure steps and resets per second; without --env, also ratios to other projects that are installed."""
    with clear_errors():
        if steps < 1 or rounds < 1:
            raise ValueError(f"steps is {steps} and rounds is {rounds}; expected at least 1 each")
        for env_id in env:
            if env_id not in lam_envs.ENV_IDS:
                raise ValueError(unknown_name("environment", env_id, lam_envs.ENV_IDS))
        show_speeds(env or list(lam_envs.ENV_IDS), steps, rounds, out, compared=not env)


def datasets(
    episodes: Annotated[int, typer.Option(help="Episodes of a collection.")] = 1000,
    rounds: Rounds = 3,
    gigabytes: Annotated[float, typer.Option(help="Size of the dataset that is streamed.")] = 20.0,
    out: Out = None,
) -> None:
    """Measure speed and memory of recording and reading demonstrations, and of collecting images by all cores."""
    with clear_errors():
        if episodes < 4 or rounds < 1 or not 0.0 < gigabytes < 1000.0:
            raise ValueError(
                f"episodes is {episodes}, rounds {rounds}, gigabytes {gigabytes}; expected at least 4, at least 1, "
                "and above 0"
            )
        given: dict[str, float] = {"episodes": episodes, "rounds": rounds, "gigabytes": gigabytes}
        show_measured(data_speed.measure, out, data_speed.LIBRARIES, **given)


def learning(
    episodes: Annotated[int, typer.Option(help="Number of demonstrations.")] = 100,
    epochs: Annotated[int, typer.Option(help="Number of epochs.")] = 100,
    rounds: Rounds = 5,
    out: Out = None,
) -> None:
    """Measure speed and memory of BC compared with imitation, and the speed of prioritized sampling.

    BC and ACT are also trained for one epoch on images from memory, files, JPEG files and the frame cache.
    """
    with clear_errors():
        if episodes < 4 or epochs < 1 or rounds < 1:
            raise ValueError(
                f"episodes is {episodes}, epochs {epochs}, rounds {rounds}; expected at least 4, 1 and 1"
            )
        given = {"episodes": episodes, "epochs": epochs, "rounds": rounds}
        show_measured(learning_speed.measure, out, learning_speed.LIBRARIES, **given)


def running(
    trainings: Annotated[int, typer.Option(help="Trainings of the suite.")] = 8,
    episodes: Annotated[int, typer.Option(help="Episodes of each evaluation.")] = 200,
    rounds: Rounds = 3,
    out: Out = None,
) -> None:
    """Measure the overhead of the suite runner, and the speedup with a second worker."""
    with clear_errors():
        if trainings < 1 or episodes < 1 or rounds < 1:
            raise ValueError(
                f"trainings is {trainings}, episodes {episodes}, rounds {rounds}; expected at least 1 each"
            )
        given = {"trainings": trainings, "episodes": episodes, "rounds": rounds}
        show_measured(running_cost.measure, out, (), **given)


def scaling(
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    episodes: Annotated[int, typer.Option(help="Demonstrations of each of six tasks.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Examples of a minibatch; on a GPU also 16 times as many.")] = 256,
    processes: Annotated[int, typer.Option(help="Largest number of processes that train together on CPUs.")] = 2,
    seconds: Annotated[float, typer.Option(help="Time for each figure; at least one minibatch.")] = 15.0,
    minutes: Annotated[float, typer.Option(help="Time after which no further training is measured.")] = 7.0,
    out: Out = None,
) -> None:
    """Measure the training speed of lam with 1, 10 and 100 times its weights, on CPUs or a GPU, in 8 minutes."""
    with clear_errors():
        if min(episodes, batch_size, processes) < 1 or min(seconds, minutes) <= 0.0:
            raise ValueError(
                f"episodes is {episodes}, batch-size {batch_size}, processes {processes}, seconds {seconds:g} and "
                f"minutes {minutes:g}; expected at least 1 each, and more than 0 seconds and minutes"
            )
        if device not in scaling_speed.DEVICES:
            raise ValueError(f"device is {device!r}; expected one of {', '.join(scaling_speed.DEVICES)}")
        records = {}
        if device == "cuda":
            require_cuda()
            records["gpu"] = scaling_speed.gpu_name()
        given: dict[str, float | str] = {
            "device": device,
            "episodes": episodes,
            "batch_size": batch_size,
            "processes": processes,
            "seconds": seconds,
            "minutes": minutes,
        }
        pieces = {"": partial(scaling_speed.measure, **cast(Any, given))}
        show_pieces(pieces, out, scaling_speed.LIBRARIES, {**given, **records})


def vector(
    env: Annotated[str, typer.Option(help="Id of the environments.")] = vector_speed.ENV_ID,
    steps: Annotated[int, typer.Option(help="Steps of each environment in a round.")] = 100,
    rounds: Rounds = 5,
    training_steps: Annotated[int, typer.Option(help="Steps of a training of PPO; 0 for none.")] = 0,
    training_rounds: Annotated[int, typer.Option(help="Number of trainings of each kind.")] = 1,
    out: Out = None,
) -> None:
    """Measure vector environments compared with one process and with Gymnasium's, and a training that uses them."""
    with clear_errors():
        if env not in lam_envs.ENV_IDS:
            raise ValueError(unknown_name("environment", env, lam_envs.ENV_IDS))
        arguments = {
            "steps": steps,
            "rounds": rounds,
            "training_steps": training_steps,
            "training_rounds": training_rounds,
        }
        for name, value in arguments.items():
            least = 0 if name == "training_steps" else 1
            if value < least:
                raise ValueError(f"{name} is {value}; expected at least {least}")
        show_measured(partial(vector_speed.measure, env), out, vector_speed.LIBRARIES, **arguments)


def remote(
    calls: Annotated[int, typer.Option(help="Decisions of a round.")] = 500,
    rounds: Rounds = 5,
    out: Out = None,
) -> None:
    """Measure how much longer a decision takes by a policy server on this machine than in the same process."""
    with clear_errors():
        _show_calls(remote_speed, out, calls, rounds)


def latency(
    calls: Annotated[int, typer.Option(help="Calls of predict in a round.")] = 200,
    rounds: Rounds = 5,
    out: Out = None,
) -> None:
    """Measure the inference latency of agents: the time to plan actions for one observation, on one core."""
    with clear_errors():
        _show_calls(inference_latency, out, calls, rounds)


def _show_calls(measured: ModuleType, out: Path | None, calls: int, rounds: int) -> None:
    """Measure and show the figures of a module that times calls."""
    if calls < 1 or rounds < 1:
        raise ValueError(f"calls is {calls} and rounds is {rounds}; expected at least 1 each")
    show_measured(measured.measure, out, measured.LIBRARIES, calls=calls, rounds=rounds)


def add_to(app: typer.Typer) -> None:
    """Add the commands to a program."""
    app.command(epilog="Example: python -m benchmarks throughput --rounds 5")(throughput)
    app.command(epilog="Example: python -m benchmarks datasets --episodes 200 --gigabytes 1")(datasets)
    app.command(epilog="Example: python -m benchmarks learning --epochs 20")(learning)
    app.command(epilog="Example: python -m benchmarks running --trainings 4 --episodes 50")(running)
    app.command(epilog="Example: python -m benchmarks scaling --device cuda --out scaling-gpu.json")(scaling)
    app.command(epilog="Example: python -m benchmarks vector --steps 100 --rounds 9")(vector)
    app.command(epilog="Example: python -m benchmarks remote --calls 500")(remote)
    app.command(epilog="Example: python -m benchmarks latency --calls 100")(latency)
