"""Verify a submission: re-run a random sample of its episodes, and compare."""

from __future__ import annotations

import json
import math
import secrets
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from agents.evaluation.episode import EpisodeResult
from agents.registry import is_remote
from agents.types import Keywords
from benchmarks.leaderboard.agreement import SIGNIFICANCE, Agreement, Test, agreement, combined
from benchmarks.leaderboard.submission import Submission, check_episodes
from benchmarks.runner import jobs, runner
from benchmarks.runner.results import DAMAGE, PlannedCell, changes, failure_file, write_suite
from benchmarks.speed.throughput import machine
from benchmarks.suite.fields import Items, SuiteModel, problem_of
from benchmarks.suite.suite import Cell, Suite
from demos.runtime.engines import Engine, Job, JobPath
from demos.runtime.files import write_atomically, write_json

FORMAT = "lam-envs verification"
SUFFIX = ".verification.json"
"""Suffix of a verification file, which is in the folder of its submission."""
SHARE = 0.1
"""Fraction of the episodes of a cell that is re-run."""
LEAST_EPISODES = 5
"""Minimum number of episodes of a cell that are re-run; all of them if it has fewer."""
SAMPLES = "samples"
REMOTE_NAMES = "names"
"""Setting of a policy server that can be the path of a file."""
_EPISODES = TypeAdapter(tuple[EpisodeResult, ...])


class CellVerification(SuiteModel):
    """Agreement of one cell."""

    name: str = Field(description="Name of the cell.")
    seeds: Items[int] = Field(description="Seeds of the episodes that were re-run.")
    test: Test = Field(description="See :class:`benchmarks.leaderboard.agreement.Agreement`.")
    differing: int = Field(description="Number of episodes with a different outcome.")
    p_value: Annotated[float, Field(ge=0.0, le=1.0)]
    agrees: bool


class Verification(SuiteModel):
    """Outcome of a verification."""

    format: Literal["lam-envs verification"] = "lam-envs verification"
    format_version: Literal[1] = 1
    submission: str = Field(description="Checksum of the submission.")
    agent: str = Field(description="Agent that was re-run.")
    seed: int = Field(description="Seed of the sample of episodes.")
    share: float
    cells: Items[CellVerification]
    combined_p_value: float = Field(description="P-value of all statistical tests together.")
    changes: tuple[str, ...] = Field(
        description="Differences from the versions, settings and machine of the submission."
    )

    @property
    def agrees(self) -> bool:
        """True if the submission is confirmed."""
        return all(cell.agrees for cell in self.cells) and self.combined_p_value >= SIGNIFICANCE


def verification_path(submission: Path) -> Path:
    """Return the path of the verification of a submission."""
    return submission.with_name(submission.stem + SUFFIX)


def write_verification(path: Path, verification: Verification) -> Path:
    """Write a verification."""
    return write_atomically(path, verification.model_dump_json(indent=1) + "\n")


def read_verification(path: Path) -> Verification:
    """Read a verification.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return Verification.model_validate_json(path.read_bytes())
    except DAMAGE as error:
        raise ValueError(f"the verification {path} is damaged: {problem_of(error)}") from error


def draw_seed() -> int:
    """Return an unpredictable seed for the sample.

    A seed that followed from the submission could be chosen by its author: by another text in the description, until
    the sample leaves the forged episodes out.
    """
    return secrets.randbits(32)


def sample(seeds: Sequence[int], share: float, rng: np.random.Generator) -> list[int]:
    """Return a random sample of the seeds of a cell's episodes, in random order.

    Args:
        seeds: Seeds of the episodes.
        share: Fraction of them, above 0.
        rng: Random generator.
    """
    count = min(len(seeds), max(math.ceil(share * len(seeds)), LEAST_EPISODES))
    return [int(seed) for seed in rng.choice(list(seeds), count, replace=False)]


def verify(
    submission: Submission,
    published: Suite,
    suite: Suite,
    folder: Path,
    engine: Engine,
    *,
    seed: int,
    share: float = SHARE,
) -> Verification:
    """Re-run a random sample of the episodes of each cell, and compare.

    An agent that learns is trained again first. Another verification cannot work in the folder at the same time.

    Args:
        submission: Submission to verify.
        published: Suite that it names.
        suite: Suite of :func:`benchmarks.leaderboard.submit.suite_of_agent` with the agent to measure.
        folder: Folder for trained agents and samples; samples in it are replaced.
        engine: Engine that runs the jobs.
        seed: Seeds the sample, see :func:`draw_seed`; at least 0.
        share: Fraction of the episodes of a cell, above 0 and at most 1.

    Raises:
        ValueError: The submission is not of this suite or of other settings, an argument is invalid, another
            verification works in the folder, or a measurement failed.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share is {share}; expected more than 0 and at most 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected at least 0")
    check_episodes(submission, published)
    plans = {cell.name: PlannedCell.of(cell) for cell in suite.cells()}
    for result in submission.results:
        planned = plans.get(result.cell.name)
        if planned is None or replace(result.cell, agent="", settings={}) != replace(
            planned.cell, agent="", settings={}
        ):
            raise ValueError(
                f"{result.cell.name} was not measured as suite {suite.name} measures this agent: compare its "
                "demonstrations and training seeds with the suite"
            )
        if _given(result.cell) != _given(planned.cell):
            raise ValueError(
                f"{result.cell.name} was measured with {config_options(result.cell.settings) or 'no --config'}, and "
                f"this verification has {config_options(planned.cell.settings) or 'no --config'}: give the settings "
                "of the submission by --config"
            )
    seeds = {
        result.cell.name: sample(
            [episode.seed for episode in result.evaluation.episodes], share, np.random.default_rng([seed, index])
        )
        for index, result in enumerate(submission.results)
    }
    submitted = {
        result.cell.name: [_by_seed(result.evaluation.episodes)[each] for each in seeds[result.cell.name]]
        for result in submission.results
    }
    runner.check_folder(suite, folder)
    with runner.locked(folder):
        write_suite(folder, suite)
        shutil.rmtree(folder / SAMPLES, ignore_errors=True)
        first = _measure(suite, plans, seeds, folder, engine, "first")
        unequal = {name: seeds[name] for name, episodes in first.items() if episodes != submitted[name]}
        second = _measure(suite, plans, unequal, folder, engine, "second") if unequal else {}
    here = machine()["processor"] == submission.machine.get("processor")
    found = {
        result.cell.name: agreement(
            submitted[result.cell.name],
            first[result.cell.name],
            second.get(result.cell.name),
            same_machine=here and plans[result.cell.name].provenance.libraries == result.provenance.libraries,
        )
        for result in submission.results
    }
    return Verification(
        submission=submission.checksum,
        agent=suite.agents[0].agent,
        seed=seed,
        share=share,
        cells=_cells(found, seeds),
        combined_p_value=combined([each.p_value for each in found.values() if each.test != "exact"]),
        changes=_changes(submission, plans, same_processor=here),
    )


