"""Command line: python -m agents COMMAND. Further commands are defined in the subpackages."""

from __future__ import annotations

import faulthandler
import importlib
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import agents
from agents.deployment.adaptation.command import ADAPT_EXAMPLE, adapt
from agents.deployment.commands import export, serve
from agents.deployment.pretrained.commands import enjoy, pretrained, publish, pull, push
from agents.deployment.talk.commands import TALK_EXAMPLE, talk
from agents.evaluation.evaluation import EPISODE_SECONDS, make_env
from agents.explain.command import explain
from agents.explain.monitoring import monitor, predictor
from agents.folders import read_description
from agents.imitation.lam.commands import FINETUNE_EXAMPLE, finetune
from agents.pretraining.command import PRETRAIN_EXAMPLE, pretrain
from agents.registry import ADAPTED, find
from agents.spec import TrainableAgent, spec_of
from agents.training.arguments import (
    AgentClass,
    AllowPickle,
    AnyAgent,
    CacheFrames,
    Demonstrations,
    Device,
    EnvId,
    Environments,
    EnvKeywords,
    Episodes,
    NumEnvs,
    Overwrite,
    Play,
    Processes,
    Recipe,
    Root,
    SavedAgent,
    Settings,
    check_datasets,
    check_free,
    check_processes,
    load_datasets,
    load_each,
    read_settings,
    recipe_datasets,
    training_environments,
    training_run,
)
from agents.training.provenance import effective_settings, outdated_parts
from agents.training.saving.sources import (
    Kind,
    archive_settings,
    find_source,
    load_source,
    saved_source,
    trained_keywords,
)
from agents.types import JsonObject
from demos.commands import teleop as driving
from demos.runtime.console import clear_errors, console, parse_keywords
from demos.runtime.web.access import Address
from demos.teleop.settings import Recording, SessionSettings, Watched

GRACE_SECONDS = 3.0
"""Time after the limit of an episode, after which the process of an agent that hangs ends."""

app = typer.Typer(
    help="Train, evaluate, watch and publish agents.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command(
    epilog="Examples: python -m agents train bc --env LamGrasp-v0 "
    "--demos lam/LamGrasp-expert-100-seed0-v0 --seed 0 --out runs/bc; python -m agents train bco --env LamGrasp-v0 "
    "--demos lam/LamGrasp-expert-100-seed0-v0 --play lam/LamGrasp-noisy-20-seed0-v0 --out runs/bco"
)
def train(
    agent: Annotated[str, typer.Argument(help="Name of an agent, or package.module:Class.")],
    out: Annotated[Path, typer.Option(help="Folder to save the agent in.")],
    env: Environments = [],  # noqa: B006  (typer reads the default; nobody changes it)
    demonstrations: Demonstrations = [],  # noqa: B006
    recipe: Recipe = None,
    play: Play = [],  # noqa: B006
    seed: Annotated[
        int, typer.Option(help="Seeds weight initialization, minibatches, exploration and episode resets.")
    ] = 0,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Amount of training (bc, bco, bc-rnn, act, diffusion, keypoints, lam: epochs; dagger: labels; "
            "others: steps); by default the agent's setting."
        ),
    ] = None,
    config: Settings = [],  # noqa: B006
    env_kwargs: EnvKeywords = [],  # noqa: B006
    device: Device = "auto",
    processes: Processes = 1,
    eval_episodes: Episodes = 20,
    cache_frames: CacheFrames = False,
    root: Root = None,
    overwrite: Overwrite = False,
) -> None:
    """Train an agent. If a training run was interrupted, the same command resumes it.

    The folder OUT.training holds the log for TensorBoard.
    """
    with clear_errors():
        if agent in ADAPTED:
            raise ValueError(
                f"agent {agent} is made from a saved agent: use python -m agents adapt FOLDER --method reward"
            )
        found = find(agent)
        spec = spec_of(found)
        keywords, settings = parse_keywords(env_kwargs, "--env-kwargs"), read_settings(config)
        from agents.training.policy_agent import PolicyAgent
        from agents.training.saving.storage import check_target

        # Errors come before the datasets of a recipe are collected, which may take hours.
        if isinstance(found, type) and issubclass(found, PolicyAgent):
            check_target(out)
        check_free(out, overwrite=overwrite)
        check_processes(spec, processes)
        run = training_run(out, device=device, episodes=eval_episodes, overwrite=overwrite, processes=processes)

        def collect_given() -> list[str]:
            check_datasets(agent, spec, [*demonstrations, *([recipe] if recipe else [])], play)
            return [*demonstrations, *recipe_datasets(recipe, root)]

        given: list[str] | None = None
        if spec.takes_several_environments and not env:  # the environments are those of the datasets
            effective_settings(agent, settings, "")
            given = collect_given()
        environments = training_environments(agent, spec, env, keywords, given or [], root)
        agent_instance = agents.make(agent, environments[0], **settings)
        if not isinstance(agent_instance, TrainableAgent):
            raise ValueError(f"agent {agent} cannot be trained: it has no learn(), save() and load()")
        given = collect_given() if given is None else given
        datasets = load_datasets(agent, spec, given, root, cached=cache_frames)
        played = load_each(play, root, cached=cache_frames)
        learned: Any = datasets[0] if datasets is not None and len(datasets) == 1 else datasets
        # The protocol of third-party agents has neither a run nor several environments.
        learner: Any = agent_instance
        where = environments if spec.takes_several_environments else environments[0]
        how: dict[str, Any] = {"run": run} if spec.takes_run else {"progress": True}
        if played:
            how["play"] = played
        learner.learn(learned, where, seed=seed, budget=budget, **how)
        # Another training may have been saved there meanwhile.
        check_free(out, overwrite=overwrite)
        console.print(f"saved in {agent_instance.save(out) or out}", soft_wrap=True)
        run.delete_checkpoint()


