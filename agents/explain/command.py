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
        typer.Option(
            "--demos",
            help="Dataset to compare with; by default that of the monitor, or else those that the agent learned "
            "from.",
        ),
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
        from agents.explain.failure.origin import ensemble_of
        from agents.explain.live_monitor import saved_monitor

        explaining.check_path(out)
        source = find_source(agent, agent_class)
        environment = make_trained_env(source, env, env_kwargs)
        fitted = Monitor.load(source.location) if monitor is None else saved_monitor(monitor)
        predicting = fitted if not method or "failure" in method else None
        ensemble = ensemble_of(predicting, ensemble)
        explained, *others = (
            load_source(each, environment, allow_pickle=allow_pickle)
            for each in (source, *(find_source(name, agent_class) for name in ensemble))
        )
        report = explaining.explain(
            explained,
            environment,
            seed=seed,
            demonstrations=demonstrations_of(explained, environment, demonstrations, root, predicting),
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


def demonstrations_of(
    agent: Any, env: Env, given: str | None, root: Path | None, monitor: Monitor | None = None
) -> Sequence[minari.MinariDataset] | str:
    """Load the dataset that is given, or else those of a monitor, or else those that the agent learned from.

    Args:
        agent: Agent.
        env: Its environment. Only datasets with its spaces and its task are returned, if none is given.
        given: Id or folder of a dataset; None for the default.
        root: Folder of all datasets.
        monitor: Monitor that predicts failures; None without one.

    Returns:
        The datasets, or the reason why there are none.

    Raises:
        FileNotFoundError: There is no such dataset.
        ValueError: Another dataset is given than those of the monitor, to which its thresholds belong.
    """
    import demos
    from demos.datasets.loading import datasets_root

    recorded = None if monitor is None else monitor.origin.get("demonstrations")
    if given is not None:
        dataset = demos.load(given, root)
        if recorded not in (None, dataset.id):
            raise ValueError(
                f"--demos {given} is dataset {dataset.id}: the monitor was fitted with {recorded}. Remove --demos, "
                "fit a monitor with it, or choose other methods than failure by --method"
            )
        return [dataset]
    learned, source = (_learned(agent), "the agent's training") if recorded is None else (recorded, "the monitor")
    if learned is None:
        return "the agent records no demonstrations to compare with: give them by --demos"
    first, *others = ids = str(learned).split(", ")
    named = f"{len(ids)} datasets of {source}, such as {first}," if others else f"dataset {first}"
    try:
        datasets = [demos.load(each, root) for each in ids]
    except FileNotFoundError:
        verb = "are" if others else f"of {source} is"
        return f"{named} {verb} not in {datasets_root(root)}: give --root, or a dataset by --demos"
    except (OSError, ValueError) as error:
        return f"a dataset of {source} cannot be loaded ({error}): give a dataset by --demos"
    fitting = [each for each in datasets if _fits(each, env)]
    if not fitting:
        had = "have" if others else f"of {source} has"
        return f"{named} {had} other observations, actions or tasks than this environment: give a dataset by --demos"
    return fitting


def _learned(agent: Any) -> str | None:
    """Return the comma-separated ids of the datasets that an agent learned from; None if it records none."""
    from agents.training.policy_agent import PolicyAgent

    training = (agent.training if isinstance(agent, PolicyAgent) else None) or {}
    learned: str | None = (training.get("demonstrations") or {}).get("id")
    return learned


def _fits(dataset: minari.MinariDataset, env: Env) -> bool:
    """Return True if a dataset has the spaces and the task of an environment."""
    import minari

    from agents.data.demonstrations import DemonstrationData

    if (dataset.observation_space, dataset.action_space) != (env.observation_space, env.action_space):
        return False
    # The metadata name the task: one episode is enough to read.
    data = DemonstrationData(minari.MinariDataset(dataset.storage, dataset.episode_indices[:1]))
    try:
        data.check_task(env)
    except ValueError:
        return False
    return True
