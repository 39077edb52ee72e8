"""Commands for pretrained agents: python -m agents enjoy|pretrained|publish|push|pull."""

from __future__ import annotations

import importlib
import os
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track
from rich.table import Table

from agents.deployment.pretrained.loading import pretrained_agents
from agents.folders import is_saved, read_description
from agents.registry import find, names
from agents.spec import TrainableAgent
from agents.training.arguments import AllowPickle, SavedAgent
from agents.training.provenance import environments_of
from agents.training.saving.sources import AgentSource, find_source, load_source, make_trained_env, saved_source
from agents.training.saving.zoo import zoo_folder
from agents.types import Array, Env
from demos.collection.recording import Policy, rollout
from demos.runtime.console import clear_errors, console
from lam_envs.env import ManipulationEnv

IMAGE_SIZE = 480
"""Width and height of a video, pixels."""


def enjoy(
    env: Annotated[str, typer.Argument(help="Id of an environment, such as LamPickPlace-v0, or module:Id-v0.")],
    agent: Annotated[
        str | None,
        typer.Option(
            help="Pretrained agent (bc/LamGrasp-v0), algorithm (bc), folder of a saved agent or an exported policy, "
            "package.module:Class, address of a policy server (ws://HOST:PORT), or archive (.zip) of "
            "Stable-Baselines3; by default the first pretrained agent for the environment."
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Number of episodes.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first episode; each next one adds 1.")] = 1000,
    video: Annotated[
        Path | None,
        typer.Option(help="MP4 file to write instead of a window; without a display, enjoy-ID.mp4."),
    ] = None,
    env_kwargs: Annotated[
        list[str], typer.Option("--env-kwargs", help="Keyword of the environment, name=value; repeat it for more.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    allow_pickle: AllowPickle = False,
) -> None:
    """Run a trained agent and show it in a window, or write a video if there is no display."""
    with clear_errors("interrupted"):
        module, _, env_id = env.rpartition(":")
        if module:
            importlib.import_module(module)
        source = _source(agent, env_id)
        out = video or (None if has_display() else Path(f"enjoy-{env_id}.mp4"))
        render_mode = "human" if out is None else "rgb_array"
        environment = make_trained_env(source, env_id, env_kwargs, render_mode=render_mode)
        console.print(f"{source.given} in {env_id}", soft_wrap=True)
        policy = load_source(source, environment, allow_pickle=allow_pickle)
        steps = play(environment, policy, range(seed, seed + episodes))
        if out is None:
            deque(steps, maxlen=0)
        else:
            from demos.collection.video import DEFAULT_FPS, write_video  # late: not every command needs it

            frames = (_image(environment) for _ in steps)
            fps = environment.metadata.get("render_fps", DEFAULT_FPS)
            console.print(f"wrote {write_video(frames, out, fps)}", soft_wrap=True)
        environment.close()


def play(env: Env, policy: Policy, seeds: range) -> Iterator[None]:
    """Roll out a policy; print the result of each episode, and yield after the reset and each step.

    Args:
        env: Environment; one of another package may report no success.
        policy: Policy, which acts deterministically.
        seeds: Seed of each episode.
    """
    solved = evaluated = 0
    for seed in track(seeds, "episodes", console=console):
        steps, since, is_evaluated = -1, None, False
        for steps, step in enumerate(rollout(env, policy, seed)):
            is_evaluated = is_evaluated or "is_success" in step.info
            since = (steps if since is None else since) if step.info.get("is_success") else None
            yield
        evaluated += is_evaluated
        solved += since is not None
        result = "not solved" if since is None else f"solved after {since}"
        console.print(f"seed {seed}: {result if is_evaluated else 'success is not reported'} (of {steps} steps)")
    if evaluated:
        console.print(f"solved {solved} of {len(seeds)} episodes")
    else:
        console.print("the environment does not report success: info has no is_success")


def has_display() -> bool:
    """Return True if a window can open here."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY"))


def _source(agent: str | None, env_id: str) -> AgentSource:
    """Return the given agent, or the first pretrained agent of an algorithm for an environment."""
    if agent is not None and (is_saved(agent) or not _is_algorithm(agent)):
        return find_source(agent)
    fitting = pretrained_agents(env_id)
    for name in fitting:
        if agent is None or agent == name.partition("/")[0]:
            return find_source(name)
    raise ValueError(
        f"no pretrained agent {'' if agent is None else f'{agent!r} '}for {env_id}; expected one of "
        f"{', '.join(fitting or pretrained_agents())}, or the folder of a saved agent (--agent FOLDER)"
    )


def _is_algorithm(agent: str) -> bool:
    """Return True for the name of an agent that must be trained."""
    if agent not in names():
        return False
    kind = find(agent)
    return isinstance(kind, type) and issubclass(kind, TrainableAgent)


def _image(env: Env) -> Array:
    """Return an image of shape (480, 480, 3); environments of other packages use their own size."""
    inner = env.unwrapped
    if isinstance(inner, ManipulationEnv):
        return inner.camera_images(["overview"], IMAGE_SIZE, IMAGE_SIZE)["overview"]
    return np.asarray(env.render(), dtype=np.uint8)


def pretrained() -> None:
    """List the pretrained agents: names, environments, demonstrations and folders."""
    with clear_errors():
        zoo = zoo_folder()
        table = Table("agent", "environments", "demonstrations", box=None)
        for name in pretrained_agents():
            description = read_description(zoo / name)
            learned = description["training"]["demonstrations"] or {}
            table.add_row(
                name,
                ", ".join(dict.fromkeys(env_id for env_id, _ in environments_of(description))),
                f"{learned.get('episodes', 0)} episodes",
            )
        console.print(table)
        console.print(f"in {zoo}", soft_wrap=True)


def publish(
    agent: SavedAgent,
    name: Annotated[str, typer.Argument(help="Name to publish it under, such as bc/LamGrasp-v0.")],
    out: Annotated[Path, typer.Option(help="Folder of published agents.")],
    episodes: Annotated[int, typer.Option(help="Episodes in each environment; the first seed is 1000.")] = 200,
    half_precision: Annotated[
        bool, typer.Option("--half-precision", help="Store weights with 16 bits, in half the space.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an agent of the same name.")] = False,
) -> None:
    """Evaluate a saved agent, and write it with a model card to the folder OUT/NAME.

    It is evaluated in the environments that it was trained in. The checksums of its files are added to
    OUT/SHA256SUMS.
    """
    with clear_errors("interrupted; nothing is saved"):
        from agents.deployment.pretrained import publishing  # late: it imports PyTorch, which not every command needs

        saved = saved_source(agent, "publish")
        folder = publishing.publish(
            saved.folder,
            name,
            out,
            episodes=episodes,
            half_precision=half_precision,
            overwrite=overwrite,
            progress=True,
        )
        console.print(f"published in {folder}", soft_wrap=True)


def push(
    folder: Annotated[str, typer.Argument(help="Folder of a published agent, or a pretrained agent.")],
    repository: Annotated[str, typer.Argument(help="Repository on the Hugging Face Hub, owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
) -> None:
    """Upload a published agent to the Hugging Face Hub.

    The account is that of `hf auth login`, or of the environment variable HF_TOKEN.
    """
    with clear_errors():
        from agents.deployment.pretrained import hub  # late: it imports PyTorch, which not every command needs

        published = saved_source(folder, "push").folder
        console.print(f"pushed to {hub.push(published, repository, private=private)}", soft_wrap=True)


def pull(
    repository: Annotated[str, typer.Argument(help="Repository on the Hugging Face Hub, owner/name.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit (pins the version); by default the main branch."),
    ] = None,
) -> None:
    """Download an agent from the Hugging Face Hub, and check it.

    Only settings, weights and card are downloaded, and loading them runs no code.
    """
    with clear_errors():
        from agents.deployment.pretrained import hub  # late: it imports PyTorch, which not every command needs

        console.print(f"saved in {hub.pull(repository, out, revision=revision)}", soft_wrap=True)
