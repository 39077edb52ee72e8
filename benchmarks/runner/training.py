"""Train an agent, and note what that takes: time, steps of the environment, and how its success grows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, SupportsFloat

import gymnasium as gym
import minari

from agents.registry import TrainableAgent, spec_of
from agents.training.run import Run
from benchmarks.suite.suite import PeriodicEvaluation
from demos.collection.recording import Policy
from demos.runtime.engines import progress


@dataclass(frozen=True)
class Curve:
    """How the success of one training grew; empty where an agent does not tell.

    Attributes:
        unit: Of ``done``: what the agent counts its training in, such as ``steps`` or ``epochs``.
        episodes: Of each point.
        done: How much of the training was done.
        success: Share of the episodes that ended in success, then.
    """

    unit: str
    episodes: int
    done: tuple[float, ...]
    success: tuple[float, ...]


@dataclass(frozen=True)
class Training:
    """What a training took.

    Attributes:
        environment_steps: Of all environments it practised in.
        curve: How its success grew; None if nobody watched.
        seconds: Wall time, without that of watching.
        cpu_seconds: Time on the processor, which others on the machine do not lengthen; likewise.
    """

    environment_steps: int
    curve: Curve | None
    seconds: float = field(compare=False)
    cpu_seconds: float = field(compare=False)


def training_from(told: Any) -> Training | None:
    """Reads what a training took from plain data; None of what is no training.

    Raises:
        KeyError: A part is missing.
        TypeError: A part is of another kind.
        ValueError: Likewise.
    """
    if told is None:
        return None
    curve = told["curve"]
    read = None
    if curve is not None:
        done, success = (tuple(map(float, curve[name])) for name in ("done", "success"))
        read = Curve(str(curve["unit"]), int(curve["episodes"]), done, success)
        if len(done) != len(success) or not all(0.0 <= rate <= 1.0 for rate in success):
            raise ValueError(f"its curve is {curve}")
    return Training(int(told["environment_steps"]), read, float(told["seconds"]), float(told["cpu_seconds"]))


class CountedSteps(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Counts the steps of all environments of the process that are made like this one, by its ``spec``.

    Attributes:
        total: So many, since the process began.
    """

    total: ClassVar[int] = 0

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Counts, and steps."""
        CountedSteps.total += 1
        return self.env.step(action)


class _Watched(Run):
    """A training that tells how far it is, and whose success is written down, apart from what watching it takes."""

    def __init__(self, watching: PeriodicEvaluation | None) -> None:
        if watching is None:
            super().__init__()
        else:
            super().__init__(episodes=watching.episodes, evaluations=watching.evaluations)
        self.points: list[tuple[float, float]] = []
        self.unit, self.total = "", 1
        self.steps, self.taken, self.cpu = 0, 0.0, 0.0

    def training(self, what: str, total: int, unit: str) -> Any:
        self.unit, self.total = unit, max(1, total)
        return super().training(what, total, unit)

    def log(self, done: int, **numbers: float) -> None:
        progress.report(done / self.total)
        if "success" in numbers:
            self.points.append((float(done), float(numbers["success"])))
        super().log(done, **numbers)

    def evaluate(self, agent: Policy, env: gym.Env[Any, Any], done: int) -> None:
        steps, began, on_cpu = CountedSteps.total, time.perf_counter(), time.process_time()
        super().evaluate(agent, env, done)
        self.steps += CountedSteps.total - steps
        self.taken += time.perf_counter() - began
        self.cpu += time.process_time() - on_cpu


def train(
    agent: TrainableAgent,
    demonstrations: minari.MinariDataset | None,
    env: gym.Env[Any, Any],
    *,
    seed: int,
    watching: PeriodicEvaluation | None = None,
) -> Training:
    """Lets an agent learn, as it does by itself: watching draws no random numbers.

    Args:
        agent: Untrained.
        demonstrations: What it learns from; None for the reward alone.
        env: Where it acts, or what it makes others like.
        seed: Of the training.
        watching: How closely; None looks at nothing. An agent whose ``learn`` takes no ``run`` cannot be watched.
    """
    counted = CountedSteps(env)
    run = _Watched(watching)
    keywords: dict[str, Any] = {"run": run} if spec_of(agent).takes_run else {}
    steps, began, on_cpu = CountedSteps.total, time.perf_counter(), time.process_time()
    # An agent that needs no demonstrations takes None for them.
    agent.learn(demonstrations, counted, seed=seed, **keywords)
    taken, cpu = time.perf_counter() - began, time.process_time() - on_cpu
    steps = CountedSteps.total - steps
    curve = None
    if watching is not None:
        done, success = (tuple(values) for values in zip(*run.points, strict=True)) if run.points else ((), ())
        curve = Curve(run.unit, watching.episodes, done, success)
    return Training(steps - run.steps, curve, round(taken - run.taken, 1), round(cpu - run.cpu, 1))