app.command(epilog=PRETRAIN_EXAMPLE)(pretrain)
app.command(epilog=FINETUNE_EXAMPLE)(finetune)
app.command(epilog=ADAPT_EXAMPLE)(adapt)
app.command(epilog=TALK_EXAMPLE)(talk)


@app.command(epilog="Example: python -m agents evaluate runs/bc --env LamGrasp-v0 --episodes 200")
def evaluate(
    agent: AnyAgent,
    env: EnvId,
    episodes: Annotated[int, typer.Option(help="Number of episodes.")] = 200,
    first_seed: Annotated[int, typer.Option(help="Seed of the first episode; the others follow it.")] = 1000,
    agent_class: AgentClass = None,
    config: Settings = [],  # noqa: B006  (typer reads the default; nobody changes it)
    env_kwargs: EnvKeywords = [],  # noqa: B006
    allow_pickle: AllowPickle = False,
    episode_seconds: Annotated[
        float, typer.Option(help="Seconds of wall time that an episode may take.")
    ] = EPISODE_SECONDS,
    num_envs: NumEnvs = 1,
) -> None:
    """Evaluate an agent on new seeds.

    For a saved agent, --config changes settings that its weights do not depend on, such as executed_actions. Settings
    of an archive are `vecnormalize` (file with the statistics of VecNormalize, or false) and `algorithm`
    (package.module:Class that loads it).
    """

    def end_if_stuck(seed: int) -> None:
        # A call that hangs is not interrupted: this process then writes where it hangs, and ends.
        last = min(episode_seconds + GRACE_SECONDS, threading.TIMEOUT_MAX)
        faulthandler.dump_traceback_later(last, exit=True, file=sys.__stderr__ or sys.stderr)

    with clear_errors("interrupted; nothing is saved"):
        # Only what is given: the environment is a part of what is measured.
        environment = make_env(env, **parse_keywords(env_kwargs, "--env-kwargs"))
        source, settings = find_source(agent, agent_class), read_settings(config)
        if source.kind is Kind.ARCHIVE:
            # The statistics are searched for once, with one warning.
            settings = {"vecnormalize": False, **archive_settings(source, settings, allow_pickle=allow_pickle)}
        policy = load_source(source, environment, settings, allow_pickle=allow_pickle)
        seeds = range(first_seed, first_seed + episodes)
        try:
            result = agents.evaluate(
                policy,
                environment,
                seeds=seeds,
                progress=True,
                episode_seconds=episode_seconds,
                on_episode=end_if_stuck,
                num_envs=num_envs,
            )
        finally:
            faulthandler.cancel_dump_traceback_later()
        environment.close()
        low, high = result.interval
        steps, seconds = result.mean_steps_to_success, result.mean_seconds_to_success
        table = Table("measure", "value", box=None)
        table.add_row(
            "success rate",
            f"{result.success_rate:.3f} [{low:.3f}, {high:.3f}] (95% Wilson)",
        )
        table.add_row("success at any step", f"{result.ever_success_rate:.3f}")
        table.add_row("episodes", f"{episodes}, seeds {seeds.start} to {seeds.stop - 1}")
        table.add_row("steps to success", "-" if steps is None else f"{steps:.1f}")
        table.add_row("seconds to success", "-" if seconds is None else f"{seconds:.2f} (simulated)")
        table.add_row("return", f"{result.mean_return:.2f}")
        if settings.get("vecnormalize"):
            table.add_row("observations", f"normalized by {settings['vecnormalize']}")
        console.print(table)


