"""Train an agent and measure the cost: time, environment steps, and the learning curve."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat

import gymnasium as gym
import minari

from agents.registry import TrainableAgent, spec_of
from agents.training.run import Run
from agents.types import Action, Env, Info, Keywords, Observation
from benchmarks.suite.suite import PeriodicEvaluation
from demos.collection.recording import Policy
from demos.runtime.engines import progress

if TYPE_CHECKING:
    from agents.deployment.adaptation.adapting import Adapted  # it imports PyTorch, which not every command needs


@dataclass(frozen=True)
class Curve:
    """Learning curve of a training run; empty for an agent that does not log its evaluations.

    Attributes:
        unit: Unit of ``done``, such as ``steps`` or ``epochs``.
        episodes: Number of episodes of each evaluation.
        done: Progress of the training at each evaluation.
        success: Success rate of each evaluation.
    """

    unit: str
    episodes: int
    done: tuple[float, ...]
    success: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.done) != len(self.success) or not all(0.0 <= rate <= 1.0 for rate in self.success):
            raise ValueError(f"invalid learning curve: {self}")


@dataclass(frozen=True)
class Training:
    """Cost of a training run.

    Attributes:
        environment_steps: Steps in all environments that it trained in.
        curve: Learning curve; None without periodic evaluation.
        seconds: Wall time without that of periodic evaluations.
        cpu_seconds: CPU time without that of periodic evaluations; other processes do not lengthen it.
    """

    environment_steps: int
    curve: Curve | None
    seconds: float = field(compare=False)
    cpu_seconds: float = field(compare=False)


class CountedSteps(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Wrapper that counts steps; environments that are made from its ``spec`` in this process count too.

    Attributes:
        total: Number of steps since the process began.
    """

    total: ClassVar[int] = 0

    def __init__(self, env: Env) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def step(self, action: Action) -> tuple[Observation, SupportsFloat, bool, bool, Info]:
        """Count and step."""
        CountedSteps.total += 1
        return self.env.step(action)


class ReportingRun(Run):
    """Run that reports its progress to the engine."""

    total = 1

    def training(self, what: str, total: int, unit: str) -> Any:
        """Show no progress bar, and report the progress to the engine."""
        self.total = max(1, total)
        return super().training(what, total, unit)

    def log(self, done: int, **numbers: float) -> None:
        """Report the progress."""
        progress.report(done / self.total)
        super().log(done, **numbers)


class _MeasuredRun(ReportingRun):
    """Run that reports its progress, and records its success and the cost of its periodic evaluations."""

    def __init__(self, periodic_eval: PeriodicEvaluation | None) -> None:
        if periodic_eval is None:
            super().__init__()
        else:
            super().__init__(episodes=periodic_eval.episodes, evaluations=periodic_eval.evaluations)
        self.points: list[tuple[float, float]] = []
        self.unit = ""
        self.steps, self.taken, self.cpu = 0, 0.0, 0.0

    def training(self, what: str, total: int, unit: str) -> Any:
        self.unit = unit
        return super().training(what, total, unit)

    def log(self, done: int, **numbers: float) -> None:
        if "success" in numbers:
            self.points.append((float(done), float(numbers["success"])))
        super().log(done, **numbers)

    def evaluate(self, agent: Policy, env: Env, done: int) -> None:
        steps, began, on_cpu = CountedSteps.total, time.perf_counter(), time.process_time()
        super().evaluate(agent, env, done)
        self.steps += CountedSteps.total - steps
        self.taken += time.perf_counter() - began
        self.cpu += time.process_time() - on_cpu


def train(
    agent: TrainableAgent,
    demonstrations: Sequence[minari.MinariDataset],
    environments: Sequence[Env],
    *,
    seed: int,
    periodic_eval: PeriodicEvaluation | None = None,
) -> Training:
    """Train an agent. Periodic evaluations draw no random numbers of the training.

    Args:
        agent: Untrained agent.
        demonstrations: Datasets that it learns from; none for reward alone.
        environments: Environments to train in, or to make others like: one, or several for an agent that takes
            several.
        seed: Seed of the training.
        periodic_eval: Evaluations during the training; None for none. An agent whose ``learn`` takes no ``run`` has
            none.
    """
    counted: list[Env] = [CountedSteps(env) for env in environments]
    run = _MeasuredRun(periodic_eval)
    keywords: Keywords = {"run": run} if spec_of(agent).takes_run else {}
    steps, began, on_cpu = CountedSteps.total, time.perf_counter(), time.process_time()
    if spec_of(agent).takes_several_environments:
        learn: Any = agent.learn
        learn(demonstrations, counted, seed=seed, **keywords)
    else:
        # An agent that needs no demonstrations takes None for them.
        agent.learn(demonstrations[0] if demonstrations else None, counted[0], seed=seed, **keywords)
    taken, cpu = time.perf_counter() - began, time.process_time() - on_cpu
    steps = CountedSteps.total - steps
    curve = None
    if periodic_eval is not None:
        done, success = (tuple(values) for values in zip(*run.points, strict=True)) if run.points else ((), ())
        curve = Curve(run.unit, periodic_eval.episodes, done, success)
    return Training(steps - run.steps, curve, round(taken - run.taken, 1), round(cpu - run.cpu, 1))


def measured_adaptation(directory: Path, env: Env, home: Env, **arguments: Any) -> tuple[Adapted, Training]:
    """Adapt an agent, and measure the cost, that of the check included.

    Args:
        directory: Folder of the agent.
        env: Environment in which it is used.
        home: Environment in which it was trained.
        arguments: Further arguments of :func:`agents.deployment.adaptation.adapting.adapt`.
    """
    from agents.deployment.adaptation.adapting import adapt  # late, as above

    steps, began, on_cpu = CountedSteps.total, time.perf_counter(), time.process_time()
    adapted = adapt(directory, CountedSteps(env), CountedSteps(home), run=ReportingRun(), **arguments)
    taken, cpu = time.perf_counter() - began, time.process_time() - on_cpu
    return adapted, Training(CountedSteps.total - steps, None, round(taken, 1), round(cpu, 1))
