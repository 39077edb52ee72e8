"""Invalid keywords raise errors with the value and the expected values, and leave no client open."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import numpy as np
import pybullet
import pytest

from lam_envs import ManipulationEnv, Randomization

# One value of every type.
STRANGE: list[Any] = [None, 2.5, -1, math.nan, 10**30, True, b"panda", [], {}, np.zeros(3), len]

NAMED = {
    "task": "one of reach, push, grasp",
    "robot": "one of panda",
    "control": "one of ee, ee_yaw, joint, discrete",
    "obs": "one of state, goal, pixels",
    "reward": "one of dense, sparse",
    "paraphrases": "one of train, held-out, known-words",
    "renderer": "one of tiny, egl",
    "camera": "one of front, overview, side, wrist",
    "render_mode": "one of ",
}
TRUTHS = ("terminate_on_success", "instruct", "depth")
PIXELS = ("image_width", "image_height", "render_width", "render_height")
CAMERAS: list[Any] = [(), [], "front", ("front", "front"), ("back",), (None,), ([],), ({},), 3, np.array(["front"])]
RANDOMIZATIONS: list[tuple[Any, str]] = [
    ("everything", "none, physics, visual, full"),
    ({"friction": (1.3, 0.7)}, r"expected a pair \(low, high\)"),
    ({"friction": (1.0,)}, r"expected a pair"),
    ({"friction": 1.0}, r"expected a pair"),
    ({"friction": "11"}, r"expected a pair"),
    ({"friction": ("a", "b")}, r"expected a pair"),
    ({"friction": (math.nan, 1.0)}, r"expected a pair"),
    ({"friction": (0.0, 1.0)}, r"expected a pair"),
    ({"friction": (1.0, math.inf)}, r"expected a pair"),
    ({"friction": (True, True)}, r"expected a pair"),
    ({"object_size": None}, r"expected a pair"),
    ({"object_mass": (-1.0, 1.0)}, r"expected a pair"),
    ({"sensor_noise": (0.0, 2.0)}, r"expected a pair"),
    ({"action_delay": (0, 0.5)}, "whole numbers"),
    ({"action_delay": (0, 11)}, r"expected a pair"),
    ({"object_color": -0.1}, "expected a number from 0"),
    ({"object_color": math.nan}, "expected a number from 0"),
    ({"light": (0.0, 1.0)}, "expected a number from 0"),
    ({"camera_position": "much"}, "expected a number from 0"),
]


def keywords() -> list[str]:
    parameters = inspect.signature(ManipulationEnv.__init__).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def clients() -> int:
    """Return the number of clients that are open in this process."""
    return sum(map(pybullet.isConnected, range(64)))


def refused(message: str, **given: Any) -> None:
    before = clients()
    with pytest.raises(ValueError, match=message) as raised:
        ManipulationEnv(**{"task": "grasp", **given})
    for name, value in given.items():
        assert name in str(raised.value)
        if isinstance(value, str):
            assert repr(value) in str(raised.value)
    assert clients() == before, "a client was left open"


def test_this_file_knows_every_keyword() -> None:
    assert set(keywords()) == {*NAMED, *TRUTHS, *PIXELS, "tool_length_offset", "cameras", "randomize"}


@pytest.mark.parametrize("keyword", NAMED)
@pytest.mark.parametrize("given", [*STRANGE, "", "Panda", "PANDA "], ids=repr)
def test_a_name_must_be_known(keyword: str, given: Any) -> None:
    if keyword == "render_mode" and given is None:
        ManipulationEnv(task="grasp", render_mode=None)
        return
    refused(re.escape("expected " + NAMED[keyword]), **{keyword: given})


@pytest.mark.parametrize("keyword", TRUTHS)
@pytest.mark.parametrize("given", [*(value for value in STRANGE if value is not True), "True", 1, 0], ids=repr)
def test_a_bool_must_be_true_or_false(keyword: str, given: Any) -> None:
    refused("expected True or False", **{keyword: given})


@pytest.mark.parametrize("keyword", PIXELS)
@pytest.mark.parametrize("given", [*STRANGE, 0, 8193, "84", (84, 84), math.inf], ids=repr)
def test_a_number_of_pixels_must_be_positive_and_whole(keyword: str, given: Any) -> None:
    refused("expected a positive whole number of pixels, at most 8192", **{keyword: given})


@pytest.mark.parametrize("number", [np.int64(32), np.uint8(32), np.array(32)], ids=repr)
def test_numbers_and_bools_of_numpy_are_as_good_as_those_of_python(number: Any) -> None:
    given: dict[str, Any] = {"obs": "pixels", "image_width": number, "image_height": number, "depth": np.True_}
    env = ManipulationEnv(task="table", chain=number // 16, cubes=number // 8, instruct=np.True_, **given)  # type: ignore[arg-type]
    assert env.chain == 2
    observation, _ = env.reset(seed=0)
    assert observation["front_depth"].shape == (32, 32, 1)
    assert "instruction" in observation
    env.close()


@pytest.mark.parametrize("given", [*STRANGE, 0.0501, -1e-9, math.inf, "0.03", (0.0, 0.03)], ids=repr)
def test_a_length_offset_must_be_a_small_length(given: Any) -> None:
    refused(re.escape("expected a length from 0 to 0.05 meters"), tool_length_offset=given)


@pytest.mark.parametrize("given", CAMERAS, ids=repr)
def test_cameras_must_be_known_names_and_none_twice(given: Any) -> None:
    refused("expected", cameras=given)


@pytest.mark.parametrize("given", [value for value in STRANGE if not isinstance(value, dict)], ids=repr)
def test_randomize_must_be_a_name_or_ranges(given: Any) -> None:
    refused("none, physics, visual, full", randomize=given)


@pytest.mark.parametrize("given", [{}, "none", Randomization()], ids=repr)
def test_no_ranges_vary_nothing(given: Any) -> None:
    env = ManipulationEnv(task="grasp", randomize=given)
    assert "randomization" not in env.reset(seed=0)[1]
    env.close()


@pytest.mark.parametrize(
    ("field", "meant"), [("frction", "friction"), ("object_colour", "object_color"), ("zzz", "")]
)
def test_an_unknown_range_is_named_with_the_nearest_known_one(field: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"randomize has no '{field}'.*{meant}.*Known: object_size"):
        ManipulationEnv(task="grasp", randomize={field: (1.0, 1.0)})


@pytest.mark.parametrize("field", [1, None, ("friction",)], ids=repr)
def test_a_range_that_is_no_name_is_refused(field: Any) -> None:
    with pytest.raises(TypeError, match="randomize has no"):
        ManipulationEnv(task="grasp", randomize={field: (1.0, 1.0)})


@pytest.mark.parametrize("keyword", keywords())
def test_a_misspelled_keyword_is_named_with_the_right_one(keyword: str) -> None:
    given: dict[str, Any] = {"task": "grasp", keyword + "x": None}
    with pytest.raises(
        TypeError, match=rf"'{keyword}x' \(did you mean '{keyword}'\?\)\. Known: task, robot"
    ) as error:
        ManipulationEnv(**given)
    assert str(error.value).startswith(pythons_words(given))


def pythons_words(given: dict[str, Any]) -> str:
    """Raise Python's error for an unknown keyword of a class."""

    class ManipulationEnv:
        def __init__(self, *, task: str) -> None: ...

    with pytest.raises(TypeError) as error:
        ManipulationEnv(**given)
    return str(error.value).removeprefix("pythons_words.<locals>.")


@pytest.mark.parametrize(("given", "message"), RANDOMIZATIONS, ids=repr)
def test_a_randomization_must_be_possible(given: Any, message: str) -> None:
    before = clients()
    name = next(iter(given)) if isinstance(given, dict) else "randomize"
    with pytest.raises(ValueError, match=message) as raised:
        ManipulationEnv(task="grasp", randomize=given)
    value = given[name] if isinstance(given, dict) else given
    assert name in str(raised.value)
    assert repr(value) in str(raised.value)
    assert clients() == before
