"""Collect demonstrations into a Minari dataset, shard by shard.

A shard is written beside the dataset and appears under its name only when it is whole. A kill loses the shards
in flight; the same call then records what is missing. The finished dataset appears in one move.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
from filelock import FileLock, Timeout
from gymnasium.envs.registration import EnvSpec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import lam_envs
from demos.collection.demonstrators import policy_demonstrator
from demos.collection.plan import Plan
from demos.collection.recording import check_spaces
from demos.collection.shards import Shard, begin_run, merge, shards_of, write_shard
from demos.collection.versions import major_versions
from demos.datasets.loading import dataset_folder, datasets_root, load
from demos.datasets.metadata import HISTORY, PLAN, plan_of
from demos.datasets.writing import check_replaceable, publish
from demos.runtime.engines import Engine, Job, JobPath, LocalEngine
from demos.runtime.files import write_json
from lam_envs.registration import is_ours


def collect(
    env_id: str,
    *,
    episodes: int,
    seed: int = 0,
    demonstrator: str = "expert",
    strategy: str = "direct",
    policy: str | None = None,
    keep_failures: bool = False,
    jpeg: bool = False,
    env_kwargs: dict[str, Any] | None = None,
    workers: int = 1,
    engine: Engine | None = None,
    dataset_id: str | None = None,
    root: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Let an expert, or whatever acts, demonstrate, and stores what it did.

    Failed attempts are left out and counted in the metadata. If the dataset is there already with the same
    settings, it is returned as it is. What is in it does not depend on the number of workers.

    Args:
        env_id: Such as ``LamGrasp-v0``, one that was registered for a task of one's own, or with a policy any id.
        episodes: How many, at least 1.
        seed: Not negative; every episode's own seed is derived from it.
        demonstrator: ``expert``; ``noisy`` (disturbed actions, undisturbed labels); ``novice`` (slow, with detours);
            ``random``; or ``mixed``: each episode draws one.
        strategy: How things are approached: ``direct``, ``left``, ``right``, ``high``, or ``all``: each episode
            draws one. Numbers in the infos ``quality`` and ``strategy`` say which.
        policy: ``package.module:Name`` of somebody else's policy, which acts in place of the expert.
        keep_failures: Keep episodes that fail.
        jpeg: Store pictures as JPEG: smaller, and not what was seen.
        env_kwargs: Keywords for ``gym.make``.
        workers: Processes that record at the same time.
        engine: Where they run, in place of so many processes of this machine.
        dataset_id: Name of the dataset; by default one that tells the settings.
        root: The folder of all datasets; by default Minari's own.
        overwrite: Replace a dataset of that name that has other settings.
        progress: Show a bar.

    Returns:
        The dataset, with observations, actions, rewards, terminations, truncations, infos with the simulator's
        state, and the seed and a checksum of every episode.

    Raises:
        ValueError: An unknown environment or name, or a number out of range.
        FileExistsError: A dataset of that name has other settings, or another process is collecting it.
        RuntimeError: What acts fails again and again.
    """
    # With or without Gymnasium's prefix it is the same environment, so the same dataset.
    env_id = env_id.removeprefix("lam_envs:")
    if policy is None and not is_ours(env_id):
        raise ValueError(
            f"unknown environment {env_id!r}; expected one of {', '.join(lam_envs.ENV_IDS)}, or a policy to act in it"
        )
    plan = Plan(
        env_id,
        dict(env_kwargs or {}),
        episodes,
        seed,
        demonstrator,
        strategy,
        policy,
        keep_failures=keep_failures,
        jpeg=jpeg,
    )
    engine = engine or LocalEngine(workers)
    name = dataset_id or plan.default_id()
    folder = dataset_folder(name, root)
    partial = datasets_root(root) / ".partial" / name.replace("/", "__")
    env = gym.make(env_id, **plan.env_kwargs)
    try:
        _check_limit(env)
        check_spaces(env)
        if policy is not None:
            policy_demonstrator(policy, env)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{partial}.lock", timeout=0):
            return _collect(plan, env, engine, name, folder, partial, overwrite=overwrite, progress=progress)
    except Timeout:
        raise FileExistsError(f"another process is collecting {name}; wait for it") from None
    finally:
        env.close()


def _check_limit(env: gym.Env[Any, Any]) -> None:
    """Refuse an environment whose episodes may never end.

    Raises:
        ValueError: It has no time limit.
    """
    if env.spec is None or env.spec.max_episode_steps is None:
        raise ValueError(f"{env} has no time limit; register it with max_episode_steps")


