"""Command ``adapt`` of ``python -m agents``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from agents.evaluation.evaluation import make_env
from agents.folders import read_description
from agents.training.arguments import (
    Device,
    EnvKeywords,
    Overwrite,
    Root,
    SavedAgent,
    Settings,
    check_free,
    load_each,
    read_settings,
    training_run,
)
from agents.training.provenance import trained_in
from agents.training.saving.sources import make_trained_env, saved_source
from agents.types import JsonObject
from demos.runtime.console import clear_errors, console

if TYPE_CHECKING:
    import minari  # late: not every command needs it

ADAPT_EXAMPLE = (
    "Example: python -m agents adapt runs/bc --env LamGrasp-v0 --env-kwargs 'randomize={\"action_delay\": [2, 2]}' "
    "--method demonstrations --budget 20 --out runs/adapted"
)


def adapt(
    agent: SavedAgent,
    env: Annotated[str, typer.Option(help="Id of the environment in which the agent is used.")],
    out: Annotated[Path, typer.Option(help="Folder to save the agent in.")],
    method: Annotated[
        str,
        typer.Option(
            help="demonstrations (a few new ones), queries (an expert labels the states that the agent visits), or "
            "reward (a residual policy on top of the agent)."
        ),
    ] = "demonstrations",
    budget: Annotated[
        int | None,
        typer.Option(help="Demonstrations (by default 20), labels (2000) or steps (20000), depending on the method."),
    ] = None,
    demonstrations: Annotated[
        list[str],
        typer.Option("--demos", help="Dataset of the changed environment, in place of the scripted expert."),
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    replay: Annotated[
        list[str] | None,
        typer.Option(
            help="Id of a dataset that the agent has learned from, or its folder. Repeat it for more; by default all."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of episodes, minibatches and exploration.")] = 0,
    config: Settings = [],  # noqa: B006
    env_kwargs: EnvKeywords = [],  # noqa: B006
    device: Device = "auto",
    root: Root = None,
    overwrite: Overwrite = False,
) -> None:
    """Adapt a saved agent to the environment in which it is used. The same command resumes an interrupted adaptation.

    Held-out episodes are run before and after, there and where the agent was trained. OUT holds the agent as it was,
    unless it became better.
    """
    with clear_errors():
        # Late: they import PyTorch, which not every command needs.
        from agents.deployment.adaptation.adapting import adapt as adapted
        from agents.deployment.adaptation.adapting import delete_checkpoints
        from agents.deployment.adaptation.methods import adaptation_settings
        from agents.training.saving.storage import check_target

        source, settings = saved_source(agent, "adapt"), read_settings(config)
        description = read_description(source.folder)
        check_target(out)
        check_free(out, overwrite=overwrite)
        replays = adaptation_settings(method, settings).replays
        if replay and not replays:
            unused = "with replay_share=0" if "replay_share" in settings else f"by method {method}"
            raise ValueError(f"--replay is not used {unused}: remove it")
        home_id, home_keywords = trained_in(description)
        changed = make_trained_env(source, env, env_kwargs)
        home = make_env(home_id, **home_keywords)
        run = training_run(out, device=device, episodes=0, overwrite=overwrite)
        result = adapted(
            source.folder,
            changed,
            home,
            method=method,
            budget=budget,
            seed=seed,
            replay=partial(_replay, description, replay, root) if replays else None,
            demonstrations=partial(load_each, demonstrations, root) if demonstrations else None,
            run=run,
            **settings,
        )
        check_free(out, overwrite=overwrite)
        before, after = result.check.before, result.check.after
        table = Table("success", "before", "after", box=None)
        table.add_row("in the changed environment", *(each.format_rate(each.changed) for each in (before, after)))
        table.add_row("where it was trained", *(each.format_rate(each.home) for each in (before, after)))
        console.print(table)
        console.print(
            "The adapted agent is better."
            if result.is_better
            else "The adapted agent is not better: the agent stays as it was."
        )
        console.print(f"saved in {result.agent.save(out)}", soft_wrap=True)
        delete_checkpoints(run)
        changed.close()
        home.close()


def _replay(description: JsonObject, given: list[str] | None, root: Path | None) -> list[minari.MinariDataset]:
    """Return the datasets that an agent has learned from."""
    recorded = ((description.get("training") or {}).get("demonstrations") or {}).get("id")
    names = given or (recorded.split(", ") if isinstance(recorded, str) and recorded else [])
    if not names:
        raise ValueError("the agent does not record its datasets: give them by --replay, or --config replay_share=0")
    try:
        return load_each(names, root)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{error}. Give the agent's datasets by --replay, or --config replay_share=0") from error
