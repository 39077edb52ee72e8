"""Vector environments give the episodes of single environments, in the form of Gymnasium's vector environments."""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import closing
from itertools import cycle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import lam_envs
from lam_envs.robots import ROBOTS
from lam_envs.vector import ParallelVectorEnv, make_vec

from .comparing import SMALL_IMAGES, assert_same, batches, vector

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("LamReach-v0", {}),
    ("LamDrawerDiscrete-v0", {"instruct": True}),
    ("LamReachGoal-v0", {"randomize": "physics"}),
    ("LamReachPixels-v0", {**SMALL_IMAGES, "randomize": "full", "instruct": True}),
]
MODES = list(AutoresetMode)


@pytest.mark.parametrize(
    ("env_id", "keywords", "workers"),
    [
        # Processes quickly with numbers and with images; the others are slow.
        pytest.param(*kind, workers, marks=pytest.mark.slow if workers and row in (1, 2) else ())
        for row, kind in enumerate(KINDS)
        for workers in (0, 2)
    ],
)
def test_episodes_are_those_of_single_environments(env_id: str, keywords: dict[str, Any], workers: int) -> None:
    with vector(env_id, **keywords, num_workers=workers) as envs:
        found = [envs.reset(seed=7)]
        actions = batches(envs, 6)
        found += [envs.step(action) for action in actions]
    for number in range(3):
        env = gym.make(env_id, **keywords)
        single: list[Any] = [env.reset(seed=7 + number)]
        single += [env.step(action[number]) for action in actions]
        env.close()
        for one, expected in zip(found, single, strict=True):
            assert_same(_row(one[0], number), expected[0])
            assert_same([part[number].item() for part in one[1:-1]], list(expected[1:-1]))
            assert all(one[-1][f"_{key}"][number] for key in expected[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "robot"), list(zip(lam_envs.ENV_IDS, cycle(ROBOTS), strict=False)))
def test_episodes_of_every_id_are_those_of_single_environments(env_id: str, robot: str) -> None:
    small = SMALL_IMAGES if "Pixels" in env_id else {}
    keywords = {"robot": robot, "randomize": "full", "instruct": True, "max_episode_steps": 15, **small}
    with vector(env_id, **keywords, num_workers=2, autoreset_mode="SameStep") as envs:
        actions = batches(envs, 32)
        found = [envs.reset(seed=7), *(envs.step(action) for action in actions)]
    with vector(env_id, **keywords, num_workers=1, autoreset_mode="SameStep") as envs:
        assert_same([envs.reset(seed=7), *(envs.step(action) for action in actions)], found)
    for number in range(3):
        env = gym.make(env_id, **keywords)
        # Two whole episodes, and the start of a third one.
        single: list[Any] = [env.reset(seed=7 + number)]
        for action in actions:
            result = env.step(action[number])
            single.append((env.reset()[0], *result[1:]) if result[3] else result)
        env.close()
        for one, expected in zip(found, single, strict=True):
            assert_same(_row(one[0], number), expected[0])
            assert_same([part[number].item() for part in one[1:-1]], [_number(part) for part in expected[1:-1]])


def _number(part: Any) -> Any:
    return part.item() if isinstance(part, np.generic) else part


def _row(batch: Any, number: int) -> Any:
    return {name: part[number] for name, part in batch.items()} if isinstance(batch, dict) else batch[number]


@pytest.mark.parametrize(
    ("env_id", "keywords", "mode"),
    [
        # Each kind in one mode, each mode with one kind; the others are slow.
        pytest.param(*kind, mode, marks=[] if row == column else pytest.mark.slow)
        for row, kind in enumerate(KINDS[:3])
        for column, mode in enumerate(MODES)
    ],
)
def test_results_are_those_of_gymnasiums_vector_environment(
    env_id: str, keywords: dict[str, Any], mode: AutoresetMode
) -> None:
    keywords = {**keywords, "max_episode_steps": 4}
    gymnasiums = SyncVectorEnv([lambda: gym.make(env_id, **keywords)] * 3, autoreset_mode=mode)
    actions = batches(gymnasiums, 9)
    expected = [gymnasiums.reset(seed=[3, 1, 2])]
    for count, action in enumerate(actions):
        expected.append(gymnasiums.step(action))
        if mode is AutoresetMode.DISABLED and count % 4 == 3:
            expected.append(gymnasiums.reset())
    spaces = (gymnasiums.observation_space, gymnasiums.action_space)
    gymnasiums.close()
    for workers in (1, 3):
        with vector(env_id, **keywords, num_workers=workers, autoreset_mode=mode.value) as envs:
            assert envs.metadata["autoreset_mode"] is mode
            assert (envs.observation_space, envs.action_space) == spaces
            found = [envs.reset(seed=[3, 1, 2])]
            for count, action in enumerate(actions):
                found.append(envs.step(action))
                if mode is AutoresetMode.DISABLED and count % 4 == 3:
                    with pytest.raises(ResetNeeded, match="environment 0: its episode has ended"):
                        envs.step(action)
                    found.append(envs.reset())
            assert_same(found, expected)


