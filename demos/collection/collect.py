"""Collect demonstrations into a Minari dataset, shard by shard.

Each shard is written to a temporary folder and renamed when it is complete. An interruption loses only the shards
in progress; the same call then records the missing ones. The finished dataset is published atomically.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import minari
from filelock import FileLock, Timeout
from gymnasium.envs.registration import EnvSpec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import lam_envs
from demos.collection.demonstrators import make_policy_demonstrator
from demos.collection.human_demonstrator import TELEOP, HumanDemonstrator
from demos.collection.plan import Plan
from demos.collection.recording import check_spaces
from demos.collection.shards import Shard, begin_run, merge, shards_of, write_shard
from demos.collection.versions import major_versions
from demos.datasets.loading import dataset_folder, datasets_root, load
from demos.datasets.metadata import HISTORY, PLAN, holds_images, plan_of, small_images
from demos.datasets.writing import check_replaceable, publish
from demos.runtime.console import console
from demos.runtime.engines import Engine, Job, JobPath, LocalEngine
from demos.runtime.files import write_json
from demos.runtime.types import Env, JsonObject, Keywords
from lam_envs.registration import is_lam_env
from lam_envs.validation import unknown_name

LOCK_SECONDS = 5.0
"""Wall time to wait for a dataset that another process writes: workers of a killed run end within it."""


def collect(
    env_id: str,
    *,
    episodes: int,
    seed: int = 0,
    demonstrator: str = "expert",
    strategy: str = "direct",
    policy: str | None = None,
    motion: JsonObject | None = None,
    keep_failures: bool = False,
    jpeg: bool = False,
    env_kwargs: Keywords | None = None,
    workers: int = 1,
    engine: Engine | None = None,
    dataset_id: str | None = None,
    root: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Collect demonstrations of an expert or another policy into a dataset.

    Failed attempts are left out and counted in the metadata. A dataset that already exists with the same settings
    is returned unchanged. The dataset does not depend on the number of workers.

    Args:
        env_id: Environment id, such as ``LamGrasp-v0`` or that of your own task; with a policy, any registered id.
        episodes: Number of episodes, at least 1.
        seed: Seed from which the seed of each episode is derived; not negative.
        demonstrator: ``expert``; ``noisy`` (noisy actions, noise-free labels); ``novice`` (slow, with detours);
            ``random``; or ``mixed``: each episode draws one.
        strategy: Path of the tool toward objects: ``direct``, ``left``, ``right``, ``high``, or ``all``, which draws
            one for each episode. The infos ``quality`` (the name in the file format for the demonstrator) and
            ``strategy`` hold their indices.
        policy: ``package.module:Name`` of a third-party policy that acts in place of the expert.
        motion: Motion of a person that the robot imitates, see :mod:`demos.human`, as JSON; the demonstrator is then
            ``human``. The infos ``kept_deviation`` and ``path_distance`` say how closely.
        keep_failures: Keep episodes that fail.
        jpeg: Store images as JPEG: smaller, with loss. Images that are smaller than 32 x 32 pixels are stored
            uncompressed.
        env_kwargs: Keywords for ``gym.make``.
        workers: Number of processes that record at the same time.
        engine: Engine that runs the jobs, in place of ``workers`` processes on this machine.
        dataset_id: Id of the dataset; derived from the settings by default.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace a dataset of that id that has other settings.
        progress: Show a progress bar.

    Returns:
        The dataset, with observations, actions, rewards, terminations, truncations, infos that include the
        state, and the seed and a checksum of every episode.

    Raises:
        TypeError: ``env_id`` is no string, such as an environment.
        ValueError: The environment or a name is unknown, a number is out of range, or an action of the policy is
            outside of the action space.
        OSError: The disk is full.
        FileExistsError: A dataset of that id has other settings, or another process is collecting it.
        RuntimeError: The demonstrator fails too often.
    """
    if not isinstance(env_id, str):
        raise TypeError(f"env_id is {env_id!r}: expected an id, such as LamReach-v0")
    # The id with Gymnasium's module prefix names the same environment.
    env_id = env_id.removeprefix("lam_envs:")
    if policy is None and not is_lam_env(env_id):
        raise ValueError(
            f"{unknown_name('environment', env_id, lam_envs.ENV_IDS)}. For a task of your own, "
            "import the module that registers it (python -m demos --import MODULE collect ...) and give the id "
            "without a module. In other environments there is no expert: give a --policy"
        )
    if demonstrator == TELEOP:
        raise ValueError(
            f"demonstrator {TELEOP!r} is a person who controls the robot in a browser: run python -m demos teleop "
            f"{env_id}"
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
        motion=motion,
    )
    engine = engine or LocalEngine(workers)
    name = dataset_id or plan.default_id()
    folder = dataset_folder(name, root)
    partial = datasets_root(root) / ".partial" / name.replace("/", "__")
    env = gym.make(env_id, **plan.env_kwargs)
    try:
        _check_limit(env)
        check_spaces(env)
        if jpeg and progress:
            _print_uncompressed(env)
        if policy is not None:
            make_policy_demonstrator(policy, env)
        if motion is not None:
            HumanDemonstrator(env, motion)
        # Several trainings may begin with the same complete dataset at once: they need no lock.
        if not partial.exists() and _is_complete(name, folder, plan.as_json(), overwrite=overwrite):
            return load(folder)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{partial}.lock", timeout=LOCK_SECONDS):
            return _collect(plan, env, engine, name, folder, partial, overwrite=overwrite, progress=progress)
    except Timeout:
        raise FileExistsError(f"another process is collecting {name}; wait for it") from None
    finally:
        env.close()