@app.command(epilog="Example: python -m agents teleop runs/bc --env LamPickPlace-v0 --episodes 20")
def teleop(
    agent: AnyAgent,
    env: EnvId,
    episodes: driving.Episodes = 20,
    seed: driving.Seed = 0,
    agent_class: AgentClass = None,
    config: Settings = [],  # noqa: B006  (typer reads the default; nobody changes it)
    host: driving.Host = "127.0.0.1",
    port: driving.Port = 8765,
    token: driving.Token = False,
    seconds: driving.Seconds = 60.0,
    real_time_factor: driving.RealTimeFactor = 1.0,
    cameras: driving.Cameras = "front,wrist",
    image_size: driving.ImageSize = 240,
    keep_failures: driving.KeepFailures = False,
    env_kwargs: EnvKeywords = [],  # noqa: B006
    id_: driving.Id = None,
    root: Root = None,
    overwrite: driving.Overwrite = False,
    hand_tracking: driving.HandTracking = None,
    allow_pickle: AllowPickle = False,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Stop and ask you to take over where the agent's monitor warns of a failure."),
    ] = False,
    monitor_folder: Annotated[
        Path | None, typer.Option("--monitor", help="Folder of the fitted monitor; by default the agent's folder.")
    ] = None,
    demonstrations: Annotated[
        str | None,
        typer.Option("--demos", help="Dataset to compare with, for --ask; by default that of the monitor."),
    ] = None,
) -> None:
    """Watch an agent in a browser, take over from it and give back; record episodes with these interventions.

    The same command adds episodes to the same dataset. End the program with Ctrl-C.
    """
    with clear_errors():
        module, _, env_id = env.rpartition(":")
        if module:
            importlib.import_module(module)
        source, settings = find_source(agent, agent_class), read_settings(config)
        keywords = {**trained_keywords(source, env_id), **parse_keywords(env_kwargs)}
        driving.run(
            env_id,
            Recording(seed, keywords, seconds, False, id_, root, overwrite),
            SessionSettings(episodes, tuple(cameras.split(",")), image_size, real_time_factor, keep_failures),
            Address(host, port, token),
            Watched(
                agent,
                lambda made: load_source(source, made, settings, allow_pickle=allow_pickle),
                partial(predictor, monitor_folder or source.folder, demonstrations, root) if ask else None,
            ),
            hand_tracking,
        )


@app.command(
    epilog="Example: python -m agents tune bc --env LamPush-v0 --demos lam/LamPush-expert-200-seed0-v0 "
    "--study runs/tune.db --trials 20"
)
def tune(
    agent: Annotated[str, typer.Argument(help="Name of an agent.")],
    env: EnvId,
    study: Annotated[Path, typer.Option(help="SQLite file of the study.")],
    demonstrations: Demonstrations = [],  # noqa: B006  (typer reads the default; nobody changes it)
    trials: Annotated[int, typer.Option(help="Total number of trials.")] = 20,
    seeds: Annotated[int, typer.Option(help="Trainings per trial.")] = 1,
    episodes: Annotated[int, typer.Option(help="Evaluation episodes per training.")] = 50,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Budget of each training run, in the agent's unit (bc, bco, bc-rnn, act, diffusion, keypoints, "
            "lam: epochs; dagger: labels; others: steps)."
        ),
    ] = None,
    config: Settings = [],  # noqa: B006  (typer reads the default; nobody changes it)
    env_kwargs: EnvKeywords = [],  # noqa: B006
    device: Device = "auto",
    root: Root = None,
) -> None:
    """Tune settings with Optuna. The same command resumes a study; several processes may share one.

    The section `search` of the agent's file of settings is the search space, without what --config sets.
    """
    with clear_errors():
        from agents.training import tuning

        environment = make_env(env, **parse_keywords(env_kwargs, "--env-kwargs"))
        given = read_settings(config)
        datasets = load_datasets(agent, spec_of(find(agent)), demonstrations, root)
        best = tuning.tune(
            agent, environment, datasets, study,
            given, trials=trials, seeds=seeds, episodes=episodes, budget=budget, device=device, progress=True,
        )  # fmt: skip
        console.print(f"best of {best.trials} trials: success {best.success_rate:.3f} with")
        for name, value in best.settings.items():
            console.print(f"  --config {name}={value}", soft_wrap=True, markup=False)


