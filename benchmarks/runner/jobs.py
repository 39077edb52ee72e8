"""What the jobs of a suite do: collect demonstrations, train, measure, video.

Each writes what it makes at once or not at all. One that fails writes down why, and the others go on.
"""

from __future__ import annotations

import importlib
import logging
import os
import random
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import agents
import demos
from agents.evaluation.deadline import Deadline
from agents.evaluation.evaluation import evaluate
from agents.registry import ARCHIVE, is_saved
from agents.saving import archive
from benchmarks.runner.results import (
    RECORDED_EPISODES,
    CellResult,
    cell_path,
    cell_provenance,
    failure_file,
    read_cell,
    video_file,
    video_info,
    video_info_file,
    write_cell,
)
from benchmarks.runner.trained import TrainingJob, keep, read_training, seeds_of_demonstrations
from benchmarks.runner.training import train
from benchmarks.suite.conditions import Condition
from benchmarks.suite.suite import Cell, Demonstrations, PeriodicEvaluation, VideoSettings
from demos.collection.recording import Policy
from demos.collection.video import policy_frames, write_video
from demos.datasets.metadata import episode_seeds
from demos.runtime.engines import progress
from demos.runtime.files import write_atomically, write_json

DATASETS = "datasets"
MAKING_SECONDS = 600.0
"""That an agent may take to be made or loaded; how long it learns is its own affair."""
DRAWING_SECONDS = 600.0
"""Wall time for drawing the images of an episode, in addition to the time of its agent."""


