"""Arguments of commands that train: demonstrations, environments, settings, and the folder to save in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import minari
import typer

import demos
from agents.evaluation.evaluation import make_env
from agents.spec import AgentSpec
from agents.training.run import Run
from agents.types import Env, JsonObject, Keywords
from demos.collection.catalog.recipe import collect_recipe, read_recipe
from demos.datasets.environment import make_env as make_env_of
from demos.datasets.metadata import plan_of
from demos.datasets.windows.frame_cache import GIGABYTE, cache_frames
from demos.runtime.console import console, parse_keywords

EnvId = Annotated[str, typer.Option(help="Id of an environment, such as LamGrasp-v0, or module:Id-v0.")]
Environments = Annotated[
    list[str],
    typer.Option(
        help="Id of an environment, such as LamGrasp-v0, or module:Id-v0. Repeat it for lam; by default it gets "
        "those of its datasets."
    ),
]
Episodes = Annotated[
    int, typer.Option(help="Episodes of each of ten periodic evaluations in each environment; 0 for none.")
]
Overwrite = Annotated[bool, typer.Option(help="Replace a saved agent or an unfinished training in this folder.")]
Settings = Annotated[
    list[str], typer.Option("--config", help="Setting of the agent or method, name=value; may be repeated.")
]
EnvKeywords = Annotated[
    list[str], typer.Option("--env-kwargs", help="Keyword of the environment, name=value; repeat it for more.")
]
Demonstrations = Annotated[
    list[str],
    typer.Option(
        "--demos", "--dataset", help="Id of a dataset, or its folder; not for dqn, ppo and sac. Repeat it for more."
    ),
]
Play = Annotated[
    list[str],
    typer.Option(
        help="Id of a dataset of episodes of any quality whose actions are known, or its folder; only for bco. "
        "Repeat it for more."
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Name of a recipe of datasets (python -m demos recipe), or a YAML file; missing datasets are collected."
    ),
]
Device = Annotated[str, typer.Option(help="Device to train on: auto (a GPU if PyTorch finds one), cpu or cuda.")]
Processes = Annotated[
    int, typer.Option(help="Processes that train together, each on a part of every minibatch; only for lam, on CPUs.")
]
NumEnvs = Annotated[
    int,
    typer.Option(
        help="Episodes that run at once, in one process: the agent acts on batches. The episodes are the same; "
        "floating-point rounding differs between batches and single observations."
    ),
]
CacheFrames = Annotated[
    bool,
    typer.Option(
        "--cache-frames",
        help="Decode datasets of JPEG or compressed images once, into an uncompressed file beside each dataset "
        "that later trainings read, too. Use it above 1 GiB: smaller datasets are held in memory. It needs disk "
        "space for all decoded images; you may delete it. Results are the same with and without it.",
    ),
]
SavedAgent = Annotated[str, typer.Argument(help="Folder of a saved agent, or a pretrained agent (bc/LamGrasp-v0).")]
ANY_AGENT = (
    "Folder of a saved agent or an exported policy, a pretrained agent (bc/LamGrasp-v0), a name, package.module:Name "
    "of a class, an object or a function, the address of a policy server (ws://HOST:PORT), or an archive of "
    "Stable-Baselines3 (.zip)."
)
"""Help of options and arguments that take every source of an agent."""
AnyAgent = Annotated[str, typer.Argument(help=ANY_AGENT)]
AgentClass = Annotated[str | None, typer.Option(help="package.module:Class of a saved third-party agent.")]
AllowPickle = Annotated[bool, typer.Option("--allow-pickle", help="Load an archive (.zip), which can run code.")]
Root = Annotated[Path | None, typer.Option(help="Folder of all datasets; by default Minari's own.")]


def read_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Read the settings of an agent from ``name=value``.

    Raises:
        ValueError: An assignment has no value, or its name is reserved.
    """
    given = parse_keywords(list(assignments), "--config")
    for name in ("self", "env"):
        if name in given:
            raise ValueError(f"--config {name}: no agent has such a setting")
    return given


def recipe_datasets(name: str | None, root: Path | None) -> list[str]:
    """Return the ids of the datasets of a recipe, after collecting those that are missing; none without a recipe.

    Args:
        name: Name of a recipe, or a YAML file.
        root: Folder of all datasets.

    Raises:
        ValueError: There is no such recipe, or it is invalid.
    """
    if name is None:
        return []
    return [dataset.id for dataset in collect_recipe(read_recipe(name), root=root, progress=True)]


def check_datasets(name: str, spec: AgentSpec, given: Sequence[str], play: Sequence[str] = ()) -> None:
    """Check that the given datasets are those that an agent learns from.

    Args:
        name: Name of the agent.
        spec: Its spec.
        given: Datasets and recipes of demonstrations.
        play: Datasets of further episodes of any quality.

    Raises:
        ValueError: Demonstrations are missing, or given to an agent that does not use them; or play is given to an
            agent that does not learn from play.
    """
    if given and not spec.needs_demonstrations:
        raise ValueError(f"agent {name} learns from reward alone: remove --demos and --recipe")
    if spec.needs_demonstrations and not given:
        raise ValueError(f"agent {name} needs demonstrations: give a dataset by --demos")
    if play and not spec.takes_play:
        raise ValueError(f"agent {name} does not learn from play: remove --play, or give the datasets by --demos")


