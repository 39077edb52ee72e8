"""Expected bounds of published measurements. Reports list values outside the bounds; no test requires them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agents.types import JsonObject
from benchmarks.analysis.tables import Row, names
from lam_envs.tasks.table.commands import VERBS


@dataclass(frozen=True)
class Expectation:
    """Bounds of figures.

    Attributes:
        figure: Name of a figure, or a pattern with ``*`` for the names of several.
        at_least: Smallest expected value.
        at_most: Largest expected value.
        reference: Name of another figure: the bounds are of the difference from it.
    """

    figure: str
    at_least: float = -math.inf
    at_most: float = math.inf
    reference: str | None = None


def _success(agent: str, **floors: float) -> list[Expectation]:
    return [Expectation(f"success of {agent} in {name}-v0", at_least=floor) for name, floor in floors.items()]


def _no_worse(agent: str, reference: str, *environments: str) -> list[Expectation]:
    # The upper end of the interval: where both nearly always succeed, one episode more or less is chance.
    return [
        Expectation(
            f"upper end of success of {agent} in {name}-v0",
            at_least=0.0,
            reference=f"success of {reference} in {name}-v0",
        )
        for name in environments
    ]


def _expert(condition: str, floor: float, **floors: float) -> list[Expectation]:
    return [
        Expectation(f"lower end of success of expert, {condition} in {name}-v0", at_least=floors.get(name, floor))
        for name in TASKS
    ]


def _understood(agent: str, unknown_words: float) -> list[Expectation]:
    floors = {
        "trained commands": 0.98,
        "unseen combinations": 0.95,
        "known words": 0.95,
        "unknown words": unknown_words,
        "five cubes": 0.90,
    }
    return [
        *(
            Expectation(f"success of {agent}, {condition} in *", at_least=floor)
            for condition, floor in floors.items()
        ),
        Expectation(f"success of {agent}, other instruction in *", at_most=0.05),
        Expectation(f"commands done by {agent}, chains of five in *", at_least=4.5),
    ]


TASKS = ("LamReach", "LamPush", "LamGrasp", "LamPickPlace", "LamStack", "LamInsert")
ADVERSARIAL = ("LamReach", "LamPush", "LamGrasp", "LamPickPlace")
PANDA_GYM = {
    "LamReach": "PandaReach-v3",
    "LamPush": "PandaPush-v3",
    "LamPickPlace": "PandaPickAndPlace-v3",
    "LamStack": "PandaStack-v3",
}

EXPECTATIONS: dict[str, Sequence[Expectation]] = {
    "core": (
        *_success("bc", LamReach=0.99, LamPush=0.90, LamGrasp=0.97, LamPickPlace=0.93, LamStack=0.85, LamInsert=0.75),
        *_success("bc-noisy", LamPush=0.90),
        *_success("dagger", LamPush=0.95, LamPickPlace=0.95, LamStack=0.95),
        *_success("dqfd", LamReachDiscrete=0.95, LamGraspDiscrete=0.95),
        *_success("gail", LamReach=0.95, LamGrasp=0.97),
        *_success("airl", LamReach=0.90, LamGrasp=0.80),
        # Labels in states that the agent visits are worth as much as the same number of demonstrated ones, or more.
        *_no_worse("dagger", "bc", *TASKS),
        # Adversarial training does not make a BC policy from the same demonstrations worse.
        *_no_worse("gail", "bc-100", "LamPickPlace", "LamPush"),
        *_no_worse("gail", "gail-from-scratch", *ADVERSARIAL),
        *_no_worse("gail", "ppo", *ADVERSARIAL),
        # Five minutes on one core: other processes may have used the machine too.
        *(Expectation(f"CPU seconds of training {agent} in *", at_most=300.0) for agent in ("bc", "bc-*")),
    ),
    "generalist": (
        *(
            Expectation(f"success of lam, * in {name}-v0", at_least=0.95 if name == "LamPush" else 0.99)
            for name in TASKS
        ),
        *(
            Expectation(f"success of lam with ten tasks, * in {name}-v0", at_least=floor)
            for name, floor in {
                **dict.fromkeys(TASKS, 0.99),
                "LamPush": 0.95,
                "LamDrawer": 0.90,
                "LamConveyor": 0.90,
                "LamTable": 0.90,
            }.items()
        ),
        *(
            Expectation(
                f"success of lam with ten tasks and 8 actions, {robot} in {name}-v0",
                at_least=-0.01,
                reference=f"success of lam with ten tasks, {robot} in {name}-v0",
            )
            for name in TASKS
            for robot in ("panda", "xarm6", "iiwa")
            if name != "LamPush"
        ),
        # Minutes on one core: other processes may have used the machine too.
        Expectation("CPU seconds of training lam, *", at_most=15 * 60.0),
        Expectation("CPU seconds of training lam with ten tasks, *", at_most=40 * 60.0),
    ),
    "generalist-pixels": (
        Expectation("mean success of lam", at_least=0.80),
        Expectation("mean success of lam with estimated positions", at_least=0.80),
        # Three hours on two cores.
        Expectation("CPU seconds of training *", at_most=6 * 3600.0),
    ),
    "adaptation": (
        *(
            Expectation(
                f"success of bc {method} {change} in {name}-v0",
                at_least=-0.02,
                reference=f"success of bc in {name}-v0",
            )
            for method in ("demonstrations", "queries", "reward")
            for change in ("delay", "longer")
            for name in ("LamGrasp", "LamPickPlace")
        ),
        # At least 90% of what bc loses under the condition is to be recovered.
        *(
            Expectation(
                f"success of bc demonstrations {change}, {condition} in {name}-v0",
                at_least=-0.1 * lost,
                reference=f"success of bc in {name}-v0",
            )
            for change, condition, name, lost in (
                ("delay", "delay", "LamGrasp", 0.145),
                ("delay", "delay", "LamPickPlace", 0.715),
                ("longer", "longer tool", "LamGrasp", 0.995),
                ("longer", "longer tool", "LamPickPlace", 0.6),
            )
        ),
    ),
    # The bounds of conditions are those of the mean over all tasks.
    "randomized": (
        Expectation("success of bc in *", at_least=0.97),
        Expectation("success of bc, delay in *", at_least=0.85),
        Expectation("success of bc, pushes in *", at_least=0.80),
        Expectation("mean success of bc", at_least=0.97),
        Expectation("mean success of bc, delay", at_least=0.85),
        Expectation("mean success of bc, pushes", at_least=0.80),
        Expectation("mean success of diffusion with history", at_least=0.97),
        Expectation("mean success of diffusion with history, delay", at_least=0.85),
        Expectation("mean success of diffusion with history, pushes", at_least=0.80),
    ),
    "sequence": (
        Expectation("mean success of diffusion, novice", at_least=0.70),
        Expectation("mean success of diffusion, mixed", at_least=0.80),
        Expectation("mean success of act, expert", at_least=0.0, reference="mean success of bc, expert"),
    ),
    "vision": (
        *(
            Expectation(f"best success in {name}Pixels-v0", at_least=bound)
            for name, bound in zip(TASKS, (0.97, 0.80, 0.97, 0.88, 0.85, 0.60), strict=True)
        ),
        # Thirty minutes on two cores: other processes may have used the machine too.
        Expectation("CPU seconds of training *", at_most=3600.0),
    ),
    "language": (
        *_understood("lam", unknown_words=0.85),
        *_understood("lam with ten tasks", unknown_words=0.85),
        *_understood("lam with ten tasks and sentence encoder", unknown_words=0.90),
    ),
    "observations": tuple(
        Expectation(f"success of bco in {name}-v0", at_least=-0.1, reference=f"success of bc in {name}-v0")
        for name in ("LamReach", "LamGrasp", "LamPickPlace")
    ),
    "people": tuple(
        Expectation(
            f"success of {agent} in LamPickPlace-v0",
            at_least=-0.1,
            reference="success of bc, expert in LamPickPlace-v0",
        )
        for agent in ("bc, human", "bc at full speed")
    ),
    "experts": (
        Expectation("success of expert, * in *", at_least=0.99),
        *_expert("*", 0.995, LamInsert=0.98),
    ),
    "experts-conditions": (
        # Without an expectation for the conditions full, delay and pushes.
        *(
            Expectation(f"success of expert, {condition} in *", at_least=0.90)
            for condition in ("ee_yaw", "joint", "discrete", "physics", "noise")
        ),
        *_expert("noise", 0.97, LamInsert=0.90),
        *_expert("physics", 0.97),
        *(each for control in ("ee_yaw", "joint", "discrete") for each in _expert(control, 0.95)),
    ),
    "experts-clutter": (
        Expectation("success of expert, panda in *", at_least=0.90),
        Expectation("success of expert, held-out objects in *", at_least=0.85),
    ),
    "experts-clutter-conditions": (Expectation("success of expert, * in *", at_least=0.90),),
    "experts-table": tuple(Expectation(f"success of expert, {verb} in *", at_least=0.99) for verb in VERBS),
    # All five commands of an episode.
    "experts-chains": (Expectation("success of expert, * in *", at_least=0.95),),
    "throughput": (
        *(
            Expectation(f"{what} of {ours}-v0 over {theirs}", at_least=2.5)
            for ours, theirs in PANDA_GYM.items()
            for what in ("steps/s", "simulated time")
        ),
        *(
            Expectation(f"steps/s of {ours}Pixels-v0, front over {theirs}, render()", at_least=8.0)
            for ours, theirs in PANDA_GYM.items()
        ),
        *(Expectation(f"physics share of a step of {name}-v0", at_least=0.8) for name in TASKS),
        Expectation("cost of a reset of *, in steps", at_most=3.0),
    ),
    "datasets": (
        Expectation("time of collection over time of rollouts without recording", at_most=1.3),
        Expectation(
            "peak memory of collection, 1000 episodes",
            at_most=20.0,
            reference="peak memory of collection, 250 episodes",
        ),
        Expectation("windows of *", at_least=200_000),
        Expectation("size of the streamed dataset", at_least=20.0),
        Expectation("peak memory of streaming", at_most=1000.0),
    ),
    "learning": (
        Expectation("throughput of bc over imitation's BC", at_least=1.0),
        Expectation("peak memory of bc, 100 epochs", at_most=20.0, reference="peak memory of bc, 10 epochs"),
        Expectation("sum tree over NumPy's choice", at_least=10.0),
    ),
    "running": (
        Expectation("overhead of the runner, one worker", at_most=5.0),
        Expectation("speedup by a second worker", at_least=1.7),
    ),
    "latency": (
        *(Expectation(f"inference latency of {agent}, state", at_most=5.0) for agent in ("bc", "bc-rnn", "act")),
        *(
            Expectation(f"inference latency of {agent}, two images of 84x84", at_most=20.0)
            for agent in ("bc", "bc-rnn", "act", "keypoints")
        ),
        # Ten passes of the network.
        Expectation("inference latency of diffusion, *", at_most=25.0),
        Expectation("inference latency of keypoints with diffusion, *", at_most=25.0),
        Expectation("inference latency of lam, *", at_most=4.0),
    ),
    "remote": (
        Expectation("overhead of a remote decision, state", at_most=1.0),
        Expectation("overhead of a remote decision, two images of 84x84", at_most=5.0),
    ),
    "vector": (
        Expectation("LamGrasp-v0, 2 workers over a loop over 1 environment", at_least=1.7),
        Expectation("LamGrasp-v0, 2 workers over AsyncVectorEnv of 16", at_least=1.3),
        Expectation("LamGrasp-v0, 1 worker over a loop over 1 environment", at_least=0.9),
        Expectation(
            "training time of ppo with the default settings over that with the settings of version 1", at_most=0.75
        ),
    ),
}
"""Expectations by the name of a shipped suite, or of a file of measurements."""


def unexpected(expectations: Sequence[Expectation], figures: Mapping[str, float]) -> list[str]:
    """Return a line for each figure outside of its bounds. Figures that are not measured give none.

    Args:
        expectations: Bounds.
        figures: Values by name.
    """
    lines = []
    for expected in expectations:
        base, added = 0.0, ""
        if expected.reference is not None:
            if expected.reference not in figures:
                continue
            base = figures[expected.reference]
            added = f" ({expected.reference}: {base:.4g})"
        low, high = expected.at_least + base, expected.at_most + base
        for name, value in figures.items():
            if fnmatchcase(name, expected.figure) and not low <= value <= high:
                bound = f"at least {low:.4g}" if value < low else f"at most {high:.4g}"
                lines.append(f"{name} is {value:.4g}, expected {bound}{added}")
    return lines


def suite_figures(table: Sequence[Row]) -> dict[str, float]:
    """Return the figures of a suite by name.

    They are success, the ends of its interval, the best success in an environment, commands done, training times, and
    the mean success over environments.

    Args:
        table: Rows of its results.
    """
    figures: dict[str, float] = {}
    rates: dict[str, list[float]] = {}
    for row, name in zip(table, names(table), strict=True):
        rates.setdefault(name, []).append(row.success_rate)
        where = f"{name} in {row.environment}"
        figures[f"success of {where}"] = row.success_rate
        best = f"best success in {row.environment}"
        figures[best] = max(row.success_rate, figures.get(best, 0.0))
        figures[f"lower end of success of {where}"] = row.low
        figures[f"upper end of success of {where}"] = row.high
        if row.completed is not None:
            figures[f"commands done by {where}"] = row.completed
        if row.training_cpu_seconds is not None:
            figures[f"CPU seconds of training {where}"] = row.training_cpu_seconds
    means = {f"mean success of {name}": sum(each) / len(each) for name, each in rates.items() if len(each) > 1}
    return figures | means


def file_figures(content: JsonObject) -> dict[str, float]:
    """Return the figures of a file of measurements by name; of those with the same name, the first.

    Args:
        content: A file that ``python -m benchmarks throughput|datasets|learning|running`` writes.
    """
    figures: dict[str, float] = {}
    for speed in content.get("speeds", ()):
        figures[f"physics share of a step of {speed['env_id']}"] = speed["physics_share"]
        figures[f"cost of a reset of {speed['env_id']}, in steps"] = speed["reset_steps"]
    for pair in content.get("comparisons", ()):
        where = f"{pair['ours']} over {pair['against']}"
        figures[f"steps/s of {where}"] = pair["ratio"]
        if pair["simulated_time_ratio"] is not None:
            figures[f"simulated time of {where}"] = pair["simulated_time_ratio"]
    for figure in content.get("figures", ()):
        figures.setdefault(figure["what"], figure["value"])
    return figures
