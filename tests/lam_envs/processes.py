"""Script that starts processes after environments were made: ``processes.py CASE [KINDS]``.

Every case makes environments, steps and renders them, lets other processes use them or make their own, and compares
their results with those of this process before and after.
"""

from __future__ import annotations

import copy
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import traces

from lam_envs.registration import TASKS, env_id

SEED = 41
STEPS = 20
SMALL = {"image_width": 24, "image_height": 24}
LOOKED_AT = {"render_mode": "rgb_array", "render_width": 24, "render_height": 24}
Kinds = list[tuple[str, dict[str, Any]]]
KINDS: dict[str, Kinds] = {
    "two": [
        ("LamGrasp-v0", LOOKED_AT),
        ("LamPushPixels-v0", {**SMALL, **LOOKED_AT, "randomize": "full"}),
    ],
    "tasks": [
        (env_id(task), {**LOOKED_AT, "instruct": number % 2 == 0, "randomize": "physics"})
        for number, task in enumerate(TASKS)
    ],
}
CHOSEN = KINDS[sys.argv[2] if len(sys.argv) > 2 else "two"]
"""Environments of a case."""


def used() -> list[tuple[gym.Env[Any, Any], list[Any]]]:
    """Return environments that were made, stepped and rendered, with actions for each."""
    found = []
    for name, keywords in CHOSEN:
        env = gym.make(name, **keywords)
        actions = traces.contact_rich_actions(env, SEED, STEPS)
        env.render()
        found.append((env, actions))
    return found


def episode(env: gym.Env[Any, Any], actions: list[Any], seed: int = SEED) -> str:
    """Return the fingerprint of an episode and of an image of its end."""
    return traces.trace(env, seed, actions) + traces.fingerprint([env.render()])


def onwards(env: gym.Env[Any, Any], actions: list[Any]) -> str:
    """Return the fingerprint of further steps, and of an image."""
    parts: list[Any] = []
    for action in actions:
        parts += env.step(action)
    return traces.fingerprint([*parts, env.render()])


def _child(work: Callable[..., str], sender: Any, *arguments: Any) -> None:
    sender.send(work(*arguments))
    sender.close()


def elsewhere(context: Any, work: Callable[..., str], *arguments: Any) -> str:
    """Run a function in another process."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(work, sender, *arguments))
    process.start()
    sender.close()
    found: str = receiver.recv()
    process.join()
    assert process.exitcode == 0
    return found


def onwards_in_a_copy(env: gym.Env[Any, Any], actions: list[Any]) -> str:
    """Do the same in a copy: a forked process can copy an episode that it cannot continue."""
    return onwards(copy.deepcopy(env), actions)


def needs_a_reset(env: gym.Env[Any, Any], action: Any) -> str:
    """Check that a forked process needs a reset, and works after it."""
    for use in (lambda: env.unwrapped.step(action), env.render, env.unwrapped.get_state):  # type: ignore[attr-defined]
        try:
            use()
        except gym.error.ResetNeeded as error:
            if "this process was forked" in str(error):
                continue
            return f"the error does not name the fork: {error}"
        return "a forked process went on with an episode"
    env.reset(seed=SEED)
    env.step(action)
    env.close()
    return "fine"


def by_fork() -> None:
    context = multiprocessing.get_context("fork")
    for env, actions in used():
        expected = episode(env, actions)
        assert elsewhere(context, episode, env, actions) == expected
        env.reset(seed=SEED)
        for action in actions[:10]:
            env.step(action)
        # In the middle of the parent's episode, and the child closes what it has.
        assert elsewhere(context, needs_a_reset, env, actions[0]) == "fine"
        there = elsewhere(context, onwards_in_a_copy, env, actions[10:])
        rest = onwards(env, actions[10:])
        assert there == rest
        assert episode(env, actions) == expected
        env.reset(seed=SEED)
        for action in actions[:10]:
            env.step(action)
        assert onwards(env, actions[10:]) == rest


def onwards_and_episode(env: gym.Env[Any, Any], actions: list[Any], whole: list[Any]) -> str:
    return onwards(env, actions) + episode(env, whole)


def by_copy(method: str) -> None:
    """Check a copy, made within an episode, in a new process."""
    context = multiprocessing.get_context(method)
    for env, actions in used():
        expected = episode(env, actions)
        env.reset(seed=SEED)
        for action in actions[:10]:
            env.step(action)
        there = elsewhere(context, onwards_and_episode, env, actions[10:], actions)
        assert onwards(env, actions[10:]) + expected == there
        assert episode(env, actions) == expected


def by_data_loader() -> None:
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Episodes(IterableDataset[Any]):
        """Run the same episode in the environment that each worker was forked with."""

        def __init__(self, env: gym.Env[Any, Any], actions: list[Any]) -> None:
            self.env, self.actions = env, actions

        def __iter__(self) -> Iterator[Any]:
            assert get_worker_info() is not None
            for _ in range(2):
                yield episode(self.env, self.actions)

    for env, actions in used():
        expected = episode(env, actions)
        found = list(DataLoader(Episodes(env, actions), batch_size=None, num_workers=2))
        assert found == [expected] * 4
        assert episode(env, actions) == expected


def by_subproc_vec_env(method: str) -> None:
    from stable_baselines3.common.vec_env import SubprocVecEnv

    # New processes import Stable-Baselines3, which takes seconds each.
    first = 0 if method == "fork" else 1
    for (name, keywords), (env, actions) in zip(CHOSEN[first:], used()[first:], strict=True):
        expected = episode(env, actions)
        rows = []
        for row in range(2):
            observation, _ = env.reset(seed=SEED + row)
            rows.append([observation, *(env.step(action)[0] for action in actions)])

        def make(name: str = name, keywords: dict[str, Any] = keywords) -> gym.Env[Any, Any]:
            return gym.make(name, **keywords)

        vector = SubprocVecEnv([make, make], start_method=method)
        vector.seed(SEED)
        seen: list[Any] = [vector.reset()]
        seen += [vector.step(np.stack([action, action]))[0] for action in actions]
        vector.close()
        for row, wanted in enumerate(rows):
            own = [
                {key: part[row] for key, part in one.items()} if isinstance(one, dict) else one[row] for one in seen
            ]
            assert traces.fingerprint(own) == traces.fingerprint(wanted)
        assert episode(env, actions) == expected


CASES: dict[str, Callable[[], None]] = {
    "fork": by_fork,
    "spawn": lambda: by_copy("spawn"),
    "forkserver": lambda: by_copy("forkserver"),
    "data_loader": by_data_loader,
    "subproc_vec_env_fork": lambda: by_subproc_vec_env("fork"),
    "subproc_vec_env_spawn": lambda: by_subproc_vec_env("spawn"),
    "subproc_vec_env_forkserver": lambda: by_subproc_vec_env("forkserver"),
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
