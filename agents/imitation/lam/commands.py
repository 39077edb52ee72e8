"""Command line of the agent ``lam``: python -m agents finetune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import demos
from agents.folders import read_description
from agents.imitation.lam.replay import REPLAY_SHARE
from agents.training.arguments import (
    Demonstrations,
    Device,
    Environments,
    EnvKeywords,
    Episodes,
    Overwrite,
    Processes,
    Root,
    SavedAgent,
    Settings,
    check_free,
    learned_datasets,
    load_datasets,
    read_settings,
    recipe_datasets,
    training_environments,
    training_run,
)
from agents.training.saving.sources import saved_source
from demos.runtime.console import clear_errors, console, parse_keywords

FINETUNE_EXAMPLE = (
    "Example: python -m agents finetune runs/lam --dataset lam/LamInsert-expert-25-seed0-v0 --out runs/tuned"
)


def finetune(
    agent: SavedAgent,
    out: Annotated[Path, typer.Option(help="Folder to save the agent in.")],
    demonstrations: Demonstrations = [],  # noqa: B006  (typer reads the default; nobody changes it)
    env: Environments = [],  # noqa: B006
    replay: Annotated[
        list[str] | None,
        typer.Option(
            help="Id of a dataset that the agent has learned from, or its folder. Repeat it for more; by default "
            "those of its last training."
        ),
    ] = None,
    replay_recipe: Annotated[
        str | None,
        typer.Option(
            help="Name of a recipe of datasets to replay (python -m demos recipe), or a YAML file; missing datasets "
            "are collected."
        ),
    ] = None,
    replay_share: Annotated[
        float, typer.Option(help="Share of the examples that come from these datasets; 0 for none.")
    ] = REPLAY_SHARE,
    seed: Annotated[int, typer.Option(help="Seed of new weights and minibatches.")] = 0,
    budget: Annotated[int | None, typer.Option(help="Epochs; by default the agent's setting.")] = None,
    config: Settings = [],  # noqa: B006
    env_kwargs: EnvKeywords = [],  # noqa: B006
    device: Device = "auto",
    processes: Processes = 1,
    eval_episodes: Episodes = 20,
    root: Root = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a saved agent further, for a new task, robot, object or wording.

    A share of the examples comes from the datasets that it has learned from, so that it does not lose what it knew.
    If a training run was interrupted, the same command resumes it.
    """
    with clear_errors():
        # Late: they import PyTorch, which not every command needs.
        from agents.imitation.lam.agent import Lam
        from agents.training.saving.storage import check_target

        spec, keywords = Lam.spec, parse_keywords(env_kwargs, "--env-kwargs")
        folder = saved_source(agent, "fine-tune").folder
        name = read_description(folder).get("agent")
        if name != spec.name:
            raise ValueError(
                f"finetune takes agent {spec.name}, and {agent} holds {name}: adapt it by python -m agents adapt "
                f"{agent} --method demonstrations"
            )
        check_target(out)
        check_free(out, overwrite=overwrite)
        run = training_run(out, device=device, episodes=eval_episodes, overwrite=overwrite, processes=processes)
        if replay_recipe is not None and replay_share:
            replay = [*(replay or ()), *recipe_datasets(replay_recipe, root)]
        if replay is None and replay_share:
            replay = learned_datasets(read_description(folder))
        tuned = Lam.finetune(
            folder,
            load_datasets(spec.name, spec, demonstrations, root) or [],
            training_environments(spec.name, spec, env, keywords, demonstrations, root),
            replay=[demos.load(each, root) for each in replay or ()] if replay_share else [],
            replay_share=replay_share,
            seed=seed,
            budget=budget,
            run=run,
            **read_settings(config),
        )
        check_free(out, overwrite=overwrite)
        console.print(f"saved in {tuned.save(out)}", soft_wrap=True)
        run.delete_checkpoint()
