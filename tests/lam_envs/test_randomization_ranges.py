"""Invalid ranges of a randomization are refused, and errors name the field."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lam_envs import ManipulationEnv, Randomization
from lam_envs.randomization import MAX_CHANGE, MAX_DELAY, MAX_FACTOR, MAX_NOISE, MIN_FACTOR


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"object_size": (0.5, 1.0)}, r"object_size is \(0.5, 1.0\); expected a pair .* 0.7 <= low <= high <= 1.3"),
        ({"object_size": (1.0, 1.4)}, "object_size is"),
        ({"object_size": (1.1, 0.9)}, "low <= high"),
        ({"object_size": 1.1}, "object_size is 1.1; expected a pair"),
        ({"object_size": "ab"}, "object_size is 'ab'; expected a pair"),
        ({"object_mass": (0.0, 1.0)}, "object_mass is"),
        ({"object_mass": (1.0, math.inf)}, "object_mass is"),
        ({"object_mass": (math.nan, 1.0)}, "object_mass is"),
        ({"friction": (1.0,)}, "friction is"),
        ({"friction": (1.0, 1.0, 1.0)}, "friction is"),
        ({"friction": (True, True)}, "friction is"),
        ({"friction": ("1", "2")}, "friction is"),
        ({"brightness": None}, "brightness is None"),
        ({"brightness": (0.0, 1.0)}, "brightness is"),
        ({"sensor_noise": (-0.1, 0.1)}, "sensor_noise is"),
        ({"sensor_noise": (0.0, 1.5)}, "sensor_noise is"),
        ({"action_delay": (0, 11)}, r"action_delay is \(0, 11\); expected a pair .* <= 10"),
        ({"action_delay": (0.0, 1.5)}, "expected whole numbers of control steps"),
        ({"action_delay": (-1, 1)}, "action_delay is"),
        ({"object_color": 1.5}, "object_color is 1.5; expected a number from 0 to 1"),
        ({"scene_color": -0.1}, "scene_color is -0.1"),
        ({"light": math.nan}, "light is nan"),
        ({"light": (0.0, 1.0)}, "light is"),
        ({"camera_position": True}, "camera_position is True"),
        ({"camera_target": 0.6}, "camera_target is 0.6; expected a number from 0 to 0.5"),
    ],
)
def test_a_range_that_cannot_be_is_refused(ranges: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Randomization(**ranges)
    with pytest.raises(ValueError, match=message):
        ManipulationEnv(task="reach", randomize=ranges)


@pytest.mark.parametrize("given", [None, 3, True, ["full"], "everything", (0.9, 1.1)])
def test_something_that_is_no_randomization_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"randomize.*expected .*none, physics, visual, full"):
        ManipulationEnv(task="reach", randomize=given)


def test_an_unknown_range_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(TypeError, match=r"randomize has no 'masses'.*Known: object_size"):
        ManipulationEnv(task="reach", randomize={"masses": (1.0, 2.0)})
    with pytest.raises(TypeError, match=r"did you mean 'object_mass'"):
        ManipulationEnv(task="reach", randomize={"objectmass": (1.0, 2.0)})


@pytest.mark.parametrize("name", [*MAX_FACTOR, "sensor_noise", "action_delay", *MAX_CHANGE])
def test_an_episode_can_have_either_end_of_each_range(name: str) -> None:
    lowest = {**MIN_FACTOR, "sensor_noise": 0.0, "action_delay": 0}
    highest = {**MAX_FACTOR, "sensor_noise": MAX_NOISE, "action_delay": MAX_DELAY}
    ranges: list[Any] = [MAX_CHANGE[name]] if name in MAX_CHANGE else [(one[name],) * 2 for one in (lowest, highest)]
    for ends in ranges:
        env = ManipulationEnv(task="reach", randomize={name: ends})
        sample = env.reset(seed=0)[1].get("randomization", {name: 0.0})
        if name not in MAX_CHANGE:
            assert sample[name] == pytest.approx(ends[0])
        env.set_state(env.get_state())
        env.close()


def test_a_list_is_as_good_as_a_pair() -> None:
    given: Any = [0.9, 1.1]
    assert Randomization(object_size=given) == Randomization(object_size=(0.9, 1.1))
