"""Compare the current environment with the one that a dataset was collected in."""

from __future__ import annotations

from collections.abc import Sequence

import minari

from demos.check.integrity import shorten
from demos.collection.plan import Plan
from demos.collection.replay import replay_difference
from demos.datasets.environment import make_env
from demos.datasets.metadata import changes_of, is_collected, plan_of, stores_jpeg
from demos.datasets.reading import episodes_of
from demos.runtime.types import JsonObject


def environment_faults(dataset: minari.MinariDataset) -> list[str]:
    """Return the differences of the current environment from the one that the dataset was collected in.

    Args:
        dataset: Dataset of an environment of lam_envs.
    """
    try:
        env = make_env(dataset, render_mode=None)
    except Exception as error:  # Keywords of other versions may cause any exception.
        plan = plan_of(dataset)
        return [shorten(f"{plan['env_id']} cannot be made with {plan.get('env_kwargs')}: {error}")]
    faults: list[str] = []
    env.close()
    if changes_of(dataset):
        # Preprocessing may change the spaces.
        return faults
    for name in ("observation_space", "action_space"):
        current, recorded = getattr(env, name), getattr(dataset, name)
        if current != recorded:
            faults.append(
                f"{name} of {plan_of(dataset)['env_id']} is now {shorten(str(current))}, "
                f"and {shorten(str(recorded))} in the dataset; {_versions(dataset)}"
            )
    return faults


def reexecute(dataset: minari.MinariDataset, numbers: Sequence[int]) -> tuple[list[tuple[int, str]], str | None]:
    """Re-execute episodes.

    Args:
        dataset: Dataset of an environment of lam_envs.
        numbers: Numbers of the episodes.

    Returns:
        Number and difference of each episode that is not bit-identical; and a note on parts that were not compared.
    """
    changed = changes_of(dataset)
    if changed:
        return [], f"no episode was re-executed: they were changed by {', '.join(changed)}"
    collected, jpeg = is_collected(dataset.storage.metadata), stores_jpeg(dataset)
    differences = []
    env = make_env(dataset, render_mode=None)
    try:
        for number in numbers:
            try:
                (episode,) = episodes_of(dataset, [number])
                if episode.seed is None:
                    differences.append((number, "has no seed, which re-execution needs"))
                    continue
                difference = replay_difference(env, episode, all_infos=collected, jpeg=jpeg)[0]
            except Exception as error:  # Third-party recordings may cause any exception.
                difference = f"an error ({shorten(str(error))})"
            if difference is not None:
                differences.append((number, f"differs in {difference} after re-execution; {_versions(dataset)}"))
    finally:
        env.close()
    return differences, "images are stored as JPEG, with loss, and were not compared" if jpeg else None


def _versions(dataset: minari.MinariDataset) -> str:
    """Return the versions of the dataset and the current ones, where they differ."""
    plan = plan_of(dataset)
    if "versions" not in plan:
        return "its versions are unknown"
    current = _flat(Plan(plan["env_id"], dict(plan.get("env_kwargs") or {})).as_json())
    recorded = _flat(plan)
    different = [name for name in sorted(current.keys() | recorded.keys()) if current.get(name) != recorded.get(name)]
    if not different:
        return "its versions are the current ones"
    return "; ".join(
        f"{name} was {recorded.get(name, 'unknown')}, is {current.get(name, 'absent')}" for name in different
    )


def _flat(plan: JsonObject) -> dict[str, object]:
    """Return the versions that re-execution depends on; demonstrators and strategies do not matter."""
    tables = (plan.get("versions"), plan.get("libraries"))
    versions = {name: value for table in tables if isinstance(table, dict) for name, value in table.items()}
    return {name: value for name, value in versions.items() if not name.startswith(("demonstrator ", "strategy "))}
