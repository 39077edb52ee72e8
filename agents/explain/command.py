"""Command ``explain`` of ``python -m agents``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.training.arguments import AgentClass, AllowPickle, AnyAgent
from agents.training.saving.sources import find_source, load_source, make_trained_env
from agents.types import Env
from demos.runtime.console import clear_errors, console

if TYPE_CHECKING:
    import minari  # late: not every command needs it

    from agents.explain.failure.monitor import Monitor


def explain(
    agent: AnyAgent,
    env: Annotated[str, typer.Option(help="Id of an environment, such as LamGrasp-v0, or module:Id-v0.")],
    out: Annotated[Path, typer.Option(help="HTML file to write; a JSON file of the same name comes beside it.")],
    seed: Annotated[int, typer.Option(help="Seed of the episode.")] = 1000,
    demonstrations: Annotated[
        str | None,
        typer.Option("--demos", help="Dataset to compare with; by default the one that the agent learned from."),
    ] = None,
    ensemble: Annotated[
        list[str],
        typer.Option(help="Folder of the same agent, trained with another seed, to see where they differ."),
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    monitor: Annotated[
        Path | None, typer.Option(help="Folder of the fitted monitor; by default the agent's folder.")
    ] = None,
    method: Annotated[
        list[str], typer.Option(help="Method of explanation; repeat it for more. By default all.")
    ] = [],  # noqa: B006
    agent_class: AgentClass = None,
    env_kwargs: Annotated[
        list[str], typer.Option(help="Keyword of the environment, name=value; repeat it for more.")
    ] = [],  # noqa: B006
    root: Annotated[Path | None, typer.Option(help="Folder of all datasets; by default Minari's own.")] = None,
    allow_pickle: AllowPickle = False,
) -> None:
    """Explain what an agent does in an episode, step by step, as one HTML page.

    Keywords of the environment that are not given are those that the agent was trained with there.
    The page shows how sure the agent is, how far each state is from the demonstrations, which features, words and
    regions of images moved its action, and which demonstrations are nearest.
    """
    with clear_errors("interrupted; nothing is saved"):
        from agents.explain import explaining
        from agents.explain.failure.monitor import Monitor
        from agents.explain.live_monitor import saved_monitor

        explaining.check_path(out)
        source = find_source(agent, agent_class)
        environment = make_trained_env(source, env, env_kwargs)
        fitted = Monitor.load(source.location) if monitor is None else saved_monitor(monitor)
        if not method or "failure" in method:
            ensemble = ensemble_of(fitted, ensemble)
        explained, *others = (
            load_source(each, environment, allow_pickle=allow_pickle)
            for each in (source, *(find_source(name, agent_class) for name in ensemble))
        )
        report = explaining.explain(
            explained,
            environment,
            seed=seed,
            demonstrations=demonstrations_of(explained, environment, demonstrations, root),
            ensemble=others,
            methods=method,
            monitor=fitted,
            progress=True,
        )
        environment.close()
        console.print(f"written to {report.write(out)}", soft_wrap=True)
        for name, found in report.content["explanations"].items():
            if "unavailable" in found:
                console.print(f"{name}: not available: {found['unavailable']}", soft_wrap=True, markup=False)


def ensemble_of(monitor: Monitor | None, given: list[str]) -> list[str]:
    """Return the agents to compare with: those that are given, or those that the monitor was fitted with.

    Raises:
        ValueError: Others are given than those of the monitor, to which its thresholds belong.
    """
    recorded = None if monitor is None else monitor.origin.get("ensemble")
    if not isinstance(recorded, list):
        return given
    if given and {Path(each).resolve() for each in given} != {Path(str(each)).resolve() for each in recorded}:
        raise ValueError(
            f"--ensemble {', '.join(given)}: the monitor was fitted with {', '.join(map(str, recorded)) or 'none'}. "
            "Remove --ensemble, fit a monitor with it, or choose other methods than failure by --method"
        )
    return [str(each) for each in recorded]


def demonstrations_of(
    agent: Any, env: Env, given: str | None, root: Path | None
) -> Sequence[minari.MinariDataset] | str:
    """Load the dataset that is given, or those that the agent learned from and that fit the environment.

    Returns:
        The datasets, or the reason why there are none.
    """
    import demos
    from agents.training.policy_agent import PolicyAgent
    from demos.datasets.loading import datasets_root

    if given is not None:
        return [demos.load(given, root)]
    training = (agent.training if isinstance(agent, PolicyAgent) else None) or {}
    learned = (training.get("demonstrations") or {}).get("id")
    if learned is None:
        return "the agent records no demonstrations to compare with: give them by --demos"
    first, *others = ids = str(learned).split(", ")
    named = f"{len(ids)} datasets of the agent's training, such as {first}," if others else f"dataset {first}"
    try:
        datasets = [demos.load(each, root) for each in ids]
    except FileNotFoundError:
        verb = "are" if others else "of the agent's training is"
        return f"{named} {verb} not in {datasets_root(root)}: give --root, or a dataset by --demos"
    except (OSError, ValueError) as error:
        return f"a dataset of the agent's training cannot be loaded ({error}): give a dataset by --demos"
    spaces = (env.observation_space, env.action_space)
    fitting = [each for each in datasets if (each.observation_space, each.action_space) == spaces]
    if not fitting:
        had = "have" if others else "of the agent's training has"
        return f"{named} {had} other observations or actions than this environment: give a dataset by --demos"
    return fitting