def attempt(name: str, work: Callable[..., None], folder: Path, *arguments: Any) -> str | None:
    """Job: does some work, or writes down why that failed.

    Args:
        name: Of what is made.
        work: Called with the folder and the arguments.
        folder: Of results.
        arguments: Plain data.

    Returns:
        The traceback; None if nothing failed.
    """
    _quieten()
    # What a stranger draws from global generators is the same each time.
    seed = zlib.crc32(name.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    path = folder / failure_file(name)
    try:
        work(folder, *arguments)
    except BaseException:  # whatever a stranger's agent may raise
        told = traceback.format_exc()
        write_atomically(path, told)
        return told
    path.unlink(missing_ok=True)
    return None


def collect(folder: Path, wanted: Demonstrations, unseen: range) -> None:
    """Collects demonstrations, and checks that the evaluation does not have their seeds.

    Args:
        folder: Of results.
        wanted: What to collect.
        unseen: Seeds of the evaluation.

    Raises:
        ValueError: They share a seed.
    """
    module, _, own = wanted.environment.rpartition(":")
    if module:
        importlib.import_module(module)
    dataset = demos.collect(
        own,
        episodes=wanted.count,
        seed=wanted.seed,
        demonstrator=wanted.demonstrator,
        dataset_id=wanted.id,
        root=folder / DATASETS,
        # What was collected by other code or with other settings is of no use here.
        overwrite=True,
    )
    _check_unseen(wanted.environment, episode_seeds(dataset), unseen)


def _check_unseen(environment: str, shown: Sequence[int], unseen: range) -> None:
    shared = set(shown) & set(unseen)
    if shared:
        raise ValueError(
            f"demonstrations and evaluation of {environment} share the seeds {sorted(shared)}: "
            "choose another first_seed"
        )


def train_agent(folder: Path, wanted: TrainingJob, watching: PeriodicEvaluation | None) -> None:
    """Trains an agent and keeps it.

    Args:
        folder: Of results.
        wanted: What to train.
        watching: How closely its success is watched; None for not at all.

    Raises:
        FileNotFoundError: Its demonstrations could not be collected.
    """
    shown = wanted.demonstrations
    if shown is not None and (folder / failure_file(shown.id)).is_file():
        raise FileNotFoundError(f"its demonstrations were not collected: see {failure_file(shown.id)}")
    env = Condition().make(wanted.environment)
    try:
        agent = agents.make(wanted.agent, env, **wanted.settings)
        demonstrations = None if shown is None else demos.load(shown.id, folder / DATASETS)
        took = train(agent, demonstrations, env, seed=wanted.seed, watching=watching)
        keep(folder, wanted, agent, took, [] if demonstrations is None else episode_seeds(demonstrations))
    finally:
        env.close()


def measure(folder: Path, cell: Cell, episode_seconds: int) -> None:
    """Evaluates a cell's agent, and writes the result.

    Args:
        folder: Of results.
        cell: What to measure.
        episode_seconds: Wall time that an episode may take.

    Raises:
        FileNotFoundError: Its training failed.
        TimeoutError: An episode took longer, or the agent took too long to load.
        ValueError: It learned from an episode with a seed of the evaluation.
    """
    wanted = TrainingJob.of(cell)
    seeds = range(cell.first_seed, cell.first_seed + cell.episodes)
    env = cell.under.make(cell.environment)
    try:
        with Deadline(MAKING_SECONDS, "making or loading the agent"):
            agent = _agent(folder, cell, env)
        took = None if wanted is None else read_training(folder, wanted)
        if wanted is not None:
            _check_unseen(cell.environment, seeds_of_demonstrations(folder, wanted), seeds)
        began = time.perf_counter()
        result = evaluate(_Counting(agent, cell.episodes), env, seeds=seeds, episode_seconds=episode_seconds)
        evaluated = round(time.perf_counter() - began, 1)
    finally:
        env.close()
    write_cell(folder, CellResult(cell, result, cell_provenance(cell), took, evaluated))


def record_videos(folder: Path, cell: Cell, videos: VideoSettings, episode_seconds: int) -> None:
    """Records the median and the worst episode of a cell, by success and then by return.

    Args:
        folder: Of results.
        cell: As it was measured.
        videos: How large.
        episode_seconds: Wall time that an episode may take, without drawing it, seconds.

    Raises:
        FileNotFoundError: It was not measured.
        TimeoutError: An episode took longer, or the agent took too long to load.
    """
    if (folder / failure_file(cell.name)).is_file():
        raise FileNotFoundError(f"{cell.name} failed")
    episodes = read_cell(cell_path(folder, cell)).evaluation.episodes
    ranked = sorted(episodes, key=lambda episode: (episode.success, episode.episode_return, episode.seed))
    chosen = dict(zip(RECORDED_EPISODES, (ranked[len(ranked) // 2], ranked[0]), strict=True))
    size = {"render_width": videos.size, "render_height": videos.size}
    env = cell.under.make(cell.environment, render_mode="rgb_array", **size)
    try:
        with Deadline(MAKING_SECONDS, "making or loading the agent"):
            agent = _agent(folder, cell, env)
        for which, episode in chosen.items():
            with Deadline(episode_seconds + DRAWING_SECONDS, f"the video of the episode with seed {episode.seed}"):
                frames = policy_frames(env, agent, [episode.seed])
                write_video(frames, folder / video_file(cell, which), fps=env.metadata["render_fps"])
    finally:
        env.close()
    shown = {which: {"seed": each.seed, "success": each.success} for which, each in chosen.items()}
    write_json(folder / video_info_file(cell), {**video_info(cell, videos), "episodes": shown})


def _agent(folder: Path, cell: Cell, env: Any) -> Any:
    """A cell's agent: what was saved, as a report's figures are to hold for the files that others load."""
    if cell.agent.endswith(ARCHIVE):
        # Whoever let it into the suite trusts it.
        return archive.load(cell.agent, env, **cell.settings)
    if is_saved(cell.agent):
        return agents.load(cell.agent, env)
    wanted = TrainingJob.of(cell)
    if wanted is None:
        return agents.make(cell.agent, env, **cell.settings)
    if (folder / failure_file(wanted.name)).is_file():
        raise FileNotFoundError(f"its training failed: see {failure_file(wanted.name)}")
    return agents.load(folder / wanted.path, env, agent=cell.agent)


class _Counting:
    """Acts as another agent does, and tells how many episodes have begun."""

    def __init__(self, agent: Policy, episodes: int) -> None:
        self._agent = agent
        self._episodes = episodes
        self._begun = 0
        if not isinstance(agent, Policy):
            raise TypeError(f"a {type(agent).__name__} is no agent: it has no predict(observation, ...)")

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        if episode_start is not None and episode_start[0]:
            progress.report(self._begun / self._episodes)
            self._begun += 1
        found = self._agent.predict(
            observation, state=state, episode_start=episode_start, deterministic=deterministic
        )
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"predict returned a {type(found).__name__}; expected an action and a memory: (action, state)"
            )
        return found


def _quieten() -> None:
    """Leaves the parent's progress bar alone on the terminal."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore", UserWarning)
    os.environ.setdefault("TQDM_DISABLE", "1")
