"""Run an agent to fit a failure monitor: the command ``monitor`` of ``python -m agents``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import track

from agents.folders import MONITOR_FIGURE
from agents.training.arguments import SavedAgent
from agents.training.saving.sources import load_source, make_trained_env, saved_source
from agents.types import Env, JsonObject
from demos.collection.recording import Policy
from demos.runtime.console import clear_errors, console

if TYPE_CHECKING:  # late: PyTorch is not needed by every command
    from agents.explain.case import Case
    from agents.explain.failure.fitting import MonitoredEpisode
    from agents.explain.live_monitor import LiveMonitor


def monitor(
    agent: SavedAgent,
    env: Annotated[str, typer.Option(help="Id of an environment, such as LamGrasp-v0, or module:Id-v0.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write the monitor to; by default that of the agent. Required for a pretrained agent."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first episode, not used for evaluation.")] = 700000,
    episodes: Annotated[
        int,
        typer.Option(help="Episodes to fit to; as many others, with the next seeds, evaluate the monitor."),
    ] = 100,
    false_alarms: Annotated[
        float, typer.Option(help="Fraction of the successful episodes in which the monitor may warn.")
    ] = 0.1,
    demonstrations: Annotated[
        str | None,
        typer.Option("--demos", help="Dataset to compare with; by default the one that the agent learned from."),
    ] = None,
    ensemble: Annotated[
        list[str],
        typer.Option(
            help="Folder of the same agent trained with another seed: the disagreement of these agents is a "
            "measure of uncertainty. May be repeated."
        ),
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    env_kwargs: Annotated[
        list[str], typer.Option(help="Keyword of the environment, name=value; repeat it for more.")
    ] = [],  # noqa: B006
    root: Annotated[Path | None, typer.Option(help="Folder of all datasets; by default Minari's own.")] = None,
) -> None:
    """Fit a monitor that predicts failures of an agent while it acts, and save it in the agent's folder.

    A logistic regression predicts from uncertainty and distance up to each step whether the episode fails. It is
    evaluated in episodes with other seeds. `agents explain` shows its prediction.
    """
    with clear_errors("interrupted; nothing is saved"):
        from agents.explain.command import demonstrations_of
        from agents.explain.explaining import prepare
        from agents.explain.failure.figure import write_figure
        from agents.explain.failure.fitting import fit, measure
        from agents.explain.failure.origin import agent_record, demonstrations_record, environment_of, resolved
        from agents.explain.references import References
        from agents.explain.trace import trace_episode
        from agents.training.stable_baselines.training import horizon_of

        _check_numbers(episodes, false_alarms)
        source = saved_source(agent, "monitor")
        if source.is_pretrained and out is None:
            raise ValueError(
                f"the folder of the pretrained agent {agent} is read-only: give a folder for the monitor by --out"
            )
        folder = out or source.folder
        for target in (folder, *folder.parents):
            if target.exists() and not target.is_dir():
                raise FileExistsError(f"{target} is a file: choose a folder for the monitor by --out")
        environment = make_trained_env(source, env, env_kwargs)
        horizon = horizon_of(environment)
        known, *others = (
            load_source(each, environment)
            for each in (source, *(saved_source(name, "compare with") for name in ensemble))
        )
        # Before the episodes: a policy may clamp its weights when it acts.
        fitted_to = agent_record(known)
        found = demonstrations_of(known, environment, demonstrations, root)
        if isinstance(found, str):
            raise ValueError(found)
        references = References(found)
        references.check(environment)

        def case_of(number: int) -> Case:
            return prepare(known, environment, trace_episode(known, environment, number), references, {}, others)

        first = monitored(case_of, range(seed, seed + episodes), progress=True)
        # Equal outcomes are refused here, before the other episodes.
        fitted = fit(first, horizon, false_alarms=false_alarms)
        report = measure(fitted, monitored(case_of, range(seed + episodes, seed + 2 * episodes), progress=True))
        origin: JsonObject = {
            **fitted_to,
            **environment_of(environment),
            "first_seed": seed,
            "episodes": episodes,
            "failures": sum(episode.failed for episode in first),
            **demonstrations_record(references.data),
            "ensemble": resolved(ensemble),
        }
        environment.close()
        folder.mkdir(parents=True, exist_ok=True)
        path = replace(fitted, origin=origin, report=report).save(folder)
        write_figure(report, folder / MONITOR_FIGURE)
        console.print(f"written to {path} and {MONITOR_FIGURE}", soft_wrap=True)
        console.print(f"{report['failures']} of {report['episodes']} other episodes failed")
        for name, value in report["auroc"].items():
            console.print(f"AUROC, {name}: {'-' if value is None else f'{value:.3f}'}")
        console.print(f"expected calibration error: {report['expected_calibration_error']:.3f}")
        console.print(
            f"warnings above {fitted.threshold:.2f}: in {report['warned_failures']} of the failures and "
            f"{report['false_alarms']} of the successes"
        )


def _check_numbers(episodes: int, false_alarms: float) -> None:
    """Check numbers that would be refused only after the episodes.

    Raises:
        ValueError: One is out of its range.
    """
    if episodes < 1:
        raise ValueError(f"--episodes {episodes}; expected at least 1")
    if not 0.0 < false_alarms < 1.0:
        raise ValueError(f"--false-alarms {false_alarms:g}; expected a fraction above 0 and below 1, such as 0.1")


def monitored(
    case_of: Callable[[int], Case], seeds: Iterable[int], *, progress: bool = False
) -> list[MonitoredEpisode]:
    """Run an episode for each seed.

    Args:
        case_of: Function that runs an episode with a seed and returns its case.
        seeds: Seeds of the resets.
        progress: Show a progress bar.

    Raises:
        UnavailableError: See :func:`agents.explain.methods.failure.signals`.
        ValueError: The environment does not report success.
    """
    from agents.explain.failure.fitting import MonitoredEpisode
    from agents.explain.methods.failure import signals

    episodes = []
    for seed in track(list(seeds), "running", disable=not progress, transient=True):
        case = case_of(seed)
        if case.trace.success is None:
            raise ValueError("the environment does not report success (info['is_success']), which a monitor needs")
        episodes.append(MonitoredEpisode(seed, signals(case), not case.trace.success))
    return episodes


def predictor(folder: Path, given: str | None, root: Path | None, agent: Policy, env: Env) -> LiveMonitor:
    """Return the live monitor of an agent, read from a folder.

    Args:
        folder: Folder with a monitor of the agent.
        given: Id or folder of the demonstrations to compare with; None for those of the monitor.
        root: Folder of all datasets.
        agent: Agent.
        env: Its environment.

    Raises:
        FileNotFoundError: There is no monitor, or a dataset or agent is missing.
        ValueError: The monitor is damaged, or was fitted to another agent, in another environment or with other
            demonstrations; there are no demonstrations; or the agent cannot be monitored.
    """
    from agents.explain.command import demonstrations_of
    from agents.explain.failure.origin import check_agent, check_environment, ensemble_of
    from agents.explain.live_monitor import live_monitor, saved_monitor

    fitted = saved_monitor(folder)
    check_agent(fitted, agent)
    check_environment(fitted, env)
    found = demonstrations_of(agent, env, given, root, fitted)
    if isinstance(found, str):
        raise ValueError(found)
    others = [load_source(saved_source(name, "compare with"), env) for name in ensemble_of(fitted, [])]
    return live_monitor(agent, env, fitted, found, others)