def test_a_mask_resets_some_environments_and_the_others_continue() -> None:
    mask = np.array([True, False, True])
    expected = SyncVectorEnv([lambda: gym.make("LamReach-v0")] * 3)
    for workers in (1, 2):
        with vector(num_workers=workers) as envs:
            assert_same(envs.reset(seed=3), expected.reset(seed=3))
            for seed, action in enumerate(batches(envs, 3)):
                assert_same(envs.step(action), expected.step(action))
                options: dict[str, Any] = {"reset_mask": mask, "instruction": "go there"}
                given = dict(options)
                assert_same(envs.reset(seed=seed, options=given), expected.reset(seed=seed, options=options))
                assert set(given) == {"reset_mask", "instruction"}
            for wrong, error in ((np.array([True]), ValueError), (~mask & mask, ValueError), ([True] * 3, TypeError)):
                with pytest.raises(error, match="reset_mask"):
                    envs.reset(options={"reset_mask": wrong})
    expected.close()


def test_what_was_returned_before_does_not_change() -> None:
    for workers in (1, 2):
        with vector(num_workers=workers) as envs:
            results = [envs.reset(seed=0)]
            copies = [pickle.dumps(results[0])]
            for action in batches(envs, 3):
                results.append(envs.step(action))
                copies.append(pickle.dumps(results[-1]))
            assert_same(results, [pickle.loads(one) for one in copies])
            # Neither do later results depend on what the caller does to earlier ones.
            results[-1][-1]["is_success"][:] = True
            assert not envs.step(action)[-1]["is_success"].any()


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_methods_and_attributes_reach_every_environment(workers: int) -> None:
    with vector(num_workers=workers, render_mode="rgb_array", render_width=8, render_height=8) as envs:
        envs.reset(seed=4)
        assert envs.get_attr("task_name") == ("reach",) * 3
        assert envs.np_random_seed == (4, 5, 6)
        states = envs.call("get_state")
        assert len({state.tobytes() for state in states}) == 3
        (kept,) = envs.call_some([1], "get_state")
        assert_same(kept, states[1])
        assert [image.shape for image in envs.render()] == [(8, 8, 3)] * 3
        envs.set_attr("note", ["a", "b", "c"])
        assert envs.get_attr("note") == ("a", "b", "c")
        with pytest.raises(ValueError, match="the numbers have 5; expected numbers from 0 to 2"):
            envs.call_some([5], "get_state")
        with pytest.raises(ValueError, match="2 values; expected one for each of 3"):
            envs.set_attr("note", [1, 2])
        with pytest.raises(AttributeError, match="environment 0"):
            envs.call("fly")


def test_every_id_has_the_entry_point_and_specs_make_the_same() -> None:
    assert all(gym.spec(env_id).vector_entry_point == f"lam_envs.vector:{env_id}" for env_id in lam_envs.ENV_IDS)
    with vector("LamReach-v0", 2, num_workers=1, max_episode_steps=3) as envs:
        again: Any = gym.make_vec(envs.spec)
    assert (again.num_envs, again.num_workers) == (2, 1)
    assert again.call("spec")[0].max_episode_steps == 3
    again.close()
    with pytest.raises(ValueError, match="foggy"):
        gym.make_vec("LamReach-v0", num_envs=2, obs="foggy")


def test_wrong_arguments_are_refused() -> None:
    make = [lambda: gym.make("LamReach-v0")]
    for keywords, message in (
        ({"num_workers": -1}, "num_workers is -1"),
        ({"num_workers": 1.5}, r"num_workers is 1\.5; expected a whole number, or None"),
        ({"num_workers": 0, "context": "spork"}, "unknown context 'spork'; expected one of fork"),
        ({"autoreset_mode": "Never"}, "unknown autoreset_mode 'Never'; expected one of NextStep, SameStep, Disabled"),
        ({"autoreset_mode": None}, "unknown autoreset_mode None; expected one of NextStep"),
        ({"num_workers": 2, "context": "thread"}, "thread"),
    ):
        with pytest.raises(ValueError, match=message):
            ParallelVectorEnv(make * 2, **keywords)
    with pytest.raises(ValueError, match="no environments"):
        ParallelVectorEnv([])
    for count in (2.0, 0, -1, True, "2"):
        with pytest.raises(ValueError, match=f"num_envs is {count!r}; expected a positive whole number of envir"):
            make_vec("LamReach-v0", count)  # type: ignore[arg-type]
    for workers in (1, 2):
        with pytest.raises(ValueError, match="environment 1: its spaces are"):
            ParallelVectorEnv([*make, lambda: gym.make("LamReachDiscrete-v0")], num_workers=workers)
    with closing(make_vec("LamReach-v0", np.int64(2), num_workers=np.int64(1))) as envs:  # type: ignore[arg-type]
        with pytest.raises(ResetNeeded):
            envs.step(np.zeros((2, 4), np.float32))
        envs.reset(seed=0)
        with pytest.raises(ValueError, match="1 seeds; expected one for each of 2"):
            envs.reset(seed=[1])
        for actions in (np.zeros((3, 4)), np.zeros(4), np.array(["a"] * 2)):
            with pytest.raises(ValueError, match="the actions have shape"):
                envs.step(actions)


def test_import_of_the_package_loads_no_vector_environment() -> None:
    code = "import sys, lam_envs; assert not {'lam_envs.vector', 'pybullet', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
