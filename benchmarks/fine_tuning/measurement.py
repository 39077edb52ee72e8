"""Results file of the measurement of fine-tuning: it is written after each job, and an interruption loses one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmarks.fine_tuning.models import (
    FINE_TUNED,
    FIRST_SEED,
    FROM_SCRATCH,
    KNOWN,
    KNOWN_TASKS,
    MODELS,
    NEW_TASKS,
    collect_known,
    collect_new,
    evaluate_model,
    fine_tune,
    train,
)
from benchmarks.suite.fields import SuiteModel, problem_of
from demos.collection.environment_versions import environment_versions
from demos.collection.versions import expert_versions, library_versions, major_versions
from demos.runtime.engines import Engine, Job
from demos.runtime.files import write_json
from lam_envs.registration import env_id

DEMONSTRATIONS = 25
KNOWN_EPOCHS = 15
NEW_EPOCHS = 5
EPISODES = 200
SEPARATOR = " | "


class FineTuning(SuiteModel):
    """Content of a results file."""

    demonstrations: int = Field(description="Demonstrations of each new task.")
    known_epochs: int = Field(description="Epochs of the model of the known tasks.")
    new_epochs: int = Field(description="Epochs of each other model.")
    first_seed: int = FIRST_SEED
    episodes: int = Field(description="Episodes of each evaluation.")
    versions: dict[str, int]
    libraries: dict[str, str]
    trainings: dict[str, dict[str, Any]] = Field(default={}, description="Cost of each training, by model.")
    evaluations: dict[str, dict[str, Any]] = Field(default={}, description="Success of each model in each task.")


def run(
    out: Path,
    engine: Engine,
    *,
    tasks: Sequence[str] = NEW_TASKS,
    demonstrations: int = DEMONSTRATIONS,
    known_epochs: int = KNOWN_EPOCHS,
    new_epochs: int = NEW_EPOCHS,
    episodes: int = EPISODES,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> FineTuning:
    """Measure what a results file lacks; the same call completes it after an interruption.

    Models and datasets are saved in a folder beside the file that has its name without the suffix.

    Args:
        out: JSON file to write.
        engine: Runs the jobs.
        tasks: New tasks.
        demonstrations: Demonstrations of each new task.
        known_epochs: Epochs of the model of the known tasks.
        new_epochs: Epochs of each other model.
        episodes: Episodes of each evaluation.
        overwrite: Replace a file of other settings or versions.
        progress: Called after each job with its name, the number of jobs done and of all jobs.

    Raises:
        ValueError: A number is not positive, or the file is another one.
    """
    settings: dict[str, Any] = {
        "demonstrations": demonstrations, "known_epochs": known_epochs, "new_epochs": new_epochs, "episodes": episodes
    }  # fmt: skip
    if min(settings.values()) < 1:
        raise ValueError(
            f"{', '.join(f'{name} is {value}' for name, value in settings.items())}; expected at least 1"
        )
    content = _up_to_date(out, FineTuning(**settings, **_versions()), overwrite=overwrite)
    folder = out.with_suffix("").absolute()
    jobs = [job for job in _jobs(folder, engine, tasks, content) if not _is_done(job, content, folder)]
    for number, (job, result) in enumerate(engine.run(jobs), start=1):
        (content.evaluations if SEPARATOR in job.name else content.trainings)[job.name] = result
        write_json(out, content.model_dump())
        if progress is not None:
            progress(job.name, number, len(jobs))
    return content


def _jobs(folder: Path, engine: Engine, tasks: Sequence[str], content: FineTuning) -> list[Job]:
    """Return all jobs: trainings, and evaluations of their models in the tasks that they learned."""
    known = collect_known(folder, engine)
    first = (folder, KNOWN, KNOWN_TASKS, known, content.known_epochs)
    jobs = [Job(KNOWN, train, first)]
    # Before fine-tuning, it is evaluated in the new tasks, too.
    learned = {KNOWN: (*KNOWN_TASKS, *tasks)}
    for task in tasks:
        dataset = collect_new(folder, engine, task, content.demonstrations)
        tuned, scratch = (f"{how}-{task}" for how in (FINE_TUNED, FROM_SCRATCH))
        arguments = (folder, tuned, task, dataset, known, content.new_epochs)
        jobs.append(Job(tuned, fine_tune, arguments, after=(KNOWN,)))
        jobs.append(Job(scratch, train, (folder, scratch, (task,), (dataset,), content.new_epochs)))
        learned |= {tuned: (task, *KNOWN_TASKS), scratch: (task,)}
    return jobs + [
        Job(f"{model}{SEPARATOR}{task}", evaluate_model, (folder, model, task, content.episodes), after=(model,))
        for model, evaluated in learned.items()
        for task in evaluated
    ]


def _is_done(job: Job, content: FineTuning, folder: Path) -> bool:
    if SEPARATOR in job.name:
        return job.name in content.evaluations
    return job.name in content.trainings and (folder / MODELS / job.name).is_dir()


def _versions() -> dict[str, Any]:
    """Return the versions of the parts and libraries that decide the results."""
    from agents.training.provenance import agent_versions  # late: it imports PyTorch

    parts = agent_versions("lam", {})
    for task in (*KNOWN_TASKS, *NEW_TASKS):
        parts |= environment_versions(env_id(task)) | expert_versions(env_id(task))
    return {"versions": parts, "libraries": library_versions(("gymnasium", "numpy", "pybullet", "torch"))}


def _up_to_date(out: Path, new: FineTuning, *, overwrite: bool) -> FineTuning:
    """Return the content of a file if its settings and versions are those of ``new``; else ``new``."""
    if overwrite or not out.exists():
        return new
    try:
        held = FineTuning.model_validate_json(out.read_bytes())
    except (ValueError, OSError) as error:
        problem = problem_of(error) if isinstance(error, ValueError) else error
        raise ValueError(f"{out} holds no measurements of fine-tuning ({problem}); name another file") from error
    if _identity(held) == _identity(new):
        return held
    raise ValueError(
        f"{out} was measured with other settings or versions: name another file, or replace it with --overwrite"
    )


def _identity(content: FineTuning) -> dict[str, Any]:
    """Return what two files with the same results have in common."""
    settings = content.model_dump(exclude={"trainings", "evaluations", "libraries"})
    return {**settings, "libraries": major_versions(content.libraries)}
