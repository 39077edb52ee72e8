"""Command line: python -m agents train|evaluate."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import typer
from rich.table import Table

import agents
import demos
from agents.agent import DESCRIPTION, Learning
from agents.evaluation import make_env
from demos.console import clear_errors, console, keywords

app = typer.Typer(
    help="Train and evaluate agents.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Env = Annotated[str, typer.Option(help="Id of an environment, such as LamGrasp-v0.")]
Keywords = Annotated[
    list[str], typer.Option("--set", help="Keyword of the environment, name=value; may be repeated.")
]
Options = Annotated[list[str], typer.Option("--option", help="Setting of the agent, name=value; may be repeated.")]


@app.command(
    epilog="Example: python -m agents train bc --env LamGrasp-v0 "
    "--demos lam/LamGrasp-expert-100-seed0-v0 --seed 0 --out runs/bc"
)
def train(
    agent: Annotated[str, typer.Argument(help="Name of an agent, or package.module:Class.")],
    env: Env,
    demonstrations: Annotated[str, typer.Option("--demos", help="Id of a dataset, or its folder.")],
    out: Annotated[Path, typer.Option(help="Folder to save the agent in.")],
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    budget: Annotated[int | None, typer.Option(help="How much to train, in the agent's unit (bc: epochs).")] = None,
    set_: Keywords = [],  # noqa: B006  (typer reads the default; nobody changes it)
    option: Options = [],  # noqa: B006
    root: Annotated[Path | None, typer.Option(help="Folder of all datasets; by default Minari's own.")] = None,
) -> None:
    """Learn from demonstrations."""
    with clear_errors():
        made = make_env(env, **keywords(set_))
        learner = agents.make(agent, made, **keywords(option))
        if not isinstance(learner, Learning):
            raise ValueError(f"agent {agent} does not learn: it has no learn(), save() and load()")
        check = getattr(learner, "check_target", None)
        if check is not None:
            check(out)
        learner.learn(demos.load(demonstrations, root), made, seed=seed, budget=budget, progress=True)
        console.print(f"saved in {learner.save(out)}", soft_wrap=True)


@app.command(epilog="Example: python -m agents evaluate runs/bc --env LamGrasp-v0 --episodes 200")
def evaluate(
    agent: Annotated[str, typer.Argument(help="Folder of a saved agent, a name, or package.module:Class.")],
    env: Env,
    episodes: Annotated[int, typer.Option(help="Number of episodes.")] = 200,
    first_seed: Annotated[int, typer.Option(help="Seed of the first episode; the others follow it.")] = 1000,
    as_: Annotated[
        str | None,
        typer.Option("--as", help="package.module:Class of the saved agent, if it has no name here."),
    ] = None,
    set_: Keywords = [],  # noqa: B006  (typer reads the default; nobody changes it)
    option: Options = [],  # noqa: B006
) -> None:
    """Measure an agent on unseen seeds."""
    with clear_errors():
        made = make_env(env, **keywords(set_))
        acting = _agent(agent, made, keywords(option), as_)
        seeds = range(first_seed, first_seed + episodes)
        result = agents.evaluate(acting, made, seeds=seeds, progress=True)
        made.close()
        low, high = result.interval
        steps, seconds = result.mean_steps_to_success, result.mean_seconds_to_success
        table = Table("measure", "value", box=None)
        table.add_row(
            "success rate",
            f"{result.success_rate:.3f} [{low:.3f}, {high:.3f}] (95% Wilson)",
        )
        table.add_row("episodes", f"{episodes}, seeds {seeds.start} to {seeds.stop - 1}")
        table.add_row("steps to success", "-" if steps is None else f"{steps:.1f}")
        table.add_row("seconds to success", "-" if seconds is None else f"{seconds:.2f} (simulated)")
        table.add_row("return", f"{result.mean_return:.2f}")
        console.print(table)


def _agent(name: str, env: gym.Env[Any, Any], settings: dict[str, Any], kind: str | None) -> Any:
    if kind is not None or (Path(name) / DESCRIPTION).is_file():
        return agents.load(name, env, agent=kind)
    if Path(name).is_dir():
        raise FileNotFoundError(
            f"no saved agent in {name}: there is no {DESCRIPTION}. Of an agent that writes none, say the class: "
            "--as package.module:Class"
        )
    if "/" in name:
        raise FileNotFoundError(f"there is no folder {name}")
    made = agents.make(name, env, **settings)
    if isinstance(made, Learning):
        raise ValueError(f"agent {name} is not trained: give the folder in which a trained one was saved")
    return made


def main() -> None:
    """The command lam-agents; finds agents in the present folder, as ``python -m agents`` does."""
    sys.path.insert(0, os.getcwd())
    app()


if __name__ == "__main__":
    main()