def _print_uncompressed(env: Env) -> None:
    """Print the images that are stored uncompressed despite ``jpeg``."""
    if small := small_images(env.observation_space):
        console.print(f"not stored as JPEG, but uncompressed: {', '.join(small)}; JPEG needs at least 32 x 32 pixels")
    elif not holds_images(env.observation_space):
        console.print("the observations have no images: JPEG has no effect")


def _check_limit(env: Env) -> None:
    """Check that an environment has a time limit, so that its episodes end.

    Raises:
        ValueError: It has no time limit.
    """
    if env.spec is None or env.spec.max_episode_steps is None:
        raise ValueError(f"{env} has no time limit; register it with max_episode_steps")


def _collect(
    plan: Plan,
    env: Env,
    engine: Engine,
    name: str,
    folder: Path,
    partial: Path,
    *,
    overwrite: bool,
    progress: bool,
) -> minari.MinariDataset:
    plan_json = plan.as_json()
    if _is_complete(name, folder, plan_json, overwrite=overwrite):
        _discard(partial)
        return load(folder)
    _prepare_partial(name, partial, plan_json, overwrite=overwrite)
    try:
        _write_shards(plan, env, engine, partial, progress=progress)
    except Exception:
        # Without a finished shard, other settings may use this id.
        if not any(shard.folder(partial).exists() for shard in shards_of(plan.episodes, env.observation_space)):
            _discard(partial)
        raise
    actor = plan.policy or f"scripted expert of lam-envs, acting as {plan.demonstrator}, {plan.strategy}"
    if plan.motion is not None:
        actor = f"imitation of a person ({plan.motion.get('source', 'unknown')})"
    merged = merge(
        plan,
        env,
        partial,
        {
            "dataset_id": name,
            "algorithm_name": actor,
            "description": f"{plan.episodes} episodes of {plan.env_id} by {actor}",
            "requirements": [f"lam-envs=={lam_envs.__version__}"],
            PLAN: plan_json,
        },
    )
    publish(merged, folder, partial)
    _discard(partial)
    return load(folder)


def _discard(partial: Path) -> None:
    """Rename a folder of shards, then remove it, so that an interruption leaves nothing that looks like shards."""
    discarded = partial.with_name(f"{partial.name}.discarded")
    shutil.rmtree(discarded, ignore_errors=True)
    if partial.exists():
        os.replace(partial, discarded)
        # A worker may outlive its killed parent for a moment and write there.
        shutil.rmtree(discarded, ignore_errors=True)