def load_datasets(
    name: str, spec: AgentSpec, given: Sequence[str], root: Path | None, *, cached: bool = False
) -> list[minari.MinariDataset] | None:
    """Load the demonstrations of an agent; None if it needs none.

    Args:
        name: Name of the agent.
        spec: Its spec.
        given: Ids or folders of datasets.
        root: Folder of all datasets.
        cached: Write the frame caches of the datasets that need one; see :func:`load_each`.

    Raises:
        ValueError: Demonstrations are missing, or given to an agent that does not use them.
    """
    check_datasets(name, spec, given)
    return load_each(given, root, cached=cached) if spec.needs_demonstrations else None


def load_each(given: Sequence[str], root: Path | None, *, cached: bool = False) -> list[minari.MinariDataset]:
    """Load datasets.

    Args:
        given: Ids or folders of datasets.
        root: Folder of all datasets.
        cached: Write the frame caches of the datasets that need one, with a progress bar.
    """
    datasets = [demos.load(each, root) for each in given]
    for dataset in datasets if cached else ():
        path = cache_frames(dataset, progress=True)
        if path is None:
            console.print(f"{dataset.id} needs no frame cache: it is stored uncompressed")
        else:
            console.print(f"frame cache {path}, {path.stat().st_size / GIGABYTE:.2f} GB", soft_wrap=True)
    return datasets


def training_environments(
    name: str, spec: AgentSpec, env_ids: Sequence[str], keywords: Keywords, given: Sequence[str], root: Path | None
) -> list[Env]:
    """Make the environments of a training.

    Args:
        name: Name of the agent.
        spec: Its spec.
        env_ids: Ids of environments. Without them, an agent that takes several environments gets those of its
            demonstrations, with instructions.
        keywords: Keywords of each environment.
        given: Ids or folders of datasets.
        root: Folder of all datasets.

    Raises:
        ValueError: No environment, or several for an agent that takes one.
    """
    if len(env_ids) > 1 and not spec.takes_several_environments:
        raise ValueError(f"agent {name} is trained in one environment: give --env once")
    if env_ids:
        return [make_env(each, **keywords) for each in env_ids]
    if not spec.takes_several_environments:
        raise ValueError(f"agent {name} needs an environment: give one by --env")
    datasets = {
        repr((plan["env_id"], plan.get("env_kwargs"))): dataset
        for dataset, plan in ((each, plan_of(each)) for each in load_datasets(name, spec, given, root) or ())
    }
    return [make_env_of(dataset, **{"instruct": True, **keywords}) for dataset in datasets.values()]


def check_processes(spec: AgentSpec, processes: int) -> None:
    """Check that an agent can be trained by a number of processes.

    Raises:
        ValueError: It is trained by one process.
    """
    if processes > 1 and not spec.takes_processes:
        raise ValueError(f"agent {spec.name} is trained by one process: remove --processes {processes}")


def training_run(out: Path, *, device: str, episodes: int, overwrite: bool, processes: int = 1) -> Run:
    """Return a run with a progress bar, whose log and checkpoints are in the folder ``OUT.training``.

    Args:
        out: Folder to save the agent in.
        device: ``auto``, ``cpu`` or ``cuda``.
        episodes: Episodes of each periodic evaluation.
        overwrite: Start from scratch, in place of an unfinished training.
        processes: Processes that train together.

    Raises:
        ValueError: An unknown device.
    """
    folder = out.with_name(f"{out.name}.training")
    return Run(folder, progress=True, device=device, episodes=episodes, resume=not overwrite, processes=processes)


def learned_datasets(description: JsonObject) -> list[str]:
    """Return the ids of the datasets that a saved agent has learned from.

    Args:
        description: See :func:`agents.folders.read_description`.

    Raises:
        ValueError: None are recorded.
    """
    recorded = ((description.get("training") or {}).get("demonstrations") or {}).get("id")
    if not (isinstance(recorded, str) and recorded):
        raise ValueError("the agent does not record its datasets: give them by --replay, or set --replay-share 0")
    return recorded.split(", ")


def check_free(out: Path, *, overwrite: bool) -> None:
    """Check that no agent would be replaced without ``--overwrite``; an empty folder is free.

    Raises:
        FileExistsError: The folder holds an agent.
    """
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise FileExistsError(
            f"{out} holds an agent already: choose another --out, or --overwrite it. A finished training cannot be "
            "continued with a larger --budget, because its learning rate follows the budget: train from scratch with "
            "the larger budget, or fine-tune the agent with RL (docs/training.md)"
        )
