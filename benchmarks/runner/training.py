"""Train an agent and measure the cost: time, environment steps, and the learning curve."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat, cast

import gymnasium as gym
import minari

from agents.spec import TrainableAgent, spec_of
from agents.training.run import Run
from agents.types import Action, Env, Info, JsonObject, Keywords, Observation, State
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
        evaluations: Requested number of evaluations; None if it is not known, in files of earlier versions.
    """

    unit: str
    episodes: int
    done: tuple[float, ...]
    success: tuple[float, ...]
    evaluations: int | None = None

    def __post_init__(self) -> None:
        if len(self.done) != len(self.success) or not all(0.0 <= rate <= 1.0 for rate in self.success):
            raise ValueError(f"invalid learning curve: {self}")

    def is_of(self, periodic_eval: PeriodicEvaluation) -> bool:
        """Return True if it is made of such evaluations."""
        evaluations = periodic_eval.evaluations
        is_same = self.evaluations == evaluations if self.evaluations else len(self.done) <= evaluations
        return is_same and self.episodes == periodic_eval.episodes


@dataclass(frozen=True)
class AdaptationCheck:
    """Held-out check of an adaptation, which decides whether the adapted agent is used.

    Attributes:
        episodes: Episodes in each environment, before and after.
        changed: Number of successes in the changed environment, before and after.
        home: Number of successes in the environment of the training, before and after.
        is_used: True if the adapted agent is used; False if the agent stays as it was.
    """

    episodes: int
    changed: tuple[int, int]
    home: tuple[int, int]
    is_used: bool

    @classmethod
    def of(cls, adapted: Adapted) -> AdaptationCheck:
        """Return the check of an adaptation."""
        before, after = adapted.check.before, adapted.check.after
        return cls(before.episodes, (before.changed, after.changed), (before.home, after.home), adapted.is_better)


@dataclass(frozen=True)
class Training:
    """Cost of a training run.

    Attributes:
        environment_steps: Steps in all environments that it trained in.
        curve: Learning curve; None without periodic evaluation.
        seconds: Wall time without that of periodic evaluations.
        cpu_seconds: CPU time without that of periodic evaluations; other processes do not lengthen it.
        expert_labels: Number of steps with an action of the expert, including the initial demonstrations; None for an
            agent that does not count them.
        check: Check of an adaptation; None for a training from scratch.
    """

    environment_steps: int
    curve: Curve | None
    seconds: float = field(compare=False)
    cpu_seconds: float = field(compare=False)
    expert_labels: int | None = None
    check: AdaptationCheck | None = None

    def as_json(self) -> JsonObject:
        """Return plain data, without the number of labels and the check if there are none."""
        content = asdict(self)
        # Files of earlier versions do not have these.
        for name in ("expert_labels", "check"):
            if content[name] is None:
                del content[name]
        if self.curve is not None and self.curve.evaluations is None:
            del content["curve"]["evaluations"]
        return content

    def has_curve_of(self, periodic_eval: PeriodicEvaluation | None) -> bool:
        """Return True if its learning curve is made of such evaluations, or if none are asked for."""
        return periodic_eval is None or (self.curve is not None and self.curve.is_of(periodic_eval))


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


CHECKPOINT_SECONDS = 60.0
"""Minimum time between the checkpoints of a training, seconds."""


@dataclass(frozen=True)
class Cost:
    """Environment steps, and wall and CPU time in seconds."""

    steps: int = 0
    seconds: float = 0.0
    cpu: float = 0.0

    @classmethod
    def so_far(cls) -> Cost:
        """Return the cost of this process."""
        return cls(CountedSteps.total, time.perf_counter(), time.process_time())

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.steps + other.steps, self.seconds + other.seconds, self.cpu + other.cpu)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.steps - other.steps, self.seconds - other.seconds, self.cpu - other.cpu)


