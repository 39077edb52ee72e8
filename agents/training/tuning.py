"""Tuning of settings by Optuna: a study in one SQLite file, which the same command continues."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import yaml
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.evaluation.evaluation import evaluate
from agents.registry import make
from agents.training.provenance import training_record
from agents.training.run import FIRST_SEED, DivergedError, Run, TooFewStepsError
from agents.training.settings import SEARCH, settings_files
from agents.types import Env, JsonObject

FIRST_TRAINING_SEED = 2**20
"""First training seed of trials; results use other seeds."""
FIRST_EVALUATION_SEED = FIRST_SEED + 2**20
"""First seed of the evaluation of trials; nothing else is evaluated on these seeds."""
BATCH_SIZE = "batch_size"
"""Setting of the number of steps in a minibatch."""
HEARTBEAT = 20
"""Seconds between heartbeats of a process that runs a trial; without three of them, another process retries it."""


@dataclass(frozen=True)
class TuningResult:
    """Result of a study.

    Attributes:
        settings: Settings of the best trial.
        success_rate: Mean success rate over the training runs of the best trial.
        trials: Number of finished trials, including pruned ones.
    """

    settings: JsonObject
    success_rate: float
    trials: int


def search_space(agent: str, changed: Mapping[str, object] | None = None) -> dict[str, JsonObject]:
    """Return the search space of an agent: the section ``search`` of its file in ``configs``.

    Args:
        agent: Name of the agent.
        changed: Fixed settings, which are not tuned.

    Raises:
        ValueError: The file has no such section, or all of its settings are fixed.
    """
    path = settings_files().get(agent)
    search_ranges = dict(yaml.safe_load(path.read_text()).get(SEARCH) or {}) if path else {}
    fixed = set(changed or {})
    if (changed or {}).get("ensembling"):
        fixed.add("executed_actions")  # without effect: temporal ensembling executes one action of each chunk
    left = {name: dict(search_range) for name, search_range in search_ranges.items() if name not in fixed}
    if not left:
        raise ValueError(
            f"agent {agent} has nothing to tune: its settings have no section {SEARCH!r}, or all of them are fixed"
        )
    return left


def suggest_settings(trial: optuna.Trial, space: Mapping[str, JsonObject]) -> JsonObject:
    """Return the settings that a trial suggests.

    Args:
        trial: Trial of Optuna.
        space: Range of each setting: ``choices``, or ``low`` and ``high``, with ``log`` for a logarithmic scale.
    """
    chosen: JsonObject = {}
    for name, search_range in space.items():
        if "choices" in search_range:
            # Optuna stores numbers, strings and booleans only, so lists are chosen by their index.
            index = trial.suggest_categorical(name, list(range(len(search_range["choices"]))))
            chosen[name] = search_range["choices"][index]
        elif isinstance(search_range["low"], int) and isinstance(search_range["high"], int):
            chosen[name] = trial.suggest_int(
                name, search_range["low"], search_range["high"], log=bool(search_range.get("log"))
            )
        else:
            chosen[name] = trial.suggest_float(
                name, search_range["low"], search_range["high"], log=bool(search_range.get("log"))
            )
    return chosen


def tune(
    agent: str,
    env: Env,
    demonstrations: Demonstrations | None,
    study: str | Path,
    settings: Mapping[str, object] | None = None,
    *,
    trials: int,
    seeds: int = 1,
    episodes: int = 50,
    budget: int | None = None,
    device: str = "auto",
    progress: bool = False,
) -> TuningResult:
    """Search for the settings with the highest success rate; bad trials, and those that diverge, are pruned.

    A trial whose minibatch has more steps than the demonstrations is pruned, too.

    Several processes may share a study. A killed trial is retried by the next process.

    Args:
        agent: Name of the agent.
        env: Environment. Trials are trained with seeds from ``FIRST_TRAINING_SEED`` on, and evaluated on seeds from
            ``FIRST_EVALUATION_SEED`` on.
        demonstrations: Demonstrations; None for an agent that needs none.
        study: SQLite file, which is created if it does not exist.
        trials: Total number of trials.
        seeds: Training runs per trial.
        episodes: Evaluation episodes per training.
        budget: Budget of each training run; by default its setting.
        device: ``auto``, ``cpu`` or ``cuda``.
        settings: Fixed settings, which are not tuned.
        progress: Show a progress bar.

    Raises:
        ValueError: There is nothing to tune, the study belongs to another training run, or every trial diverged or
            had too large a minibatch. Also if a fixed ``batch_size`` is too large.
    """
    for what, number in (("trials", trials), ("seeds", seeds), ("episodes", episodes), ("budget", budget)):
        if number is not None and number < 1:
            raise ValueError(f"{what} is {number}; expected at least 1")
    settings = dict(settings or {})
    # Errors of the settings come before the study is created.
    make(agent, env, **settings)
    space = search_space(agent, settings)
    data = None if demonstrations is None else DemonstrationData.of(demonstrations)
    study_identity = training_record(agent, settings, env, data, seed=seeds, budget=budget)
    del study_identity["versions"], study_identity["libraries"]
    opened = _opened(Path(study), {**study_identity, "space": space, "episodes": episodes})
    bar = Progress(
        TextColumn("[bold]tuning {task.fields[agent]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        disable=not progress,
    )
    # A fixed seed would propose the same trials again after each start.
    next_number = len(opened.get_trials(deepcopy=False))
    opened.sampler = optuna.samplers.TPESampler(seed=next_number)
    with bar:
        task = bar.add_task("", total=trials, agent=agent, note="", completed=len(_finished(opened)))

        def objective(trial: optuna.Trial) -> float:
            nonlocal next_number
            if trial.number > next_number:
                # Another process began a trial meanwhile: it may have started with the same seed.
                opened.sampler = optuna.samplers.TPESampler(seed=trial.number)
            next_number = max(next_number, trial.number + 1)
            chosen = {**settings, **suggest_settings(trial, space)}
            rates = []
            for number in range(seeds):
                made = make(agent, env, **chosen)
                run = _Trial(device=device, episodes=min(episodes, 20), trial=trial, before=number)
                run.show_note = lambda note: bar.update(task, note=f"trial {trial.number}: {note}")
                try:
                    made.learn(data, env, seed=FIRST_TRAINING_SEED + number, budget=budget, run=run)
                except DivergedError as error:
                    raise optuna.TrialPruned(str(error)) from error
                except TooFewStepsError as error:
                    if BATCH_SIZE not in space:
                        raise  # so no trial can be trained
                    raise optuna.TrialPruned(str(error)) from error
                evaluation_seeds = range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + episodes)
                rates.append(evaluate(made, env, seeds=evaluation_seeds).success_rate)
            return float(np.mean(rates))

        def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            done = len(_finished(study))
            bar.update(task, completed=done)
            if done >= trials:
                study.stop()

        if len(_finished(opened)) < trials:
            opened.optimize(objective, callbacks=[after])
    if not opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise ValueError(
            f"all {len(_finished(opened))} trials in {study} diverged or had minibatches larger than the "
            "demonstrations: start another study, with a lower learning_rate or batch_size by --config"
        )
    best = opened.best_trial
    best_settings = {
        name: space[name]["choices"][value] if "choices" in space[name] else value
        for name, value in best.params.items()
    }
    return TuningResult(best_settings, float(best.value or 0.0), len(_finished(opened)))


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _is_study(path: Path) -> bool:
    """Return True if a file is a database of Optuna, or empty."""
    with path.open("rb") as file:
        start = file.read(16)
    if start != b"SQLite format 3\0":
        return start == b""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return False
    return not tables or "studies" in tables


def _opened(path: Path, study_identity: Mapping[str, object]) -> optuna.Study:
    """Open a study, or create it."""
    if "?" in str(path.resolve()):
        raise ValueError(f"{path} contains '?', which a database address cannot: choose another file")
    if path.is_dir() or (path.is_file() and not _is_study(path)):
        raise ValueError(f"{path} is not a study: choose a new file, or one of `agents tune`")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = RDBStorage(
            f"sqlite:///{path.resolve()}",
            heartbeat_interval=HEARTBEAT,
            grace_period=3 * HEARTBEAT,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )
        known = optuna.get_all_study_names(storage)
        name = f"{study_identity['agent']} {study_identity['environment']}"
        if known and name not in known:
            raise ValueError(f"{path} holds a study of {known[0]}: choose another file for {name}")
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
    stored = study.user_attrs.get("of")
    if stored is None:
        study.set_user_attr("of", study_identity)
    elif stored != yaml.safe_load(yaml.safe_dump(study_identity)):
        different = sorted(key for key in study_identity if stored.get(key) != study_identity[key])
        raise ValueError(f"{path} holds a study with another {', '.join(different)}: choose another file")
    return study


class _Trial(Run):
    """Run that reports its success rate to a trial, which may prune it."""

    def __init__(self, *, device: str, episodes: int, trial: optuna.Trial, before: int) -> None:
        super().__init__(device=device, episodes=episodes)
        self.show_note: Callable[[str], None] = lambda note: None
        self._trial = trial
        self._before = before
        self._reports = 0

    def log(self, done: int, **numbers: float) -> None:
        super().log(done, **numbers)
        if "success" not in numbers:
            return
        self.show_note(f"success {numbers['success']:.2f}")
        # Only the first of several training runs can prune a trial.
        if self._before == 0:
            self._trial.report(numbers["success"], self._reports)
            self._reports += 1
            if self._trial.should_prune():
                raise optuna.TrialPruned
