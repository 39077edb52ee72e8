"""Collect demonstrations into a Minari dataset, shard by shard.

A shard is written beside the dataset and appears under its name only when it is whole. A kill loses the shard
in flight; the same call then goes on after the last whole one. The finished dataset appears in one move.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from filelock import FileLock, Timeout
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import lam_envs
from demos.dataset import DATA_FILE, PLAN, dataset_folder, datasets_root, load, plan_of
from demos.experts import ExpertPolicy, make_expert
from demos.files import code_fingerprint, write_json
from demos.recording import Episode, record, rollout
from lam_envs.registration import is_ours

SHARD_EPISODES = 25
"""A few seconds of work."""
MAX_CONSECUTIVE_FAILURES = 50
"""An expert that fails so often in a row will not succeed."""
PACKAGES = ("gymnasium", "minari", "numpy", "pybullet")


@dataclass(frozen=True)
class Plan:
    """What a collection consists of; two collections with equal plans are the same, bit for bit.

    Attributes:
        env_id: A registered id of lam_envs.
        env_kwargs: Keywords for ``gym.make``.
        episodes: How many successful episodes.
        seed: From which every episode's own seed is derived.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    episodes: int
    seed: int

    def default_id(self) -> str:
        """A dataset id that tells the plan."""
        keywords = "".join(f"-{name}-{value}" for name, value in sorted(self.env_kwargs.items()))
        task = self.env_id.removesuffix("-v0")
        safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in keywords)
        return f"lam/{task}{safe}-expert-{self.episodes}-seed{self.seed}-v0"

    def as_json(self) -> dict[str, Any]:
        """The plan with the versions of the code that carries it out."""
        versions = {name: packages.version(name) for name in PACKAGES}
        versions |= {"lam_envs": lam_envs.__version__, "python": platform.python_version()}
        versions["code"] = code_fingerprint("lam_envs", "demos")
        return {
            "env_id": self.env_id,
            "env_kwargs": self.env_kwargs,
            "episodes": self.episodes,
            "seed": self.seed,
            "actor": "expert",
            "versions": versions,
        }


def episode_seed(seed: int, index: int) -> int:
    """Returns the seed of a collection's episode: the same whatever the number of episodes, 32 bits."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def collect(
    env_id: str,
    *,
    episodes: int,
    seed: int = 0,
    env_kwargs: dict[str, Any] | None = None,
    dataset_id: str | None = None,
    root: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Lets the expert demonstrate, and stores what it did.

    Failed attempts are left out and counted in the metadata. If the dataset is there already with the same
    settings, it is returned as it is.

    Args:
        env_id: Such as ``LamGrasp-v0``, or one that was registered for a task of one's own.
        episodes: How many successful episodes, at least 1.
        seed: Not negative; every episode's own seed is derived from it.
        env_kwargs: Keywords for ``gym.make``.
        dataset_id: Name of the dataset; by default one that tells the settings.
        root: The folder of all datasets; by default Minari's own.
        overwrite: Replace a dataset of that name that has other settings.
        progress: Show a bar.

    Returns:
        The dataset, with observations, actions, rewards, terminations, truncations, infos with the simulator's
        state, and the seed of every episode.

    Raises:
        ValueError: An unknown environment, or a number out of range.
        FileExistsError: A dataset of that name has other settings, or another process is collecting it.
        RuntimeError: The expert fails again and again.
    """
    if not is_ours(env_id):
        raise ValueError(f"unknown environment {env_id!r}; expected one of {', '.join(lam_envs.ENV_IDS)}")
    if episodes < 1 or seed < 0:
        raise ValueError(f"episodes is {episodes} and seed is {seed}; expected at least 1 and at least 0")
    plan = Plan(env_id, dict(env_kwargs or {}), episodes, seed)
    name = dataset_id or plan.default_id()
    folder = dataset_folder(name, root)
    partial = datasets_root(root) / ".partial" / name.replace("/", "__")
    env = gym.make(env_id, **plan.env_kwargs)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{partial}.lock", timeout=0):
            return _collect(plan, env, name, folder, partial, overwrite=overwrite, progress=progress)
    except Timeout:
        raise FileExistsError(f"another process is collecting {name}; wait for it") from None
    finally:
        env.close()


