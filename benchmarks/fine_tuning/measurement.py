"""Results file of the measurement of fine-tuning. It is written after each job: an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmarks.fine_tuning.models import (
    DEMONSTRATION_SEED,
    DEMONSTRATORS,
    DIFFICULT,
    FINE_TUNED,
    FIRST_SEED,
    FROM_SCRATCH,
    KNOWN,
    KNOWN_TASKS,
    MODELS,
    NEW_TASKS,
    TRAINING_SEED,
    collect_known,
    collect_new,
    evaluate_model,
    fine_tune,
    train,
)
from benchmarks.runner.progress import progress_display
from benchmarks.suite.fields import SuiteModel, problem_of
from demos.collection.versions import demonstration_versions, library_versions, major_versions
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
    known_demonstrations: dict[str, int] = Field(
        default=DEMONSTRATORS, description="Of a known task, by demonstrator."
    )
    difficult: dict[str, int] = Field(default=DIFFICULT, description="Factor of the demonstrations of a known task.")
    demonstration_seed: int = DEMONSTRATION_SEED
    training_seed: int = TRAINING_SEED
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
    progress: bool = False,
) -> FineTuning:
    """Measure what a results file lacks; the same call completes it after an interruption.

    Models and datasets are saved in a folder beside the file that has its name without the suffix.

    Args:
        out: File to write, whose name ends in ``.json``.
        engine: Runs the jobs.
        tasks: New tasks.
        demonstrations: Demonstrations of each new task.
        known_epochs: Epochs of the model of the known tasks.
        new_epochs: Epochs of each other model.
        episodes: Episodes of each evaluation.
        overwrite: Replace a file and datasets of other settings or versions.
        progress: Show progress.

    Raises:
        ValueError: A number is not positive, the file has another suffix, or it was measured with other settings or
            versions.
    """
    settings: dict[str, Any] = {
        "demonstrations": demonstrations, "known_epochs": known_epochs, "new_epochs": new_epochs, "episodes": episodes
    }  # fmt: skip
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    if out.suffix != ".json":
        raise ValueError(f"the results file is {out}; expected a name that ends in .json")
    content = _up_to_date(out, FineTuning(**settings, **_versions()), overwrite=overwrite)
    folder = out.with_suffix("").absolute()
    jobs = _jobs(folder, engine, tasks, content, overwrite=overwrite)
    jobs = [job for job in jobs if not _is_done(job, content, folder)]
    with progress_display("fine-tuning", len(jobs), disable=not progress) as shown:
        for job, result in engine.run(jobs, on_progress=shown.update if progress else None):
            (content.evaluations if SEPARATOR in job.name else content.trainings)[job.name] = result
            write_json(out, content.model_dump())
            shown.ended(job, failed=False)
    return content


def _jobs(folder: Path, engine: Engine, tasks: Sequence[str], content: FineTuning, *, overwrite: bool) -> list[Job]:
    """Return all jobs: trainings, and evaluations of their models in the tasks that they learned."""
    known = collect_known(folder, engine, overwrite=overwrite)
    first = (folder, KNOWN, KNOWN_TASKS, known, content.known_epochs)
    jobs = [Job(KNOWN, train, first)]
    # Before fine-tuning, it is evaluated in the new tasks, too.
    learned = {KNOWN: (*KNOWN_TASKS, *tasks)}
    for task in tasks:
        dataset = collect_new(folder, engine, task, content.demonstrations, overwrite=overwrite)
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
        parts |= demonstration_versions(env_id(task), {}, tuple(DEMONSTRATORS))
    return {"versions": parts, "libraries": library_versions(("gymnasium", "numpy", "pybullet", "torch"))}


def _up_to_date(out: Path, new: FineTuning, *, overwrite: bool) -> FineTuning:
    """Return the content of a file if its settings and versions are those of ``new``; else ``new``."""
    if not out.exists():
        return new
    try:
        held = FineTuning.model_validate_json(out.read_bytes())
    except (ValueError, OSError) as error:
        problem = problem_of(error) if isinstance(error, ValueError) else error
        raise ValueError(f"{out} holds no measurements of fine-tuning ({problem}); name another file") from error
    before, now = _identity(held), _identity(new)
    if before == now:
        return held
    if overwrite:
        return new
    changed = ", ".join(name for name in now if before[name] != now[name])
    raise ValueError(f"{out} was measured with other {changed}: name another file, or replace it with --overwrite")


def _identity(content: FineTuning) -> dict[str, Any]:
    """Return the settings and versions that must match to resume a file."""
    settings = content.model_dump(exclude={"trainings", "evaluations", "libraries"})
    return {**settings, "libraries": major_versions(content.libraries)}
