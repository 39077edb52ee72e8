"""Tables of the committed measurements of fine-tuning, of ``python -m benchmarks finetuning``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.fine_tuning.experiments import EXPERIMENTS
from benchmarks.fine_tuning.measurement import FineTuning
from benchmarks.fine_tuning.models import FINE_TUNED, FROM_SCRATCH, KNOWN
from docs.tables import table


def fine_tuning(path: Path) -> str:
    """Return the tables of what is new, and of what the model knew before.

    Args:
        path: File that ``python -m benchmarks finetuning`` wrote.
    """
    content = FineTuning.model_validate_json(path.read_bytes())
    experiment = EXPERIMENTS[content.experiment]
    missing = [name for name in experiment.new if f"{FROM_SCRATCH}-{name}" not in content.trainings]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}: complete it by make finetuning")
    found = {(row["model"], row["task"]): row for row in content.evaluations.values()}
    seconds = {name: each["cpu_seconds"] for name, each in content.trainings.items()}
    tuned = {name: f"{FINE_TUNED}-{name}" for name in experiment.new}
    new = [
        [
            setting.name,
            _success(found.get((KNOWN, setting.name))),
            _success(found[tuned[name], setting.name]),
            _success(found[f"{FROM_SCRATCH}-{name}", setting.name]),
        ]
        for name, settings in experiment.new.items()
        for setting in settings
    ]
    kept = [
        [setting.name, *(_success(found[model, setting.name]) for model in (KNOWN, *tuned.values()))]
        for setting in experiment.known
    ]
    mean = [_mean([found[model, each.name] for each in experiment.known]) for model in (KNOWN, *tuned.values())]
    costs = "; ".join(
        f"{name} {seconds[tuned[name]]:.0f} s, from scratch {seconds[f'{FROM_SCRATCH}-{name}']:.0f} s"
        for name in experiment.new
    )
    dash = (
        " A dash: the model cannot act there, because it does not know the entities." if experiment.unfamiliar else ""
    )
    return "\n\n".join(
        [
            f"Success over {content.episodes} episodes, with its 95% interval over episodes, after "
            f"{content.demonstrations} demonstrations of each row. Each model was trained once.{dash}",
            table(["new", "before fine-tuning", "fine-tuned", "from scratch"], new),
            f"Both trainings have the same number of minibatches. CPU time of fine-tuning: {costs}. CPU time of the "
            f"first model: {seconds[KNOWN]:.0f} s. Its success, before and after fine-tuning:",
            table(["known", "before", *(f"fine-tuned to {name}" for name in tuned)], [*kept, ["**mean**", *mean]]),
        ]
    )


def _success(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    low, high = (100 * end for end in row["interval"])
    return f"{100 * row['successes'] / row['episodes']:.1f}% ({low:.1f}% to {high:.1f}%)"


def _mean(rows: list[dict[str, Any]]) -> str:
    return f"{100 * sum(row['successes'] / row['episodes'] for row in rows) / len(rows):.1f}%"
