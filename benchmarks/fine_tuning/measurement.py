"""Results file of the measurement of fine-tuning. It is written after each job: an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmarks.fine_tuning.experiments import EXPERIMENTS, Experiment, Setting
from benchmarks.fine_tuning.models import (
    DEMONSTRATION_SEED,
    FINE_TUNED,
    FIRST_SEED,
    FROM_SCRATCH,
    KNOWN,
    MODELS,
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
from lam_envs.validation import check_name

DEMONSTRATIONS = 25
EPISODES = 200
SEPARATOR = " | "


class FineTuning(SuiteModel):
    """Content of a results file."""

    experiment: str = Field(default="tasks", description="Name of the experiment.")
    demonstrations: int = Field(description="Demonstrations of each new task.")
    known_epochs: int = Field(description="Epochs of the first model.")
    new_epochs: int = Field(description="Epochs of each other model.")
    known_demonstrations: dict[str, int] = Field(description="Of a known task, by demonstrator.")
    difficult: dict[str, int] = Field(description="Factor of the demonstrations of a known task.")
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
    experiment: str = "tasks",
    new: Sequence[str] = (),
    demonstrations: int = DEMONSTRATIONS,
    known_epochs: int | None = None,
    new_epochs: int | None = None,
    episodes: int = EPISODES,
    overwrite: bool = False,
    progress: bool = False,
) -> FineTuning:
    """Measure what a results file lacks; the same call completes it after an interruption.

    Models and datasets are saved in a folder beside the file that has its name without the suffix.

    Args:
        out: File to write, whose name ends in ``.json``.
        engine: Runs the jobs.
        experiment: Name of one of :data:`benchmarks.fine_tuning.experiments.EXPERIMENTS`.
        new: Names of what is learned from few demonstrations; by default all of the experiment.
        demonstrations: Demonstrations of each new task.
        known_epochs: Epochs of the first model; by default those of the experiment.
        new_epochs: Epochs of each other model; by default those of the experiment.
        episodes: Episodes of each evaluation.
        overwrite: Replace a file and datasets of other settings or versions.
        progress: Show progress.

    Raises:
        ValueError: A name is unknown, a number is not positive, the file has another suffix, or it was measured with
            other settings or versions.
    """
    check_name("experiment", experiment, EXPERIMENTS)
    of = EXPERIMENTS[experiment]
    for name in new:
        check_name("name", name, of.new)
    settings: dict[str, Any] = {
        "demonstrations": demonstrations,
        "known_epochs": of.known_epochs if known_epochs is None else known_epochs,
        "new_epochs": of.new_epochs if new_epochs is None else new_epochs,
        "episodes": episodes,
    }
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    if out.suffix != ".json":
        raise ValueError(f"the results file is {out}; expected a name that ends in .json")
    fresh = FineTuning(
        experiment=experiment,
        known_demonstrations=dict(of.demonstrators),
        difficult=dict(of.difficult),
        **settings,
        **_versions(of),
    )
    content = _up_to_date(out, fresh, overwrite=overwrite)
    folder = out.with_suffix("").absolute()
    jobs = _jobs(folder, engine, of, list(new or of.new), content, overwrite=overwrite)
    jobs = [job for job in jobs if not _is_done(job, content, folder)]
    with progress_display("fine-tuning", len(jobs), disable=not progress) as shown:
        for job, result in engine.run(jobs, on_progress=shown.update if progress else None):
            (content.evaluations if SEPARATOR in job.name else content.trainings)[job.name] = result
            write_json(out, content.model_dump())
            shown.ended(job, failed=False)
    return content


def _jobs(
    folder: Path,
    engine: Engine,
    experiment: Experiment,
    names: Sequence[str],
    content: FineTuning,
    *,
    overwrite: bool,
) -> list[Job]:
    """Return all jobs: trainings, and evaluations of their models in what they learned."""
    known = collect_known(folder, engine, experiment, overwrite=overwrite)
    jobs = [Job(KNOWN, train, (folder, KNOWN, experiment.known, known, content.known_epochs))]
    # Before fine-tuning, the first model is evaluated in what is new, too, if it can act there.
    learned: dict[str, tuple[Setting, ...]] = {
        KNOWN: (
            *experiment.known,
            *(setting for name in names if name not in experiment.unfamiliar for setting in experiment.new[name]),
        )
    }
    for name in names:
        settings = experiment.new[name]
        datasets = collect_new(folder, engine, settings, content.demonstrations, overwrite=overwrite)
        tuned, scratch = (f"{how}-{name}" for how in (FINE_TUNED, FROM_SCRATCH))
        arguments = (folder, tuned, settings, datasets, known, content.new_epochs)
        jobs.append(Job(tuned, fine_tune, arguments, after=(KNOWN,)))
        jobs.append(Job(scratch, train, (folder, scratch, settings, datasets, content.new_epochs)))
        learned |= {tuned: (*settings, *experiment.known), scratch: settings}
    return jobs + [
        Job(
            f"{model}{SEPARATOR}{setting.name}",
            evaluate_model,
            (folder, model, setting, content.episodes),
            after=(model,),
        )
        for model, evaluated in learned.items()
        for setting in evaluated
    ]


def _is_done(job: Job, content: FineTuning, folder: Path) -> bool:
    if SEPARATOR in job.name:
        return job.name in content.evaluations
    return job.name in content.trainings and (folder / MODELS / job.name).is_dir()


def _versions(experiment: Experiment) -> dict[str, Any]:
    """Return the versions of the parts and libraries that decide the results."""
    from agents.training.provenance import agent_versions  # late: it imports PyTorch

    parts = agent_versions("lam", {})
    for setting in (*experiment.known, *(each for some in experiment.new.values() for each in some)):
        parts |= demonstration_versions(setting.env_id, setting.env, tuple(experiment.demonstrators))
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
