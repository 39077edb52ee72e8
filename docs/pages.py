"""Write pages from the code and the results. No task, robot, control or agent is named here.

``python -m docs.pages`` (``make docs``) writes ``docs/environments.md`` and the tables of :data:`WRITTEN`, which are
read in the repository. The other pages are only in the site, which ``docs/website.py`` builds.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agents.registry import AGENTS, find
from agents.spec import spec_of
from agents.training.settings import file_settings
from docs import fine_tuning, model_scaling, pretrained, recordings, scaling
from docs.environment_pages import (
    controls,
    environments,
    observations,
    prose,
    randomization,
    robots,
    task_page,
)
from docs.figures import (
    CORE,
    agent_results,
    datasets,
    latency,
    narrow,
    overview,
    remote,
    reports,
    results,
    speeds,
    vector,
)
from docs.tables import (
    docstring,
    table,
)
from lam_envs.control import CONTROLS
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from lam_envs.scene.observer import OBSERVATIONS
from lam_envs.tasks import make_task

ROOT = Path(__file__).parents[1]


# Agents


def agents(link: Callable[[str], str]) -> str:
    """Return the overview of the agents that have a name.

    Args:
        link: Function that returns the link to an agent's page.
    """
    rows = [[f"[`{name}`]({link(name)})", docstring(find(name)).splitlines()[0]] for name in AGENTS]
    intro = (
        "# Agents\n\nAn agent is any object with the method `predict` of Stable-Baselines3. These agents are "
        "available by name, in `agents.make(name, env)` and in every command.\n\n"
    )
    return f"{intro}{table(['agent', 'description'], rows)}\n"


def agent_page(name: str) -> str:
    """Return the page of an agent: its docstring, its results, and its settings in every environment."""
    agent = find(name)
    parts = [f"# `{name}`", prose(agent)]
    kind = spec_of(agent).settings
    if kind is not None:
        sections = file_settings(name, kind.model_fields)
        rows = [
            [
                f"`{key}`",
                f"`{_yaml(field.default)}`",
                *(f"`{_yaml(own[key])}`" if key in own else "" for own in sections.values()),
                str(field.description),
            ]
            for key, field in kind.model_fields.items()
        ]
        if measured := agent_results(name):
            parts += ["## Results", measured]
        titles = ["setting", "default", *(f"in {stem}" for stem in sections), "description"]
        parts += ["## Settings", table(titles, rows)]
    return "\n\n".join(parts) + "\n"


def _yaml(value: Any) -> str:
    """Return a setting as a file of settings has it."""
    return str(list(value) if isinstance(value, tuple) else value)


def examples() -> str:
    """Return the page of the examples: the list of them, and their code."""
    page = _with_code("examples")
    return page.replace("`first_hour.ipynb`", "[first_hour.ipynb](first_hour.md)").replace(
        "(adapters/README.md)", "(adapters.md)"
    )


def adapters() -> str:
    """Return the page of the adapters: the list of them, and their code."""
    return _with_code("examples/adapters")


def first_hour() -> str:
    """Return the page of the notebook: its text, and the code of its cells."""
    cells = json.loads((ROOT / "examples" / "first_hour.ipynb").read_text())["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts = [f"```python\n{text}\n```" if kind == "code" else _on_site(text) for kind, text in texts]
    return "\n\n".join(parts) + "\n"


def _with_code(folder: str) -> str:
    """Return the README of a folder of scripts, and the code of those that it lists."""
    listed = (ROOT / folder / "README.md").read_text()
    names = [name for name in re.findall(r"\]\((\w+\.\w+)\)", listed) if not name.endswith(".ipynb")]
    parts = [_on_site(re.sub(r"\[(\w+\.\w+)\]\(\1\)", r"`\1`", listed)).strip()]
    for name in names:
        language = "python" if name.endswith(".py") else "yaml"
        parts.append(f"## `{name}`\n\n```{language}\n{(ROOT / folder / name).read_text()}```")
    return "\n\n".join(parts) + "\n"


def _on_site(text: str) -> str:
    """Return a text of the examples with the links of the site."""
    return re.sub(r"\]\((?:\.\./)+docs/", "](", text)


# Pages in the repository


def repository_page() -> str:
    """Return the text of ``docs/environments.md``, which links to the docstrings."""
    return environments(lambda task: "../" + task_file(task), "images")


def task_file(task: str) -> str:
    """Return the file of a task, from the root of the repository."""
    return TASKS[task].entry_point.partition(":")[0].replace(".", "/") + ".py"


def tasks() -> str:
    """Return the list of the tasks, with what each of them works with."""

    def names(of: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in of)

    rows = [[f"[`{env_id(task)}`]({task_file(task)})", docstring(make_task(task)).splitlines()[0]] for task in TASKS]
    intro = (
        f"Each of these {len(TASKS)} tasks works with each robot ({names(ROBOTS)}), control ({names(CONTROLS)}) and "
        f"observation mode ({names(OBSERVATIONS)}):"
    )
    return f"{textwrap.fill(intro, 118)}\n\n{table(['id', 'task'], rows)}"


def readme(text: str) -> str:
    """Return the README with the lists of tasks and suites and the table of results between its marks."""
    text = _between(text, "tasks", tasks())
    text = _between(text, "results", overview())
    return _between(text, "suites", reports())


def scale(text: str) -> str:
    """Return the page on scale with the tables of the committed results between their marks."""
    written = _between(text, "scale", scaling.scale(CORE))
    on_cpu, on_gpu = (ROOT / "results" / name for name in ("scaling.json", "scaling-gpu.json"))
    written = _between(written, "large model", model_scaling.large_model(on_cpu))
    return _between(written, "large model on a GPU", model_scaling.gpu(on_gpu, on_cpu))


def demonstrations(text: str) -> str:
    """Return the page on demonstrations with the table of the committed results between its marks."""
    return _between(text, "speeds", datasets())


def training(text: str) -> str:
    """Return the page on training with the table of the inference latency of agents between its marks."""
    return _between(text, "latency", latency())


def remote_agents(text: str) -> str:
    """Return the page on remote agents with the table of the committed results between its marks."""
    return _between(text, "overhead", remote())


def physics(text: str) -> str:
    """Return the page on the physics with the tables of the speed of environments between their marks."""
    text = _between(text, "speeds", speeds([env_id(task) for task in TASKS], simulated=True))
    return _between(text, "vector", vector())


def teach_by_showing(text: str) -> str:
    """Return the page on recordings of people with the tables of the committed results between their marks."""
    text = _between(text, "accuracy", recordings.accuracy())
    return _between(text, "imitation", recordings.imitation())


def large_action_model(text: str) -> str:
    """Return the page on the model with the tables of fine-tuning between their marks."""
    text = _between(text, "new tasks", fine_tuning.fine_tuning(ROOT / "results" / "finetuning.json"))
    return _between(text, "new robot", fine_tuning.fine_tuning(ROOT / "results" / "finetuning-robot.json"))


def pretrained_agents(text: str) -> str:
    """Return the page on pretrained agents with the table of the published agents between its marks."""
    return _between(text, "pretrained", narrow(pretrained.pretrained(ROOT)))


def _between(text: str, mark: str, content: str) -> str:
    start, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    if not rest or not after:
        raise ValueError(f"the page lacks the marks {start} and {end}")
    return f"{before}{start}\n{content}\n{end}{after}"


def generated() -> dict[str, str]:
    """Return the pages of the site that are made from the code: file and text."""
    return {
        **{f"tasks/{task}.md": task_page(task) for task in TASKS},
        **{f"agents/{name}.md": agent_page(name) for name in AGENTS},
        "environments.md": environments(lambda task: f"tasks/{task}.md", "images"),
        "controls.md": controls(),
        "observations.md": observations(),
        "randomization.md": randomization(),
        "robots.md": robots(),
        "agents.md": agents(lambda name: f"agents/{name}.md"),
        "examples.md": examples(),
        "adapters.md": adapters(),
        "first_hour.md": first_hour(),
        "results.md": results(),
    }


WRITTEN = {
    "README.md": readme,
    "docs/demonstrations.md": demonstrations,
    "docs/scale.md": scale,
    "docs/pretrained_agents.md": pretrained_agents,
    "docs/training.md": training,
    "docs/remote_agents.md": remote_agents,
    "docs/physics.md": physics,
    "docs/teach_by_showing.md": teach_by_showing,
    "docs/large_action_model.md": large_action_model,
}
"""Pages written by hand that contain tables of the committed results."""


def main() -> None:
    """Write the pages in the repository."""
    argparse.ArgumentParser(prog="python -m docs.pages", description=__doc__).parse_args()
    (ROOT / "docs" / "environments.md").write_text(repository_page())
    for place, written in WRITTEN.items():
        (ROOT / place).write_text(written((ROOT / place).read_text()))


if __name__ == "__main__":
    main()
