"""Model card of a published agent, in the layout of the Hugging Face Hub: YAML, then text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import yaml

from agents.evaluation.evaluation import Evaluation
from agents.types import JsonObject, Keywords

CARD = "README.md"
"""File name of the model card, which the Hub shows as the page of the model."""


@dataclass(frozen=True)
class Result:
    """Results of an agent in one environment.

    Attributes:
        env_id: Id of the environment.
        keywords: Keywords of the environment.
        seeds: Seeds of the episodes.
        evaluation: Results of the episodes.
    """

    env_id: str
    keywords: Keywords
    seeds: range
    evaluation: Evaluation

    @property
    def changed(self) -> str:
        """Keywords that the registration of the environment does not set, as arguments of ``gym.make``."""
        registered = gym.spec(self.env_id).kwargs
        return "".join(
            f", {name}={value!r}" for name, value in self.keywords.items() if registered.get(name) != value
        )


def model_card(name: str, description: JsonObject, results: Sequence[Result]) -> str:
    """Return the text of a model card.

    Args:
        name: Name that the agent is published under.
        description: Content of ``agent.json``.
        results: Measured results, at least one.
    """
    training = description["training"]
    learned = training.get("demonstrations")
    versions = {**(training.get("libraries") or {}), **(training.get("versions") or {})}
    metadata = {
        "license": "mit",
        "library_name": "lam-envs",
        "pipeline_tag": "robotics",
        "tags": ["robotics", "imitation-learning" if learned else "reinforcement-learning", "gymnasium",
                 "pybullet", description["agent"], *dict.fromkeys(result.env_id for result in results)],
        "datasets": learned["id"].split(", ") if learned else [],
        "metrics": ["success_rate"],
        "model-index": [{"name": name, "results": [_indexed(result) for result in results]}],
    }  # fmt: skip
    first = results[0]
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False)}---

# {name}

Policy of the agent `{description["agent"]}` of [lam-envs](https://github.com/lam-envs/lam-envs), a suite of simulated
robot-manipulation tasks. The folder holds the settings and spaces (`agent.json`) and the weights
(`weights.safetensors`). Loading them runs no code from the files.

## Use

```sh
python -m agents enjoy {first.env_id} --agent PATH
```

```python
import gymnasium as gym

import agents, lam_envs

env = gym.make("{first.env_id}"{first.changed})
agent = agents.load("PATH", env)
```

`PATH` is this folder.

## Results

{_table(["environment", "success", "95% interval", "return"], [_row(result) for result in results])}

Episodes: {len(first.seeds)} in each environment, with seeds {first.seeds.start} to {first.seeds.stop - 1} and
deterministic actions. An episode is a success if the task is solved at
its last step. Intervals are Wilson score intervals. This is the result of one training,
with seed {training.get("seed")}: other seeds give other results.

## Data

{_data(learned)}
{_adaptations(training.get("adaptations") or [])}
## Settings

{_table(["setting", "value"], description["settings"].items())}

Budget: {training.get("budget") or "default of the settings"}.

## Versions

{_table(["part", "version"], versions.items())}

Each part of lam-envs has its own version, which increases when its behavior changes. `python -m agents show PATH`
lists the parts that have changed since the training.

## Intended use

Baseline for comparisons, starting point for fine-tuning, and example of a trained agent, in simulation.

## Limits

- It accepts only the observation and action spaces of the environments above; others raise an error.
- It was evaluated only with their robots, objects, spawn ranges and physics. Delays, noise, pushes and randomized
  physics can lower its success.
- It was never run on a real robot. It has no force limits and does not detect people: do not run it on a real robot.
"""


def _indexed(result: Result) -> dict[str, Any]:
    """Return a result in the format of the Hub's ``model-index``."""
    return {
        "task": {"type": "robotics", "name": result.env_id},
        "dataset": {"type": result.env_id, "name": f"{result.env_id}{result.changed}"},
        "metrics": [
            {"type": "success_rate", "name": "success rate", "value": round(result.evaluation.success_rate, 4)}
        ],
    }


def _row(result: Result) -> list[str]:
    low, high = result.evaluation.interval
    return [
        f"`{result.env_id}{result.changed}`",
        f"{result.evaluation.success_rate:.1%}",
        f"{low:.1%} to {high:.1%}",
        f"{result.evaluation.mean_return:.2f}",
    ]


def _data(learned: JsonObject | None) -> str:
    if not learned:
        return "None: the agent learned from reward alone."
    several = len(learned["id"].split(", ")) > 1
    rows = [
        ["datasets" if several else "dataset", ", ".join(f"`{each}`" for each in learned["id"].split(", "))],
        ["episodes", learned["episodes"]],
        ["SHA-256 of their checksums" if several else "SHA-256", f"`{learned['checksum']}`"],
    ]
    return _table(["demonstrations", ""], rows)


def _adaptations(adaptations: Sequence[JsonObject]) -> str:
    """Return a section about adaptations; empty without any."""
    if not adaptations:
        return ""
    header = ["environment", "method", "budget", "success in it", "success where it was trained", "used"]
    return f"""
## Adaptations

After the training, `agents adapt` trained the agent in changed environments, and used the result if a check found it
better. The check ran the same episodes before and after. The results above are those of the published agent in the
environment of its training.

{_table(header, [_adaptation(each) for each in adaptations])}
"""


def _adaptation(adaptation: JsonObject) -> list[object]:
    """Return an adaptation as a row of a table."""
    env_id, check = str(adaptation["environment"]), adaptation["check"]
    registered = gym.registry[env_id].kwargs if env_id in gym.registry else {}
    # The record holds keywords as Python expressions.
    keywords = {name: text for name, text in adaptation["keywords"].items() if text != repr(registered.get(name))}
    rates = [
        ", ".join(f"{check[when][where] / check['episodes']:.1%} {when}" for when in ("before", "after"))
        for where in ("changed", "home")
    ]
    return [
        f"`{env_id}{''.join(f', {name}={text}' for name, text in keywords.items())}`",
        adaptation["method"],
        adaptation["budget"],
        *rates,
        "yes" if adaptation["is_better"] else "no",
    ]


def _table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