def _is_complete(name: str, folder: Path, plan_json: JsonObject, *, overwrite: bool) -> bool:
    """Return True if there is a dataset of the same plan, and False if there is none, or one that may be replaced.

    Raises:
        FileExistsError: The folder is not a dataset, or is one of another plan that must not be replaced.
    """
    check_replaceable(name, folder)
    if not folder.exists():
        return False
    try:
        existing = load(folder)
        check_same(name, plan_of(existing), plan_json, "choose another id, or overwrite it")
        if HISTORY in existing.storage.metadata:
            raise FileExistsError(f"dataset {name} was made from another one; choose another id, or overwrite it")
    except (FileExistsError, ValueError):
        if not overwrite:
            raise
        return False
    return True


def check_same(name: str, found: JsonObject, plan_json: JsonObject, advice: str) -> None:
    """Check that the plan of an existing dataset has the requested settings.

    Args:
        name: Id of the dataset.
        found: Plan of the dataset, which need not be trusted.
        plan_json: Requested plan; settings that it lacks are not compared.
        advice: Advice for the error.

    Raises:
        FileExistsError: It has other settings.
    """
    # In a file, tuples are lists.
    requested, existing = _comparable(json.loads(json.dumps(plan_json))), _comparable(found)
    different = [key for key in requested if existing.get(key) != requested[key]]
    if different:
        details = "; ".join(
            f"{key}: found {_short(existing.get(key))}, requested {_short(requested[key])}" for key in different
        )
        raise FileExistsError(f"dataset {name} exists with other settings ({details}); {advice}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _comparable(plan: JsonObject) -> JsonObject:
    """Return the entries that two equal plans share: settings, versions of parts, major versions of libraries."""
    settings = {name: value for name, value in plan.items() if name not in ("versions", "libraries")}
    versions, libraries = plan.get("versions"), plan.get("libraries")
    # The plan may come from a third-party file and hold anything.
    parts = versions if isinstance(versions, dict) else {}
    named = libraries if isinstance(libraries, dict) else {}
    majors = major_versions({name: str(version) for name, version in named.items()})
    return {**settings, **parts, **{f"major version of {name}": version for name, version in majors.items()}}


def _prepare_partial(name: str, partial: Path, plan_json: JsonObject, *, overwrite: bool) -> None:
    """Prepare the folder of shards; keep the shards of an interrupted collection with the same plan."""
    plan_file = partial / "plan.json"
    if plan_file.exists():
        advice = "an interrupted collection of that id has them; choose another id, or overwrite it"
        try:
            check_same(name, json.loads(plan_file.read_text()), plan_json, advice)
        except (FileExistsError, ValueError):
            if not overwrite:
                raise
            _discard(partial)
    else:
        # The plan of these shards is unknown.
        _discard(partial)
    write_json(plan_file, plan_json)


def _write_shards(plan: Plan, env: Env, engine: Engine, partial: Path, *, progress: bool) -> None:
    """Write the missing shards."""
    run = begin_run(partial)
    shards = shards_of(plan.episodes, env.observation_space)
    missing = [shard for shard in shards if not shard.folder(partial).exists()]
    with Progress(
        TextColumn("[bold]collecting[/] {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not progress,
    ) as bar:
        task = bar.add_task(plan.env_id, total=plan.episodes)
        bar.advance(task, plan.episodes - sum(shard.size for shard in missing))
        spec = env.spec
        assert spec is not None  # noqa: S101  (an environment with a time limit has a spec)
        if isinstance(engine, LocalEngine) and (engine.workers == 1 or len(missing) < 2):
            for shard in missing:
                write_shard(plan, spec, shard, run, lambda: bar.advance(task))
            return
        for size in _write_by_engine(plan, spec, engine, missing, run):
            bar.advance(task, size)


def _write_by_engine(plan: Plan, spec: EnvSpec, engine: Engine, missing: list[Shard], run: Path) -> Iterator[int]:
    """Write shards as jobs of an engine; yield the size of each finished shard."""
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
