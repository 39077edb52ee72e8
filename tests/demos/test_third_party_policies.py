"""Third-party policies and environments are recorded."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import demos
from demos.collection.recording import check_spaces, record, replay_steps
from demos.datasets.checksum import checksum

from .check.damage import check_here
from .test_collection import BOX, TWO_SHARDS, collected

THIRD_PARTY = """
    import gymnasium as gym
    import numpy as np

    class Balance:
        def __init__(self, env):
            assert env.spec.id == "CartPole-v1"

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            angle, speed = observation[2], observation[3]
            return np.int64(angle + 0.5 * speed > 0), state

    class Nothing:
        def __init__(self, env):
            pass

    class Digits:
        def __init__(self, env):
            pass

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return [0.1, 0.2, -0.3, 1.0], state

    class Fixed:
        def __init__(self, answer):
            self.answer = answer

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return self.answer

    no_pair = Fixed(np.array([0.1, 0.2]))
    too_far = Fixed((np.array([0.0, 1.5]), None))
    too_long = Fixed((np.array([0.0, 0.5, 0.5]), None))
    undefined = Fixed((np.array([0.0, np.nan]), None))
    fitting = Fixed((np.array([0.1, 0.2]), None))
    choice = Fixed((1, None))

    class Point(gym.Env):
        # Its observations are more precise than their space.
        observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.np_random.uniform(-1.0, 1.0, 2), {}

        def step(self, action):
            assert action.shape == (2,)
            return self.np_random.uniform(-1.0, 1.0, 2), 0.0, False, False, {}

    class Choices(gym.ActionWrapper):
        def __init__(self):
            super().__init__(Point())
            self.action_space = gym.spaces.Discrete(3)

        def action(self, number):
            return np.full(2, number - 1.0, dtype=np.float32)

    gym.register("ThirdPoint-v0", entry_point=Point, max_episode_steps=4)
    gym.register("ThirdChoices-v0", entry_point=Choices, max_episode_steps=4)
"""
THIRD_PARTY_IDS = ("ThirdPoint-v0", "ThirdChoices-v0")
MORE_PRECISE = pytest.mark.filterwarnings("ignore:.*The obs returned by")


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of third-party policies and environments that can be imported."""
    monkeypatch.delitem(sys.modules, "third_party", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "third_party.py").write_text(textwrap.dedent(THIRD_PARTY))
    yield
    for env_id in THIRD_PARTY_IDS:
        gym.registry.pop(env_id, None)


@pytest.mark.usefixtures("third_party")
def test_a_third_party_policy_in_a_third_party_environment_is_recorded(tmp_path: Path) -> None:
    dataset = demos.collect("CartPole-v1", episodes=2, policy="third_party:Balance", root=tmp_path)
    assert dataset.total_episodes == 2
    assert dataset[0].rewards.sum() > 100


@pytest.mark.slow
@pytest.mark.usefixtures("third_party")
def test_two_workers_record_what_one_does_by_a_third_party_policy(tmp_path: Path) -> None:
    arguments = ["CartPole-v1", "--episodes", str(TWO_SHARDS), "--policy", "third_party:Balance"]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    one = demos.collect(
        "CartPole-v1", episodes=TWO_SHARDS, policy="third_party:Balance", dataset_id="made-v0", root=tmp_path / "one"
    )
    two = collected(tmp_path / "two", *arguments, "--workers", "2", env=path)
    assert checksum(one) == checksum(two)


class Talkative(gym.Wrapper[Any, Any, Any, Any]):
    """Return infos that are no numbers, not always there, or of another shape each time."""

    def _info(self, number: int) -> dict[str, Any]:
        return {
            "number": number,
            "inner": {"flag": number % 2 == 0, "text": "so", **({"late": 1.0} if number else {})},
            "text": "so",
            "growing": np.zeros(number + 1),
            "turning": {"a": 1} if number % 2 else 1,
            "only texts": {"a": "so"},
            **({} if number == 1 else {"sometimes": 2.0}),
            **dict.fromkeys(("a/b", "/foo", "..", "", "nul\0", 5), 1.0),
        }

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        self._number = 0
        return self.env.reset(**keywords)[0], self._info(0)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._number += 1
        return *self.env.step(action)[:4], self._info(self._number)