@app.command(epilog="Example: python -m agents show runs/bc")
def show(agent: SavedAgent) -> None:
    """Show a saved agent: its settings, its demonstrations, and the versions it was trained with."""
    with clear_errors():
        description = read_description(saved_source(agent, "show").folder)
        name = str(description.get("agent"))
        training = description.get("training") or {}
        learned = training.get("demonstrations") or {}
        table = Table("field", "value", box=None)
        table.add_row("agent", name)
        for environment in training.get("environments") or [training]:
            table.add_row("environment", str(environment.get("environment", "unknown")))
            for keyword, value in (environment.get("keywords") or {}).items():
                table.add_row(f"  {keyword}", str(value))
        table.add_row("demonstrations", f"{learned.get('id', 'none')} ({learned.get('episodes', 0)} episodes)")
        table.add_row("  SHA-256", str(learned.get("checksum", "-")))
        table.add_row("seed", str(training.get("seed", "-")))
        budget = training.get("budget")
        table.add_row("budget", "default" if budget is None else str(budget))
        if "labels" in training:
            table.add_row("expert labels", str(training["labels"]))
        for name, value in _stages(training):
            table.add_row(name, value)
        for section in ("settings", "versions", "libraries"):
            table.add_row(section, "")
            content = (description if section == "settings" else training).get(section) or {}
            if not isinstance(content, dict):
                raise ValueError(
                    f"{agent} is damaged: its {section} are {content!r}; expected an object: save the agent again"
                )
            for key, value in content.items():
                table.add_row(f"  {key}", str(value))
        console.print(table)
        outdated = outdated_parts(training)
        if outdated:
            console.print(f"Outdated: trained with other versions of {', '.join(outdated)}.")


def _stages(training: JsonObject) -> list[tuple[str, str]]:
    """Return the play, the pre-trained encoder and the adaptations of a saved agent, as rows of a table."""
    rows = []
    encoder, adaptations = training.get("encoder"), training.get("adaptations", [])
    play = training.get("play")
    if isinstance(play, dict):
        rows.append(("play", f"{play.get('id')} ({play.get('episodes')} episodes), SHA-256 {play.get('checksum')}"))
    if isinstance(encoder, dict):
        rows.append(("encoder", f"{encoder.get('method')}, SHA-256 {encoder.get('checksum')}"))
    for each in adaptations if isinstance(adaptations, list) else []:
        if isinstance(each, dict):
            used = "used" if each.get("is_better") else "not used"
            rows.append(
                (
                    "adaptation",
                    f"{each.get('method')}, budget {each.get('budget')}, {each.get('environment')}, {used}",
                )
            )
    return rows


app.command(epilog="Example: python -m agents export runs/bc --format onnx --out runs/bc.onnx")(export)
app.command(epilog="Example: python -m agents serve runs/bc --port 8000")(serve)
app.command(epilog="Example: python -m agents explain runs/bc --env LamGrasp-v0 --seed 3 --out bc.html")(explain)
app.command(epilog="Example: python -m agents monitor runs/bc --env LamGrasp-v0 --episodes 100")(monitor)
app.command(epilog="Example: python -m agents enjoy LamGrasp-v0")(enjoy)
app.command(epilog="Example: python -m agents pretrained")(pretrained)
app.command(epilog="Example: python -m agents publish runs/bc bc/LamGrasp-v0 --out published")(publish)
app.command(epilog="Example: python -m agents push published/bc/LamGrasp-v0 owner/bc-LamGrasp")(push)
app.command(epilog="Example: python -m agents pull owner/bc-LamGrasp --out runs/pulled")(pull)


def main() -> None:
    """Run the command lam-agents, which also imports agents from the working directory."""
    sys.path.insert(0, os.getcwd())
    app()


if __name__ == "__main__":
    main()