def _cells(found: dict[str, Agreement], seeds: dict[str, list[int]]) -> tuple[CellVerification, ...]:
    """Return the agreement of each cell; significance is corrected for the number of tests (Bonferroni)."""
    tests = sum(each.test != "exact" for each in found.values())
    return tuple(
        CellVerification(
            name=name,
            seeds=tuple(seeds[name]),
            test=each.test,
            differing=each.differing,
            p_value=each.p_value,
            agrees=each.p_value >= SIGNIFICANCE / max(1, tests),
        )
        for name, each in found.items()
    )


def _changes(submission: Submission, plans: dict[str, PlannedCell], *, same_processor: bool) -> tuple[str, ...]:
    """Return the differences from the versions, settings and machine of the submission."""
    found = dict.fromkeys(
        change
        for result in submission.results
        for change in changes(result.provenance, plans[result.cell.name].provenance)
    )
    return (*found, *(() if same_processor else (f"processor was {submission.machine.get('processor')}",)))


def config_options(settings: Keywords) -> str:
    """Return the options ``--config`` that give settings, quoted for a shell; empty without settings."""
    return " ".join(f"--config {shlex.quote(f'{name}={_value(value)}')}" for name, value in settings.items())


def _value(value: object) -> str:
    """Return a value as ``--config`` reads it: JSON, or a text that is not JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return value
    return json.dumps(value)


def _given(cell: Cell) -> Keywords:
    """Return the settings that must be those of the submission.

    The file of names of a policy server can be elsewhere: the provenance has its hash.
    """
    return {
        name: value for name, value in cell.settings.items() if not (is_remote(cell.agent) and name == REMOTE_NAMES)
    }


def _by_seed(episodes: Sequence[EpisodeResult]) -> dict[int, EpisodeResult]:
    return {episode.seed: episode for episode in episodes}


def _measure(
    suite: Suite,
    plans: dict[str, PlannedCell],
    seeds: dict[str, list[int]],
    folder: Path,
    engine: Engine,
    which: str,
) -> dict[str, list[EpisodeResult]]:
    """Measure some episodes of some cells, and return them in the order of the seeds; the caller holds the lock.

    The second measurement is in reverse order and with other seeds of global generators, so that an agent that draws
    from one, or remembers earlier episodes, does not look deterministic.
    """
    todo = replace(runner.missing(suite, folder), cells=(), videos=())
    work = runner.make_jobs(suite, todo, folder)
    for name, own in seeds.items():
        planned = plans[name]
        after = () if planned.training is None else (planned.training.name,)
        job = f"{which}-measurement-of-{name}"
        order = own if which == "first" else own[::-1]
        work.append(
            Job(
                job,
                jobs.attempt,
                (job, measure_sample, JobPath(), planned, order, suite.evaluation.episode_seconds, which),
                folder=folder,
                reads=(*(() if planned.training is None else (planned.training.path,)), *map(failure_file, after)),
                writes=(_sample_file(planned, which), failure_file(job)),
                after=after,
                imports=runner.IMPORTED_LATE,
            )
        )
    runner.run_jobs(work, folder, engine, f"verification, {which} measurement", progress=True)
    failed = runner.failures(folder)
    if failed:
        name, trace = next(iter(failed.items()))
        raise ValueError(f"{len(failed)} jobs failed, such as {name}: {trace.strip().splitlines()[-1]}")
    measured = {}
    for name, own in seeds.items():
        stored = (folder / _sample_file(plans[name], which)).read_text()
        episodes = _by_seed(_EPISODES.validate_python(json.loads(stored)["episodes"]))
        measured[name] = [episodes[each] for each in own]
    return measured


def _sample_file(planned: PlannedCell, which: str) -> str:
    return f"{SAMPLES}/{planned.cell.name}-{which}.json"


def measure_sample(folder: Path, planned: PlannedCell, seeds: list[int], episode_seconds: int, which: str) -> None:
    """Evaluate a cell's agent in some episodes, and write their outcomes.

    Args:
        folder: Folder of the verification.
        planned: Cell to measure.
        seeds: Seeds of the episodes.
        episode_seconds: Wall time after which the engine ends an episode and this job.
        which: ``first`` or ``second``.
    """
    result = jobs.measure_episodes(folder, planned, seeds, episode_seconds)
    episodes = _EPISODES.dump_python(result.evaluation.episodes, mode="json")
    write_json(folder / _sample_file(planned, which), {"episodes": episodes})