def test_only_numbers_that_are_always_reported_are_recorded() -> None:
    env = Talkative(gym.make("CartPole-v1"))
    episode = record(env, replay_steps(env, [0, 1, 0], seed=0), seed=0)
    env.close()
    np.testing.assert_equal(
        episode.infos, {"number": np.arange(4), "inner": {"flag": np.array([True, False, True, False])}}
    )


class Spaces(gym.Wrapper[Any, Any, Any, Any]):
    """Says that it has other spaces."""

    def __init__(self, **given: gym.Space[Any]) -> None:
        super().__init__(gym.make("CartPole-v1"))
        self.__dict__.update({f"_{name}": space for name, space in given.items()})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"observation_space": gym.spaces.Tuple([BOX, BOX])}, "observations cannot be recorded: Tuple"),
        ({"observation_space": gym.spaces.Dict({"a/b": BOX})}, "observations cannot be recorded: the name 'a/b'"),
        ({"observation_space": gym.spaces.Dict({"in": gym.spaces.Dict()})}, "an empty Dict"),
        ({"observation_space": gym.spaces.Text(3)}, "observations cannot be recorded: Text"),
        ({"action_space": gym.spaces.Dict({"a": BOX})}, "actions cannot be recorded: Dict"),
        ({"action_space": gym.spaces.Box(-1.0, 1.0, (0,))}, "actions cannot be recorded: Box"),
    ],
)
def test_spaces_that_cannot_be_recorded_are_named_before_anything_is(
    given: dict[str, gym.Space[Any]], message: str
) -> None:
    env = Spaces(**given)
    with pytest.raises(ValueError, match=message):
        check_spaces(env)
    env.close()


@pytest.mark.usefixtures("third_party")
def test_more_digits_than_the_space_has_are_neither_executed_nor_recorded(tmp_path: Path) -> None:
    dataset = demos.collect(
        "LamReach-v0", episodes=2, policy="third_party:Digits", keep_failures=True, root=tmp_path / "data"
    )
    assert all(episode.actions.dtype == np.float32 for episode in dataset.iterate_episodes())
    assert demos.replay(dataset).identical == 2
    assert check_here(dataset.storage.data_path, replay=1).is_undamaged


@MORE_PRECISE
@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        ("no_pair", TypeError, r"predict returned array\(.*; expected a pair \(action, state\)"),
        ("too_far", ValueError, r"the policy returned array\(.*; expected an action in Box\(-1\.0, 1\.0, \(2,\)"),
        ("too_long", ValueError, "expected an action in Box"),
        ("undefined", ValueError, "expected an action in Box"),
    ],
)
def test_actions_that_do_not_fit_their_space_are_refused(
    policy: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    importlib.import_module("third_party")
    settings: Any = {"episodes": 1, "dataset_id": "ours/point-v0", "root": tmp_path}
    with pytest.raises(error, match=message):
        demos.collect("ThirdPoint-v0", policy=f"third_party:{policy}", **settings)
    # The id is free for other settings.
    assert demos.collect("ThirdPoint-v0", policy="third_party:fitting", **settings).total_episodes == 1


@MORE_PRECISE
@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(("env_id", "policy"), [("ThirdPoint-v0", "fitting"), ("ThirdChoices-v0", "choice")])
def test_what_is_recorded_is_in_the_spaces_of_the_wrapped_environment(
    env_id: str, policy: str, tmp_path: Path
) -> None:
    importlib.import_module("third_party")
    dataset = demos.collect(env_id, episodes=1, policy=f"third_party:{policy}", root=tmp_path / "data")
    (episode,) = dataset.iterate_episodes()
    assert episode.observations.dtype == np.float32
    assert all(dataset.action_space.contains(action) for action in episode.actions)
    assert demos.replay(dataset).identical == 1
    assert check_here(dataset.storage.data_path, replay=1).is_undamaged