def _collect(
    plan: Plan,
    env: gym.Env[Any, Any],
    engine: Engine,
    name: str,
    folder: Path,
    partial: Path,
    *,
    overwrite: bool,
    progress: bool,
) -> minari.MinariDataset:
    wanted = plan.as_json()
    check_replaceable(name, folder)
    if folder.exists() and _is_same(name, folder, wanted, overwrite=overwrite):
        _discard(partial)
        return load(folder)
    _prepare_partial(name, partial, wanted, overwrite=overwrite)
    try:
        _write_shards(plan, env, engine, partial, progress=progress)
    except RuntimeError:
        # What failed from the start leaves nothing that other settings would have to be weighed against.
        if not any(shard.folder(partial).exists() for shard in shards_of(plan.episodes)):
            _discard(partial)
        raise
    actor = plan.policy or f"scripted expert of lam-envs, acting as {plan.demonstrator}, {plan.strategy}"
    merged = merge(
        plan,
        env,
        partial,
        {
            "dataset_id": name,
            "algorithm_name": actor,
            "description": f"{plan.episodes} episodes of {plan.env_id} by {actor}",
            "requirements": [f"lam-envs=={lam_envs.__version__}"],
            PLAN: wanted,
        },
    )
    publish(merged, folder, partial)
    _discard(partial)
    return load(folder)


def _discard(partial: Path) -> None:
    """Remove a folder of shards under another name: a kill meanwhile leaves nothing that looks like shards."""
    doomed = partial.with_name(f"{partial.name}.discarded")
    shutil.rmtree(doomed, ignore_errors=True)
    if partial.exists():
        os.replace(partial, doomed)
        # A worker that outlives its killed parent for a moment may still be writing there.
        shutil.rmtree(doomed, ignore_errors=True)


def _is_same(name: str, folder: Path, wanted: dict[str, Any], *, overwrite: bool) -> bool:
    """Whether the dataset that is there is the one asked for; an error if it may not be replaced."""
    try:
        there = load(folder)
        _check_same(name, plan_of(there), wanted, "give it another id, or overwrite it")
        if HISTORY in there.storage.metadata:
            raise FileExistsError(f"dataset {name} was made of another one: give it another id, or overwrite it")
    except (FileExistsError, ValueError):
        if not overwrite:
            raise
        return False
    return True


def _check_same(name: str, found: dict[str, Any], wanted: dict[str, Any], advice: str) -> None:
    asked, there = _compared(wanted), _compared(found)
    different = [key for key in asked if there.get(key) != asked[key]]
    if different:
        details = "; ".join(f"{key}: found {there.get(key)!r}, asked {asked[key]!r}" for key in different)
        raise FileExistsError(f"dataset {name} exists with other settings ({details}): {advice}")


def _compared(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal in two plans: settings, versions of parts, major versions of libraries."""
    settings = {name: value for name, value in plan.items() if name not in ("versions", "libraries")}
    versions, libraries = plan.get("versions"), plan.get("libraries")
    # The plan may come from a file of a third party, and hold anything.
    parts = versions if isinstance(versions, dict) else {}
    named = libraries if isinstance(libraries, dict) else {}
    majors = major_versions({name: str(version) for name, version in named.items()})
    return {**settings, **parts, **{f"major version of {name}": version for name, version in majors.items()}}


def _prepare_partial(name: str, partial: Path, wanted: dict[str, Any], *, overwrite: bool) -> None:
    """Keep the shards of an interrupted collection if they are of this plan."""
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


def _write_shards(plan: Plan, env: gym.Env[Any, Any], engine: Engine, partial: Path, *, progress: bool) -> None:
    """Write what is missing."""
    run = begin_run(partial)
    missing = [shard for shard in shards_of(plan.episodes) if not shard.folder(partial).exists()]
    with Progress(
        TextColumn("[bold]collecting[/] {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not progress,
    ) as bar:
        shown = bar.add_task(plan.env_id, total=plan.episodes)
        bar.advance(shown, plan.episodes - sum(shard.size for shard in missing))
        spec = env.spec
        assert spec is not None  # noqa: S101  (what has a time limit has one)
        if isinstance(engine, LocalEngine) and (engine.workers == 1 or len(missing) < 2):
            for shard in missing:
                write_shard(plan, spec, shard, run, lambda: bar.advance(shown))
            return
        for size in _by_workers(plan, spec, engine, missing, run):
            bar.advance(shown, size)


def _by_workers(plan: Plan, spec: EnvSpec, engine: Engine, missing: list[Shard], run: Path) -> Iterator[int]:
    """Has workers write the shards; yields the size of each that is whole."""
    sizes = {f"shard {shard.number}": shard.size for shard in missing}
    partial = run.parent
    jobs = [
        Job(
            f"shard {shard.number}",
            write_shard,
            (plan, spec, shard, JobPath(run.name)),
            folder=partial,
            reads=(run.name,),
            writes=(shard.folder(partial).name,),
        )
        for shard in missing
    ]
    for job, _ in engine.run(jobs):
        yield sizes[job.name]
