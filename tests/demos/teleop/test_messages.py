"""Messages of the page: only what is valid is accepted, and directions are those of the image."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demos.runtime.web.access import Access, is_loopback
from demos.runtime.web.messages import pack, unpack
from demos.teleop.messages import Command, Motion, Received, parse
from demos.teleop.motion import Steering
from tests.conftest import Make

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("type", "right", "away", "up", "turn", "speed", "frame", "do", "names", "seed")


def test_a_motion_is_clipped_to_its_range() -> None:
    parsed = parse('{"type": "motion", "right": 7, "away": -1e9, "up": 0.5, "speed": 3}')
    assert parsed == Motion(1.0, -1.0, 0.5, 0.0, 1.0)
    assert parse('{"type": "motion", "frame": 4}') == Received(Motion())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ('{"type": 3}', "is of type 3"),
        ('{"type": "close"}', "is of type 'close'"),  # what only the program itself may say
        ('{"type": "export"}', "is of type 'export'"),
        ('{"type": "motion", "right": "fast"}', "'right' of a message is 'fast'"),
        ('{"type": "motion", "up": NaN}', "'up' of a message is nan"),
        ('{"type": "motion", "up": 1e999}', "'up' of a message is inf"),
        ('{"type": "motion", "up": true}', "'up' of a message is True"),
        ('{"type": "motion", "up": ' + "9" * 400 + "}", "'up' of a message is 999"),
        ('{"type": "motion", "frame": -1}', "'frame' of a message is -1"),
        ('{"type": "gripper", "do": "crush"}', "expected one of toggle, open, close"),
        ('{"type": "cameras", "names": ["../../etc/passwd"]}', "expected one of front"),
        ('{"type": "cameras", "names": ["front", "front"]}', "different cameras"),
        ('{"type": "cameras", "names": {"front": 1}}', "different cameras"),
        ('{"type": "cameras", "names": ["front", "side", "wrist"]}', "expected 1 to 2 different cameras"),
        ('{"type": "remove", "seed": "../0"}', "'seed' of a message is '../0'"),
        ('{"type": "remove", "seed": 1.5}', "'seed' of a message is 1.5"),
    ],
)
def test_an_invalid_message_is_refused_with_its_reason(text: str, error: str) -> None:
    with pytest.raises(ValueError, match="message") as raised:
        parse(text)
    assert error in str(raised.value)
    assert len(str(raised.value)) < 300


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON)
def test_any_json_is_a_message_or_refused(content: Any) -> None:
    try:
        parsed = parse(json.dumps(content))
    except ValueError:
        return
    motion = parsed.motion if isinstance(parsed, Received) else parsed
    if isinstance(motion, Motion):
        assert all(-1.0 <= value <= 1.0 for value in vars(motion).values())
    else:
        assert isinstance(motion, Command)


def test_packed_messages_are_unpacked() -> None:
    assert unpack(pack({"a": [1]}, [b"", b"abc"])) == ({"a": [1]}, [b"", b"abc"])
    with pytest.raises(ValueError, match="incomplete"):
        unpack(pack({"a": 1}, [b"abc"])[:-1])


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Host": "localhost:80"}, True),
        ({"Host": "127.0.0.1:80", "Origin": "http://127.0.0.1:80"}, True),
        ({"Host": "localhost:81"}, False),
        ({"Host": "evil.example:80"}, False),  # a name that was redirected to this machine
        ({}, False),
        ({"Host": "localhost:80", "Origin": "http://evil.example"}, False),
        ({"Host": "localhost:80", "Origin": "null"}, False),
        ({"Host": "localhost:80", "Origin": "http://localhost:81"}, False),
        ({"Host": "localhost:80", "Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_only_a_page_of_this_server_has_access(headers: dict[str, str], allowed: bool) -> None:
    assert (Access("127.0.0.1", 80).fault(headers) is None) == allowed


def test_a_token_is_compared_as_a_whole() -> None:
    access = Access("0.0.0.0", 80, "secret")  # noqa: S104
    assert access.allows(None, "secret")
    assert not access.allows(None, "secre")
    assert not access.allows("sécret", "")
    assert [is_loopback(host) for host in ("localhost", "127.0.0.5", "::1", "0.0.0.0", "10.0.0.1", "name")] == [  # noqa: S104
        True, True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("control", ["ee", "ee_yaw", "joint", "discrete"])
@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_keys_move_the_tool_as_the_image_shows(make: Make, control: str, camera: str) -> None:
    env = make("LamPickPlace-v0", control=control)
    env.reset(seed=0)
    inner: Any = env.unwrapped
    for motion, column in (
        (Motion(right=1.0), (0, 1.0)),
        (Motion(away=1.0), (1, -1.0)),
        (Motion(up=1.0), (2, 1.0)),
    ):
        env.reset(seed=0)
        steering = Steering(env, camera)
        steering.reset()
        matrices = inner.camera_matrices(100, 100)[camera]
        before = inner.features()["tool/position"]
        for _ in range(8):
            env.step(steering.action(motion))
        moved = inner.features()["tool/position"] - before
        assert np.linalg.norm(moved) > 0.04
        axis, sign = column
        if axis == 2:
            assert moved[2] > 0.9 * np.linalg.norm(moved)
            continue
        assert abs(moved[2]) < 0.02
        if camera == "front" or axis == 0:
            in_camera = matrices.pose[:3, :3].T @ moved
            assert sign * in_camera[axis] > 0.0
            assert abs(in_camera[1 - axis]) < 0.4 * np.linalg.norm(moved)


@pytest.mark.parametrize("control", ["ee", "ee_yaw", "joint", "discrete"])
def test_the_robot_stands_still_without_keys_and_the_gripper_obeys(make: Make, control: str) -> None:
    env = make("LamPickPlace-v0", control=control)
    env.reset(seed=0)
    inner: Any = env.unwrapped
    steering = Steering(env, "front")
    steering.reset()
    before = inner.features()["tool/position"]
    for do, width in (("toggle", 0.08), ("toggle", 0.0), ("open", 0.08), ("close", 0.0)):
        steering.gripper(do)
        for _ in range(12):
            env.step(steering.action(Motion()))
        assert inner.features()["gripper/width"].item() == pytest.approx(width, abs=0.005)
    assert np.linalg.norm(inner.features()["tool/position"] - before) < 0.005


@pytest.mark.parametrize("control", ["ee_yaw", "joint"])
def test_the_hand_turns(make: Make, control: str) -> None:
    env: gym.Env[Any, Any] = make("LamPickPlace-v0", control=control)
    env.reset(seed=0)
    inner: Any = env.unwrapped
    steering = Steering(env, "front")
    steering.reset()
    start = inner.camera_matrices(10, 10)["wrist"].pose[:3, 0]
    for _ in range(20):
        env.step(steering.action(Motion(turn=1.0)))
    end = inner.camera_matrices(10, 10)["wrist"].pose[:3, 0]
    assert np.cross(start, end)[2] > 0.5