class MeasuredRun(ReportingRun):
    """Run that reports its progress, and records its success, its cost, and that of its periodic evaluations.

    Its checkpoints hold the records too.

    Args:
        periodic_eval: Evaluations during the training; None for none.
        folder: Folder of checkpoints; None for no checkpoints.
    """

    def __init__(self, periodic_eval: PeriodicEvaluation | None, folder: Path | None) -> None:
        # Train from scratch if the checkpoint is of other settings or versions.
        keywords: Keywords = {"folder": folder, "seconds": CHECKPOINT_SECONDS, "overwrite": True}
        if periodic_eval is not None:
            keywords |= {"episodes": periodic_eval.episodes, "evaluations": periodic_eval.evaluations}
        super().__init__(**keywords)
        self.points: list[tuple[float, float]] = []
        self.unit = ""
        self._began, self._evaluation_cost, self._earlier = Cost.so_far(), Cost(), Cost()

    @property
    def cost(self) -> Cost:
        """Cost of the training, with the part before the checkpoint that it resumed from; without evaluations."""
        return self._earlier + (Cost.so_far() - self._began) - self._evaluation_cost

    def restored(self) -> State | None:
        """Return the state of the last checkpoint, and restore the records."""
        held = super().restored()
        if held is None or held["evaluations"] != [self.episodes, self.evaluations]:
            # The learning curve would be a mixture of two kinds.
            self._evaluated, self._logged, self._resumed_at = 0, 0, None
            return None
        self.points = [(done, success) for done, success in held["points"]]
        # What this process did before, such as exploration, is a part of the cost in the checkpoint already.
        self._began, self._evaluation_cost, self._earlier = Cost.so_far(), Cost(), Cost(*held["cost"])
        return cast(State, held["training"])

    def checkpoint(self, state: Callable[[], State], *, now: bool = False) -> None:
        """Write a checkpoint with the records if one is due."""

        def with_records() -> State:
            records = {"points": self.points, "cost": astuple(self.cost)}
            return {"training": state(), "evaluations": (self.episodes, self.evaluations), **records}

        super().checkpoint(with_records, now=now)

    def log_to_tensorboard(self, done: int, metrics: Mapping[str, float]) -> None:
        """Log nothing: a suite has learning curves."""

    def training(self, what: str, total: int, unit: str) -> Any:
        """Record the unit of the progress."""
        self.unit = unit
        return super().training(what, total, unit)

    def log(self, done: int, **numbers: float) -> None:
        """Record the success of a periodic evaluation."""
        if "success" in numbers:
            self.points.append((float(done), float(numbers["success"])))
        super().log(done, **numbers)

    def evaluate_each(self, agents: Sequence[Policy], environments: Sequence[Env], done: int) -> None:
        """Evaluate, and record the cost."""
        began = Cost.so_far()
        super().evaluate_each(agents, environments, done)
        self._evaluation_cost += Cost.so_far() - began


def train(
    agent: TrainableAgent,
    demonstrations: Sequence[minari.MinariDataset],
    environments: Sequence[Env],
    *,
    seed: int,
    periodic_eval: PeriodicEvaluation | None = None,
    folder: Path | None = None,
) -> Training:
    """Train an agent. Periodic evaluations draw no random numbers of the training.

    If the folder has a checkpoint of the same training, it resumes from there, and ends with the same weights.

    Args:
        agent: Untrained agent.
        demonstrations: Datasets that it learns from; none for reward alone.
        environments: Environments to train in, or to make others like: one, or several for an agent that takes
            several.
        seed: Seed of the training.
        periodic_eval: Evaluations during the training; None for none. An agent whose ``learn`` takes no ``run`` has
            none.
        folder: Folder of checkpoints; None for no checkpoints. Delete it when the agent is saved.
    """
    counted: list[Env] = [CountedSteps(env) for env in environments]
    run = MeasuredRun(periodic_eval, folder)
    keywords: Keywords = {"run": run} if spec_of(agent).takes_run else {}
    if spec_of(agent).takes_several_environments:
        learn: Any = agent.learn
        learn(demonstrations, counted, seed=seed, **keywords)
    else:
        # An agent that needs no demonstrations takes None for them.
        agent.learn(demonstrations[0] if demonstrations else None, counted[0], seed=seed, **keywords)
    cost, curve = run.cost, None
    if periodic_eval is not None:
        done, success = (tuple(values) for values in zip(*run.points, strict=True)) if run.points else ((), ())
        curve = Curve(run.unit, periodic_eval.episodes, done, success, periodic_eval.evaluations)
    return Training(cost.steps, curve, round(cost.seconds, 1), round(cost.cpu, 1), _expert_labels(agent))


def _expert_labels(agent: TrainableAgent) -> int | None:
    """Return the number of labels in the training record of an agent; None without one."""
    record = getattr(agent, "training", None)
    labels = record.get("labels") if isinstance(record, dict) else None
    return labels if isinstance(labels, int) else None


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
    cost = Training(
        CountedSteps.total - steps, None, round(taken, 1), round(cpu, 1), check=AdaptationCheck.of(adapted)
    )
    return adapted, cost
