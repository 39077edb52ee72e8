"""Results file of the measurement of fine-tuning. It is written after each job: an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from agents.imitation.lam.replay import REPLAY_SHARE
from benchmarks.fine_tuning.experiments import EXPERIMENTS, NEW_BATCHES, Experiment, Setting
from benchmarks.fine_tuning.models import (
    DEMONSTRATION_SEED,
    FINE_TUNED,
    FIRST_SEED,
    FROM_SCRATCH,
    KNOWN,
    TRAINING_SEED,
    collect_known,
    collect_new,
    evaluate_model,
    fine_tune,
    train,
    training_cost,
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
UNUSED_BY_KNOWN = ("demonstrations", "new_epochs", "new_batches", "replay_share")
"""Settings that do not change the first model."""


class FineTuning(SuiteModel):
    """Content of a results file."""

    experiment: str = Field(default="tasks", description="Name of the experiment.")
    demonstrations: int = Field(description="Demonstrations of each new task, or of each task with the new robot.")
    known_epochs: int = Field(description="Epochs of the first model.")
    new_epochs: int = Field(description="Epochs of each other model.")
    known_demonstrations: dict[str, int] = Field(description="Of a known task, by demonstrator.")
    difficult: dict[str, int] = Field(description="Factor of the demonstrations of a known task.")
    replay_share: float = Field(
        default=REPLAY_SHARE, description="Share of the examples of fine-tuning that the first model knows."
    )
    new_batches: int = Field(default=NEW_BATCHES, description="Minibatches of an epoch of each other model.")
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

    Models and datasets are saved in a folder beside the file that has its name without the suffix. A model of other
    settings or versions is trained again.

    Args:
        out: File to write, whose name ends in ``.json``.
        engine: Runs the jobs.
        experiment: Name of one of :data:`benchmarks.fine_tuning.experiments.EXPERIMENTS`.
        new: Names of what is learned from few demonstrations; by default all of the experiment.
        demonstrations: Demonstrations of each new task, or of each task with the new robot.
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
    chosen = EXPERIMENTS[experiment]
    for name in new:
        check_name(f"{experiment} to learn", name, chosen.new)
    settings: dict[str, Any] = {
        "demonstrations": demonstrations,
        "known_epochs": chosen.known_epochs if known_epochs is None else known_epochs,
        "new_epochs": chosen.new_epochs if new_epochs is None else new_epochs,
        "episodes": episodes,
    }
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    if out.suffix != ".json":
        raise ValueError(f"the results file is {out}; expected a name that ends in .json")
    fresh = FineTuning(
        experiment=experiment,
        known_demonstrations=dict(chosen.demonstrators),
        difficult=dict(chosen.difficult),
        **settings,
        **_versions(chosen),
    )
    content = _up_to_date(out, fresh, overwrite=overwrite)
    folder = out.with_suffix("").absolute()
    learned = _learned(chosen, new or tuple(chosen.new))
    if all(_evaluation(model, each) in content.evaluations for model, some in learned.items() for each in some):
        return content
    costs = {model: training_cost(folder, model, _model_identity(content, model)) for model in learned}
    saved = {model: cost for model, cost in costs.items() if cost is not None}
    content.trainings.update(saved)
    jobs = _jobs(folder, engine, chosen, learned, content, saved, overwrite=overwrite)
    with progress_display("fine-tuning", len(jobs), disable=not progress) as shown:
        for job, result in engine.run(jobs, on_progress=shown.update if progress else None):
            (content.evaluations if SEPARATOR in job.name else content.trainings)[job.name] = result
            write_json(out, content.model_dump())
            shown.ended(job, failed=False)
    return content


def _learned(experiment: Experiment, names: Sequence[str]) -> dict[str, tuple[Setting, ...]]:
    """Return what each model is evaluated in.

    Before fine-tuning, the first model is evaluated in what is new, too, if it can act there.
    """
    familiar = [setting for name in names if name not in experiment.unfamiliar for setting in experiment.new[name]]
    learned = {KNOWN: (*experiment.known, *familiar)}
    for name in names:
        learned[f"{FINE_TUNED}-{name}"] = (*experiment.new[name], *experiment.known)
        learned[f"{FROM_SCRATCH}-{name}"] = experiment.new[name]
    return learned


def _jobs(
    folder: Path,
    engine: Engine,
    experiment: Experiment,
    learned: Mapping[str, Sequence[Setting]],
    content: FineTuning,
    saved: Collection[str],
    *,
    overwrite: bool,
) -> list[Job]:
    """Return the missing evaluations, and the trainings of models that they need and that are not saved."""
    evaluations = [
        Job(name, evaluate_model, (folder, model, setting, content.episodes), after=(model,))
        for model, settings in learned.items()
        for setting in settings
        if (name := _evaluation(model, setting)) not in content.evaluations
    ]
    needed = {model for job in evaluations for model in job.after if model not in saved}
    if any(model.startswith(FINE_TUNED) for model in needed) and KNOWN not in saved:
        needed.add(KNOWN)
    known = collect_known(folder, engine, experiment, overwrite=overwrite) if needed else []
    trainings = []
    if KNOWN in needed:
        identity = _model_identity(content, KNOWN)
        trainings.append(Job(KNOWN, train, (folder, KNOWN, identity, experiment.known, known, content.known_epochs)))
    for name, settings in experiment.new.items():
        tuned, scratch = (f"{how}-{name}" for how in (FINE_TUNED, FROM_SCRATCH))
        if needed.isdisjoint((tuned, scratch)):
            continue
        datasets = collect_new(folder, engine, settings, content.demonstrations, overwrite=overwrite)
        identity = _model_identity(content, tuned)
        further = (folder, tuned, identity, settings, datasets, known, content.new_epochs)
        trainings.append(Job(tuned, fine_tune, further, after=(KNOWN,)))
        from_scratch = (folder, scratch, identity, settings, datasets, content.new_epochs, NEW_BATCHES)
        trainings.append(Job(scratch, train, from_scratch))
    return [*(job for job in trainings if job.name in needed), *evaluations]


def _evaluation(model: str, setting: Setting) -> str:
    """Return the name of an evaluation."""
    return f"{model}{SEPARATOR}{setting.name}"


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


def _model_identity(content: FineTuning, model: str) -> dict[str, Any]:
    """Return the settings and versions that must match to reuse a model."""
    unused = {"episodes", *(UNUSED_BY_KNOWN if model == KNOWN else ())}
    return {name: value for name, value in _identity(content).items() if name not in unused}
