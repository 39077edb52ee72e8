"""Writes ``docs/environments.md`` from the code, and the README's results from the results. Run by ``make docs``."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import gymnasium as gym

import lam_envs
from benchmarks.report import markdown_table
from lam_envs.control import CONTROLS
from lam_envs.registration import TASKS, VARIANTS, env_id
from lam_envs.tasks import make_task

ROOT = Path(__file__).parents[1]
HEAD = """# Environments

*Written by `make docs` from the docstrings and spaces of the code.*

Every environment is the same class with keyword arguments: `gym.make("LamGrasp-v0", control="discrete",
obs="goal", reward="sparse", terminate_on_success=True, render_mode="rgb_array", camera="side", render_width=640,
render_height=480)`. Control runs at 20 Hz of simulated time, physics at 240 Hz. Episodes have a fixed length; success
does not end them unless `terminate_on_success` says so. Judge an episode by `info["is_success"]` at its last step.

`render()` gives `rgb_array`, `depth_array` (metres) or, in a window, `human`, from the cameras `front`, `side` and
`wrist`. The full-detail meshes take about 0.15 s a picture on a CPU.

The same seed and actions give the same bits: observations, rewards and infos, in any process, after any other
episodes. `env.unwrapped.get_state()` returns an array from which `set_state` continues exactly.

"""


def page() -> str:
    """Returns the text of ``docs/environments.md``."""
    parts = [HEAD, "## Ids\n\n", _ids(), "\n## Actions\n\n"]
    for control in CONTROLS.values():
        parts.append(inspect.cleandoc(control.__doc__ or "") + "\n\n")
    for task in TASKS:
        parts.append(f"## {env_id(task)}\n\n{inspect.cleandoc(make_task(task).__doc__ or '')}\n\n{_state(task)}\n")
    return "".join(parts).rstrip() + "\n"


def _ids() -> str:
    lines = ["| id | keywords | steps |", "|---|---|---|"]
    for task, entry in TASKS.items():
        for variant, keywords in VARIANTS.items():
            told = ", ".join(f'{name}="{value}"' for name, value in keywords.items()) or "-"
            lines.append(f"| `{env_id(task, variant)}` | {told} | {entry.max_episode_steps} |")
    return "\n".join(lines) + "\n"


def _state(task: str) -> str:
    env: Any = gym.make(env_id(task)).unwrapped
    lines = [
        f'**State** (`obs="state"`), {env.layout.size} numbers, each (value - centre) / scale. '
        "`env.unwrapped.layout` holds this table.",
        "",
        "| feature | slice | unit | centre | scale | observed range | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, part in env.layout.items():
        center = sorted(set(part.center)) if len(set(part.center)) == 1 else part.center
        lines.append(
            f"| `{name}` | {part.slice.start}:{part.slice.stop} | {part.unit} | "
            f"{', '.join(f'{number:g}' for number in center)} | {part.scale:g} | "
            f"{part.low[0]:g} to {part.high[0]:g} | {part.description} |"
        )
    env.close()
    return "\n".join(lines) + "\n"


def readme(text: str) -> str:
    """Returns the README with the tables of the committed results between its marks."""
    text = _between(text, "results", markdown_table(ROOT / "results" / "core"))
    return _between(text, "speeds", _speeds())


def _speeds() -> str:
    figures = json.loads((ROOT / "results" / "throughput.json").read_text())
    machine, versions = figures["machine"], figures["versions"]
    rates = {speed["env_id"]: speed for speed in figures["speeds"]}
    lines = [
        "| environment | steps/s | resets/s | physics share of a step | steps/s, ratio to panda-gym's |",
        "|---|---|---|---|---|",
    ]
    for pair in figures["comparisons"]:
        speed = rates[pair["env_id"]]
        lines.append(
            f"| {pair['env_id']} | {speed['steps_per_second']:,.0f} | {speed['resets_per_second']:,.0f} | "
            f"{100 * speed['physics_share']:.0f}% | {pair['steps_ratio']:.2f} "
            f"({pair['low']:.2f} to {pair['high']:.2f}) of {pair['neighbour']} |"
        )
    lines += [
        "",
        f"{machine['processor']}, {machine['cores']} cores; {figures['rounds']} rounds of {figures['steps']} steps; "
        f"gymnasium {versions['gymnasium']}, pybullet {versions['pybullet']}, panda-gym {versions['panda-gym']}.",
    ]
    return "\n".join(lines)


def _between(text: str, mark: str, content: str) -> str:
    start, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    if not rest or not after:
        raise ValueError(f"the README lacks the marks {start} and {end}")
    return f"{before}{start}\n{content}\n{end}{after}"


def main() -> None:
    """Writes both."""
    (ROOT / "docs" / "environments.md").write_text(page())
    file = ROOT / "README.md"
    file.write_text(readme(file.read_text()))


if __name__ == "__main__":
    main()
    print(f"wrote the pages of {len(lam_envs.ENV_IDS)} environments")  # noqa: T201
