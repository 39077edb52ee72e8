"""Compare the environment of today with the one that a dataset was collected in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minari

from demos.check.integrity import shown
from demos.collection.plan import Plan
from demos.collection.replay import replay_difference
from demos.datasets.environment import make_env
from demos.datasets.metadata import changes_of, is_collected, plan_of, stores_jpeg
from demos.datasets.reading import episodes_of


def environment_faults(dataset: minari.MinariDataset) -> list[str]:
    """Return how the environment that the dataset names is not the one that it was collected in.

    Args:
        dataset: Of an environment of lam_envs.
    """
    try:
        env = make_env(dataset, render_mode=None)
    except Exception as error:  # Keywords of other versions: an environment may refuse them in any way.
        plan = plan_of(dataset)
        return [shown(f"{plan['env_id']} cannot be made with {plan.get('env_kwargs')}: {error}")]
    faults: list[str] = []
    env.close()
    if changes_of(dataset):
        # A step of preprocessing may give its episodes other spaces.
        return faults
    for name in ("observation_space", "action_space"):
        now, recorded = getattr(env, name), getattr(dataset, name)
        if now != recorded:
            faults.append(
                f"{name} of {plan_of(dataset)['env_id']} is now {shown(str(now))}, "
                f"and {shown(str(recorded))} in the dataset; {_versions(dataset)}"
            )
    return faults


def reexecuted(dataset: minari.MinariDataset, numbers: Sequence[int]) -> tuple[list[tuple[int, str]], str | None]:
    """Re-execute episodes.

    Args:
        dataset: Of an environment of lam_envs.
        numbers: Of the episodes.

    Returns:
        Number and difference of each episode that is not bit-identical; and a note on what was not compared.
    """
    changed = changes_of(dataset)
    if changed:
        return [], f"nothing was re-executed: the episodes were changed by {', '.join(changed)}"
    collected, jpeg = is_collected(dataset.storage.metadata), stores_jpeg(dataset)
    differences = []
    env = make_env(dataset, render_mode=None)
    try:
        for number, episode in zip(numbers, episodes_of(dataset, numbers), strict=True):
            if episode.seed is None:
                differences.append((number, "has no seed, which re-executing it needs"))
                continue
            try:
                difference = replay_difference(env, episode, all_infos=collected, jpeg=jpeg)[0]
            except Exception as error:  # What was recorded otherwise may fail in any way.
                difference = f"an error ({shown(str(error))})"
            if difference is not None:
                differences.append((number, f"re-executed, it differs in {difference}; {_versions(dataset)}"))
    finally:
        env.close()
    return differences, "images are stored as JPEG, with loss: they were not compared" if jpeg else None


def _versions(dataset: minari.MinariDataset) -> str:
    """The versions that made the dataset and those that are here, where they differ."""
    plan = plan_of(dataset)
    if "versions" not in plan:
        return "the versions that made it are not known"
    here = _flat(Plan(plan["env_id"], dict(plan.get("env_kwargs") or {})).as_json())
    made = _flat(plan)
    different = [name for name in sorted(here.keys() | made.keys()) if here.get(name) != made.get(name)]
    if not different:
        return "the versions are those that made it"
    return "; ".join(f"{name} was {made.get(name, 'unknown')}, is {here.get(name, 'absent')}" for name in different)


def _flat(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the versions of a plan in one dict, without demonstrators and strategies: the actions are recorded."""
    tables = (plan.get("versions"), plan.get("libraries"))
    found = {name: value for table in tables if isinstance(table, dict) for name, value in table.items()}
    return {name: value for name, value in found.items() if not name.startswith(("demonstrator ", "strategy "))}