def _collect(
    plan: Plan,
    env: gym.Env[Any, Any],
    name: str,
    folder: Path,
    partial: Path,
    *,
    overwrite: bool,
    progress: bool,
) -> minari.MinariDataset:
    wanted = plan.as_json()
    if folder.exists() and _is_same(name, folder, wanted, overwrite=overwrite):
        _discard(partial)
        return load(folder)
    _check_replaceable(name, folder)
    _prepare_partial(name, partial, wanted, overwrite=overwrite)
    _write_shards(plan, env, partial, progress=progress)
    merged = _merge(plan, env, name, partial)
    # Only now, that the new one is whole, an old one goes.
    if folder.exists():
        shutil.rmtree(partial / "replaced", ignore_errors=True)
        os.replace(folder, partial / "replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(merged, folder)
    _discard(partial)
    return load(folder)


def _check_replaceable(name: str, folder: Path) -> None:
    """Refuses to replace a folder that is no dataset, damaged or not."""
    if folder.exists() and not any((folder / file).exists() for file in (DATA_FILE, METADATA_FILE_NAME)):
        raise FileExistsError(f"{folder} is no dataset: it is not replaced by {name}")


def _discard(partial: Path) -> None:
    """Removes a folder of shards under another name: a kill meanwhile leaves nothing that looks like shards."""
    doomed = partial.with_name(f"{partial.name}.discarded")
    shutil.rmtree(doomed, ignore_errors=True)
    if partial.exists():
        os.replace(partial, doomed)
        shutil.rmtree(doomed)


def _is_same(name: str, folder: Path, wanted: dict[str, Any], *, overwrite: bool) -> bool:
    """Whether the dataset that is there is the one asked for; an error if it may not be replaced."""
    try:
        _check_same(name, plan_of(load(folder)), wanted, "give it another id, or overwrite it")
    except (FileExistsError, ValueError):
        if not overwrite:
            raise
        return False
    return True


def _check_same(name: str, found: dict[str, Any], wanted: dict[str, Any], advice: str) -> None:
    # Versions stand beside the settings, so that only what differs is named.
    asked = {**wanted, **wanted["versions"], "versions": None}
    there = {**found, **(found.get("versions") or {}), "versions": None}
    different = [key for key in asked if there.get(key) != asked[key]]
    if different:
        details = "; ".join(f"{key}: found {there.get(key)!r}, asked {asked[key]!r}" for key in different)
        raise FileExistsError(f"dataset {name} exists with other settings ({details}): {advice}")


def _prepare_partial(name: str, partial: Path, wanted: dict[str, Any], *, overwrite: bool) -> None:
    """Keeps the shards of an interrupted collection if they are of this plan."""
    plan_file = partial / "plan.json"
    if plan_file.exists():
        advice = "an interrupted collection of that name has them; give another id, or overwrite it"
        try:
            _check_same(name, json.loads(plan_file.read_text()), wanted, advice)
        except (FileExistsError, ValueError):
            if not overwrite:
                raise
            _discard(partial)
    else:
        # Shards that do not say what they are of.
        _discard(partial)
    write_json(plan_file, wanted)


def _write_shards(plan: Plan, env: gym.Env[Any, Any], partial: Path, *, progress: bool) -> None:
    """Writes what is missing: each shard knows how many attempts were made up to its end."""
    expert = make_expert(env)
    done = attempt = dropped = 0
    number = 0
    with Progress(
        TextColumn("[bold]collecting[/] {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeRemainingColumn(),
        disable=not progress,
    ) as bar:
        shown = bar.add_task(plan.env_id, total=plan.episodes)
        while done < plan.episodes:
            shard = partial / f"shard-{number:05d}"
            size = min(SHARD_EPISODES, plan.episodes - done)
            if not shard.exists():
                writing = partial / f"writing-{number:05d}"
                shutil.rmtree(writing, ignore_errors=True)
                storage = MinariStorage.new(
                    writing, env.observation_space, env.action_space, _spec(env), jpeg_encoding=False
                )
                while storage.total_episodes < size:
                    episode, attempt, failed = _attempts(plan, env, expert, attempt)
                    dropped += failed
                    storage.update_episodes([_buffer(episode)])
                    bar.advance(shown)
                write_json(writing / "shard.json", {"attempt": attempt, "dropped": dropped})
                os.replace(writing, shard)
            else:
                record_of = json.loads((shard / "shard.json").read_text())
                attempt, dropped = int(record_of["attempt"]), int(record_of["dropped"])
                bar.advance(shown, size)
            done += size
            number += 1
    write_json(partial / "finished.json", {"dropped": dropped, "shards": number})


def _attempts(plan: Plan, env: gym.Env[Any, Any], expert: ExpertPolicy, attempt: int) -> tuple[Episode, int, int]:
    """Tries until an episode succeeds; returns it, the next attempt's number and how many failed."""
    for failed in range(MAX_CONSECUTIVE_FAILURES):
        seed = episode_seed(plan.seed, attempt + failed)
        episode = record(env, rollout(env, expert, seed), seed)
        if episode.infos["is_success"][-1]:
            return episode, attempt + failed + 1, failed
    raise RuntimeError(
        f"the expert failed {MAX_CONSECUTIVE_FAILURES} times in a row in {plan.env_id} with {plan.env_kwargs}"
    )


def _merge(plan: Plan, env: gym.Env[Any, Any], name: str, partial: Path) -> Path:
    """Puts the shards into one dataset; returns its folder."""
    merged = partial / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    storage = MinariStorage.new(merged, env.observation_space, env.action_space, _spec(env), jpeg_encoding=False)
    finished = json.loads((partial / "finished.json").read_text())
    for number in range(finished["shards"]):
        shard = MinariStorage.read(partial / f"shard-{number:05d}")
        indices = range(shard.total_episodes)
        seeds = [episode["seed"] for episode in shard.get_episode_metadata(indices)]
        # Minari's own way of combining storages forgets the seeds.
        buffers = [
            EpisodeBuffer(
                seed=seed,
                observations=data["observations"],
                actions=data["actions"],
                rewards=data["rewards"],
                terminations=data["terminations"],
                truncations=data["truncations"],
                infos=data["infos"],
            )
            for seed, data in zip(seeds, shard.get_episodes(indices), strict=True)
        ]
        storage.update_episodes(buffers)
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": packages.version("minari"),
            "algorithm_name": "scripted expert of lam-envs",
            "description": f"{plan.episodes} successful expert episodes of {plan.env_id}",
            "requirements": [f"lam-envs=={lam_envs.__version__}"],
            "lam_envs_dropped": finished["dropped"],
            PLAN: plan.as_json(),
        }
    )
    return merged


def _spec(env: gym.Env[Any, Any]) -> EnvSpec | None:
    """The specification for Minari; None where it holds a task or robot itself, which JSON cannot."""
    if env.spec is None:
        return None
    try:
        env.spec.to_json()
    except TypeError:
        return None
    return env.spec


def _buffer(episode: Episode) -> EpisodeBuffer:
    return EpisodeBuffer(
        seed=episode.seed,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards.tolist(),
        terminations=episode.terminations.tolist(),
        truncations=episode.truncations.tolist(),
        infos=episode.infos,
    )
