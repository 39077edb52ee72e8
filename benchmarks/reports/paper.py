"""Parts of a paper from a results folder: LaTeX tables, vector figures, and the text of the experimental setup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader

from agents.types import JsonObject
from benchmarks.analysis.tables import Row, rows, variant
from benchmarks.reports import plots
from benchmarks.reports.export import as_latex, escaped
from benchmarks.reports.labels import described_training, has_own_seeds
from benchmarks.runner.results import SUITE_FILE, CellResult, read_results
from demos.runtime.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCUMENT, SETUP, SETTINGS, REFERENCES = "paper.tex", "setup.tex", "settings.tex", "references.bib"
SUCCESS = "success.tex"
FIGURES: dict[str, tuple[str, Callable[[list[Row], list[str]], Figure | None]]] = {
    "success.pdf": (
        "Success at the last step, with 95% intervals over episodes.",
        lambda table, _: plots.success(table),
    ),
    "data-efficiency.pdf": (
        "Success against the number of demonstrations.",
        lambda table, conditions: plots.data_efficiency(table, conditions[0]),
    ),
    "robustness.pdf": ("Success under each condition.", plots.robustness),
}
"""Figures: caption, and function of rows and conditions that draws it."""
CITED = {
    "bc": "pomerleau1991",
    "bco": "torabi2018",
    "bc-rnn": "mandlekar2021",
    "act": "zhao2023",
    "diffusion": "chi2023",
    "keypoints": "levine2016",
    "dagger": "ross2011",
    "hg-dagger": "kelly2019",
    "ensemble-dagger": "menda2019",
    "lam": "lamenvs",
    "gail": "ho2016",
    "airl": "fu2018",
    "sqil": "reddy2020",
    "dqfd": "hester2018",
    "dqn": "mnih2015",
    "ppo": "schulman2017",
    "sac": "haarnoja2018",
}
"""Key of the paper of each agent in the bibliography; of our own model, that of this package."""
HINDSIGHT, FROM_OBSERVATIONS = "andrychowicz2017", "torabi2019"
"""Keys of papers that agents use by their settings: HER and GAIfO."""
DEFAULT_RESULTS = Path("runs") / "core"
"""Results that a paper is about by default."""


def default_results(runs: Path = DEFAULT_RESULTS.parent) -> Path:
    """Return the results folder of the suite ``core``; without one, the results folder that a suite wrote last.

    Args:
        runs: Folder of results folders.

    Raises:
        FileNotFoundError: There is no results folder.
    """
    core = runs / DEFAULT_RESULTS.name
    if (core / SUITE_FILE).is_file():
        return core
    suites = sorted(runs.glob(f"*/{SUITE_FILE}"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not suites:
        raise FileNotFoundError(
            f"no results in {runs}: run a suite, such as python -m benchmarks run core, or give a results folder"
        )
    return suites[-1].parent


def write_paper(folder: str | Path, out: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write tables, figures, setup and bibliography of the results in a folder, and a document that shows them all.

    Args:
        folder: Results folder.
        out: Folder for the files.
        overwrite: Replace files of the same names.

    Returns:
        The files.

    Raises:
        FileNotFoundError: There are no results.
        FileExistsError: A file exists.
        ValueError: A result is damaged.
    """
    suite, results = read_results(folder)
    base, table, conditions = Path(out), rows(results), list(suite["conditions"])
    drawn = {name: plots.pdf(partial(draw, table, conditions)) for name, (_, draw) in FIGURES.items()}
    figures = {name: content for name, content in drawn.items() if content is not None}
    content = {
        "suite": suite,
        "missing": len(suite["cells"]) - len(results),
        "environments": list(dict.fromkeys(row.environment for row in table)),
        "conditions": [(name, _condition_text(changes)) for name, changes in suite["conditions"].items() if changes],
        "agents": _described_agents(suite),
        "settings": _settings(results),
        "libraries": _libraries(results),
        "figures": {name: FIGURES[name][0] for name in figures},
        "runs": len({result.cell.training_seed for result in results} - {None}),
        "has_own_seeds": has_own_seeds(suite),
    }
    templates = _templates()
    files: dict[str, str | bytes] = {
        SUCCESS: as_latex(table),
        **{name: templates.get_template(f"{name}.jinja").render(content) for name in (SETUP, SETTINGS, DOCUMENT)},
        REFERENCES: templates.get_template(REFERENCES).render(),
        **figures,
    }
    existing = [name for name in files if (base / name).exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{base} has {', '.join(existing)}: choose another folder, or --overwrite them")
    return [write_atomically(base / name, text) for name, text in files.items()]


def _described_agents(suite: JsonObject) -> list[dict[str, Any]]:
    """Return label, agent, reference, demonstrations and changed settings of each agent, each once."""
    described = []
    for entry in suite["agents"]:
        counts = sorted({count for own in entry["demonstrations"].values() for count in own})
        described.append(
            {
                "label": entry["label"],
                "agent": entry["agent"],
                "references": _references(entry),
                "counts": counts,
                "demonstrators": entry["demonstrators"],
                "datasets": len(entry.get("mixture", ())),
                "changes": _listed(entry["settings"]),
                "training": described_training(entry),
            }
        )
    return described


def _references(entry: JsonObject) -> list[str]:
    """Return the keys of the papers of an agent with its settings and environments; empty if it has none."""
    agent, settings = entry["agent"], entry["settings"]
    references = [CITED[agent]] if agent in CITED else []
    if agent == "sac" and any(variant(environment) == "Goal" for environment in entry["environments"]):
        references.append(HINDSIGHT)
    if agent == "gail" and settings.get("use_actions") is False and settings.get("use_next_observations") is True:
        references.append(FROM_OBSERVATIONS)
    return references


def _condition_text(changes: JsonObject) -> str:
    """Return the changes of a condition in plain text; keywords of the environment have no prefix."""
    parts = {**changes.get("env", {}), **{name: value for name, value in changes.items() if name != "env"}}
    return ", ".join(f"{name} = {_plain(value)}" for name, value in parts.items())


def _plain(value: object) -> str:
    """Return a value of JSON in plain text."""
    if isinstance(value, dict):
        return f"({', '.join(f'{name} = {_plain(each)}' for name, each in value.items())})"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_plain, value))})"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _settings(results: Sequence[CellResult]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the settings of each label that learns, as name and value; a value by environment where they differ."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for result in results:
        if result.training is not None:
            for name, value in result.provenance.settings.items():
                found.setdefault(result.cell.label, {}).setdefault(name, {})[result.cell.environment] = _text(value)
    return [
        (label, [(name, _joined(by_environment)) for name, by_environment in sorted(names.items())])
        for label, names in sorted(found.items())
    ]


def _joined(by_environment: dict[str, str]) -> str:
    values = list(dict.fromkeys(by_environment.values()))
    if len(values) == 1:
        return values[0]
    return "; ".join(f"{environment}: {value}" for environment, value in by_environment.items())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _listed(settings: JsonObject) -> str:
    return ", ".join(f"{name} = {_text(value)}" for name, value in sorted(settings.items()))


def _libraries(results: Sequence[CellResult]) -> dict[str, str]:
    """Return the versions of libraries by name; several where results were made with several."""
    versions: dict[str, set[str]] = {}
    for result in results:
        for name, version in result.provenance.libraries.items():
            versions.setdefault(name, set()).add(version)
    return {name: " and ".join(sorted(found)) for name, found in sorted(versions.items())}


def _templates() -> Environment:
    """Return the templates, whose signs LaTeX does not use itself."""
    templates = Environment(
        loader=PackageLoader("benchmarks.reports"),
        autoescape=False,  # noqa: S701  (LaTeX, not HTML: the filter tex escapes)
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["tex"] = lambda value: escaped(str(value))
    return templates
