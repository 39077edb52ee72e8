"""Jobs of a suite: collect demonstrations, train, evaluate, record videos.

Each job writes its output completely or not at all. A job that fails writes its traceback; the others go on.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import os
import random
import shutil
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import agents
import demos
from agents.evaluation.evaluation import evaluate
from agents.pretraining.settings import ENCODER
from agents.registry import ARCHIVE, find
from agents.spec import AgentSpec, TrainableAgent
from agents.training.saving import archive
from agents.training.saving.zoo import agent_path
from benchmarks.runner.encoders import EncoderJob, read_stored, save_encoder
from benchmarks.runner.results import (
    RECORDED_EPISODES,
    CellResult,
    PlannedCell,
    cell_path,
    failure_file,
    read_cell,
    video_file,
    video_info,
    video_info_file,
    write_cell,
)
from benchmarks.runner.trained import TrainingJob, describe_unfinished, read_training, save_trained
from benchmarks.runner.training import Curve, ReportingRun, measured_adaptation, train
from benchmarks.suite.conditions import Condition
from benchmarks.suite.demonstrations import Demonstrations
from benchmarks.suite.suite import PeriodicEvaluation, VideoSettings, has_learned
from demos.collection.video import policy_frames, write_video
from demos.datasets.metadata import episode_seeds
from demos.runtime.engines import progress
from demos.runtime.files import write_atomically, write_json

DATASETS = "datasets"
MAKING_SECONDS = 600.0
"""Wall time that an agent may take to be made or loaded; training has no limit."""


def attempt(name: str, work: Callable[..., None], folder: Path, *arguments: Any) -> str | None:
    """Do the work of a job, or write the traceback if it fails.

    Args:
        name: Name of the job.
        work: Function that is called with the folder and the arguments.
        folder: Results folder.
        arguments: Plain data.

    Returns:
        The traceback; None if nothing failed.
    """
    _quieten()
    # A third-party agent may draw from global generators: the same numbers in each run.
    seed = zlib.crc32(name.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    path = folder / failure_file(name)
    try:
        work(folder, *arguments)
    except BaseException:  # A third-party agent may raise anything.
        trace = traceback.format_exc()
        write_atomically(path, trace)
        return trace
    path.unlink(missing_ok=True)
    return None


def collect(folder: Path, wanted: Demonstrations, unseen: range) -> None:
    """Collect demonstrations, and check that they share no seed with the evaluation.

    Args:
        folder: Results folder.
        wanted: Demonstrations to collect.
        unseen: Seeds of the evaluation.

    Raises:
        ValueError: Demonstrations and evaluation share a seed.
    """
    module, _, own = wanted.environment.rpartition(":")
    if module:
        importlib.import_module(module)
    dataset = demos.collect(
        own,
        episodes=wanted.count,
        seed=wanted.seed,
        demonstrator=wanted.demonstrator,
        motion=wanted.motion,
        env_kwargs=wanted.env,
        dataset_id=wanted.id,
        root=folder / DATASETS,
        # A dataset that is there is outdated: this job only runs for a training that is missing.
        overwrite=True,
    )
    _check_unseen(wanted.environment, episode_seeds(dataset), unseen)


def _check_unseen(environment: str, demonstrated: Sequence[int], unseen: Sequence[int]) -> None:
    shared = set(demonstrated) & set(unseen)
    if shared:
        raise ValueError(
            f"demonstrations and evaluation of {environment} share the seeds {sorted(shared)}: "
            "choose another first_seed"
        )


def pretrain_encoder(folder: Path, wanted: EncoderJob) -> None:
    """Pre-train an encoder of images and save it.

    Args:
        folder: Results folder.
        wanted: Pre-training to carry out.

    Raises:
        FileNotFoundError: Its episodes could not be collected.
    """
    from agents.pretraining.pretraining import pretrain  # late: it imports PyTorch, which not every command needs

    _check_collected(folder, wanted.datasets)
    datasets = [demos.load(dataset.id, folder / DATASETS) for dataset in wanted.datasets]
    began, on_cpu = time.perf_counter(), time.process_time()
    encoder = pretrain(wanted.method, datasets, seed=wanted.seed, run=ReportingRun(), **wanted.settings)
    seconds, cpu = time.perf_counter() - began, time.process_time() - on_cpu
    seeds = [seed for dataset in datasets for seed in episode_seeds(dataset)]
    save_encoder(folder, wanted, encoder, seeds, seconds=round(seconds, 1), cpu_seconds=round(cpu, 1))


def _check_collected(folder: Path, datasets: Sequence[Demonstrations]) -> None:
    for dataset in datasets:
        if (folder / failure_file(dataset.id)).is_file():
            raise FileNotFoundError(f"its demonstrations were not collected: see {failure_file(dataset.id)}")


def train_agent(folder: Path, wanted: TrainingJob, periodic_eval: PeriodicEvaluation | None) -> None:
    """Train an agent and save it.

    Args:
        folder: Results folder.
        wanted: Training to carry out.
        periodic_eval: Evaluations during the training; None for none.

    Raises:
        FileNotFoundError: Its demonstrations could not be collected, or its encoder could not be pre-trained.
    """
    _check_collected(folder, wanted.datasets)
    settings, seeds = dict(wanted.settings), list[int]()
    encoder = wanted.encoder
    if encoder is not None and wanted.pretraining is not None:
        if (folder / failure_file(encoder.name)).is_file():
            raise FileNotFoundError(f"its encoder was not pre-trained: see {failure_file(encoder.name)}")
        settings |= {ENCODER: str(folder / encoder.path), "freeze_encoder": wanted.pretraining.freeze}
        seeds += read_stored(folder, encoder).seeds_of_demonstrations
    environments = [Condition(env=keywords).make(name) for name, keywords in wanted.environments]
    try:
        agent = agents.make(wanted.agent, environments[0], **settings)
        datasets = [demos.load(dataset.id, folder / DATASETS) for dataset in wanted.datasets]
        unfinished = describe_unfinished(folder, wanted)
        cost = train(agent, datasets, environments, seed=wanted.seed, periodic_eval=periodic_eval, folder=unfinished)
        seeds += [seed for dataset in datasets for seed in episode_seeds(dataset)]
        save_trained(folder, wanted, agent, cost, seeds)
        shutil.rmtree(unfinished, ignore_errors=True)
    finally:
        for env in environments:
            env.close()


def adapt_agent(folder: Path, wanted: TrainingJob, periodic_eval: PeriodicEvaluation | None) -> None:
    """Adapt a trained agent and save it, or the agent as it was if it did not become better.

    Args:
        folder: Results folder.
        wanted: Adaptation to carry out.
        periodic_eval: Not used; an adaptation has a check instead.

    Raises:
        FileNotFoundError: The training failed.
    """
    base, adaptation = wanted.base, wanted.adaptation
    assert base is not None and adaptation is not None  # noqa: S101, PT018  (for the type checker)
    if (folder / failure_file(base.name)).is_file():
        raise FileNotFoundError(f"its training failed: see {failure_file(base.name)}")
    _check_collected(folder, wanted.datasets)
    datasets = [demos.load(dataset.id, folder / DATASETS) for dataset in wanted.datasets]
    changed = Condition(env={**wanted.env, **adaptation.env}).make(wanted.environment)
    home = Condition(env=wanted.env).make(wanted.environment)
    try:
        adapted, cost = measured_adaptation(
            folder / base.path,
            changed,
            home,
            method=adaptation.method,
            budget=adaptation.budget,
            seed=wanted.seed,
            replay=datasets or None,
            **adaptation.settings,
        )
    finally:
        changed.close()
        home.close()
    curve = (
        None if periodic_eval is None else Curve("steps", periodic_eval.episodes, (), (), periodic_eval.evaluations)
    )
    seeds = read_training(folder, base).seeds_of_demonstrations
    save_trained(folder, wanted, adapted.agent, replace(cost, curve=curve), seeds)


def measure(folder: Path, planned: PlannedCell, episode_seconds: int) -> None:
    """Evaluate a cell's agent and write the result.

    Args:
        folder: Results folder.
        planned: Cell to measure.
        episode_seconds: Wall time after which the engine ends an episode and this job.

    Raises:
        FileNotFoundError: Its training failed.
        ValueError: The agent learned from an episode with a seed of the evaluation.
    """
    cell = planned.cell
    seeds = range(cell.first_seed, cell.first_seed + cell.episodes)
    write_cell(folder, measure_episodes(folder, planned, seeds, episode_seconds))


def measure_episodes(folder: Path, planned: PlannedCell, seeds: Sequence[int], episode_seconds: int) -> CellResult:
    """Evaluate a cell's agent in some episodes.

    Args:
        folder: Results folder.
        planned: Cell to measure.
        seeds: Seeds of the episodes.
        episode_seconds: Wall time after which the engine ends an episode and this job.

    Raises:
        FileNotFoundError: Its training failed.
        ValueError: The agent learned from an episode with a seed of the evaluation.
    """
    cell, wanted = planned.cell, planned.training
    done = itertools.count()

    def begin(seed: int) -> None:
        progress.report(next(done) / len(seeds))
        progress.limit(f"the episode with seed {seed}", episode_seconds)

    env = cell.perturbation.make(cell.environment)
    try:
        agent = _agent(folder, planned, env)
        stored = None if wanted is None else read_training(folder, wanted)
        if stored is not None:
            _check_unseen(cell.environment, stored.seeds_of_demonstrations, seeds)
        began = time.perf_counter()
        result = evaluate(agent, env, seeds=seeds, episode_seconds=None, on_episode=begin)
        progress.no_limit()
        evaluated = round(time.perf_counter() - began, 1)
    finally:
        env.close()
    took = None if stored is None else stored.training
    return CellResult(cell, result, planned.provenance, took, evaluated)


def record_videos(folder: Path, planned: PlannedCell, videos: VideoSettings, seconds: float) -> None:
    """Record the median and the worst episode of a cell, by success and then by return.

    Args:
        folder: Results folder.
        planned: Cell that was measured.
        videos: Settings of the videos.
        seconds: Wall time after which the engine ends an episode and this job.

    Raises:
        FileNotFoundError: The cell has no result.
    """
    cell = planned.cell
    if (folder / failure_file(cell.name)).is_file():
        raise FileNotFoundError(f"{cell.name} failed")
    episodes = read_cell(cell_path(folder, cell)).evaluation.episodes
    ranked = sorted(episodes, key=lambda episode: (episode.success, episode.episode_return, episode.seed))
    chosen = dict(zip(RECORDED_EPISODES, (ranked[len(ranked) // 2], ranked[0]), strict=True))
    size = {"render_width": videos.size, "render_height": videos.size}
    env = cell.perturbation.make(cell.environment, render_mode="rgb_array", **size)
    try:
        agent = _agent(folder, planned, env)
        for which, episode in chosen.items():
            progress.limit(f"the video of the episode with seed {episode.seed}", seconds)
            frames = policy_frames(env, agent, [episode.seed])
            write_video(frames, folder / video_file(cell, which), fps=env.metadata["render_fps"])
        progress.no_limit()
    finally:
        env.close()
    recorded = {which: {"seed": each.seed, "success": each.success} for which, each in chosen.items()}
    write_json(folder / video_info_file(cell), {**video_info(planned, videos), "episodes": recorded})


def _agent(folder: Path, planned: PlannedCell, env: Any) -> Any:
    """Return a cell's agent, loaded from its files: the results hold for what others load."""
    cell, wanted = planned.cell, planned.training
    progress.limit("making or loading the agent", MAKING_SECONDS)
    if cell.agent.endswith(ARCHIVE):
        # The suite was read with allow_pickle.
        return archive.load(cell.agent, env, **cell.settings)
    if has_learned(cell.agent):
        return agents.load(agent_path(cell.agent), env, **cell.settings)
    if wanted is None:
        made = agents.make(cell.agent, env, **cell.settings)
        if isinstance(find(cell.agent), AgentSpec) and isinstance(made, TrainableAgent):
            raise ValueError(f"agent {cell.agent!r} makes an untrained agent: name its class, so that it is trained")
        return made
    if (folder / failure_file(wanted.name)).is_file():
        raise FileNotFoundError(f"its training failed: see {failure_file(wanted.name)}")
    # A residual policy is another agent than the one that it corrects.
    name = cell.agent if wanted.adaptation is None else None
    return agents.load(folder / wanted.path, env, agent=name)


def _quieten() -> None:
    """Keep warnings and progress bars off the terminal, which shows those of the parent process."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore", UserWarning)
    os.environ.setdefault("TQDM_DISABLE", "1")
