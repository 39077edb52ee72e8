"""Actions move the commanded tool as their tables say, and inverses undo that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lam_envs.control import (
    COARSE_STEP,
    FINE_STEP,
    MAX_LEAD,
    MAX_STEP,
    NEAR_ENOUGH,
    WORKSPACE_HIGH,
    WORKSPACE_LOW,
    DiscreteControl,
    EndEffectorControl,
    Target,
    ToolCommand,
)

from ..conftest import Make

HERE = (0.5, 0.0, 0.2)
WIDTH = 0.08


def features(target: tuple[float, float, float], width: float) -> dict[str, Any]:
    return {
        "tool/position": np.array(target),
        "tool/lag": np.zeros(3),
        "gripper/target": np.array([width]),
    }


def test_full_actions_move_the_command_by_two_centimetres_and_open_fully() -> None:
    target, _ = EndEffectorControl(WIDTH).command(np.array([1, -1, 0.5, 1]), Target(HERE, 0.0), HERE)
    np.testing.assert_allclose(target.position, [0.5 + MAX_STEP, -MAX_STEP, 0.2 + MAX_STEP / 2])
    assert target.width == WIDTH


@given(x=st.floats(-0.019, 0.019), y=st.floats(-0.019, 0.019), z=st.floats(-0.019, 0.019), width=st.floats(0, WIDTH))
def test_the_inverse_reaches_any_pose_within_a_step(x: float, y: float, z: float, width: float) -> None:
    control = EndEffectorControl(WIDTH)
    wanted = (HERE[0] + x, HERE[1] + y, HERE[2] + z)
    action = control.inverse(ToolCommand(wanted, width), features(HERE, 0.0))
    target, _ = control.command(action, Target(HERE, 0.0), HERE)
    np.testing.assert_allclose(target.position, wanted, atol=1e-8)
    assert target.width == pytest.approx(width, abs=1e-8)


def test_the_inverse_goes_straight_to_what_is_far() -> None:
    action = EndEffectorControl(WIDTH).inverse(ToolCommand((0.6, 0.05, 0.2), 0.0), features(HERE, 0.0))
    np.testing.assert_allclose(action, [1.0, 0.5, 0.0, -1.0], atol=1e-6)


def test_the_command_stays_in_the_workspace_and_near_the_tool() -> None:
    control = EndEffectorControl(WIDTH)
    target = Target(HERE, 0.0)
    for _ in range(100):
        target, _ = control.command(np.array([1, 1, -1, 0]), target, HERE)
    np.testing.assert_allclose(target.position, [0.5 + MAX_LEAD, MAX_LEAD, 0.2 - MAX_LEAD])
    corner = (WORKSPACE_HIGH[0], WORKSPACE_HIGH[1], WORKSPACE_LOW[2])
    target, _ = control.command(np.array([1, 1, -1, 0]), Target(corner, 0.0), corner)
    assert target.position == corner


def test_discrete_actions_do_what_their_table_says() -> None:
    control = DiscreteControl(WIDTH)
    moved = [control.command(action, Target(HERE, 0.04), HERE)[0] for action in range(15)]
    np.testing.assert_allclose(np.array(moved[1].position) - HERE, [COARSE_STEP, 0, 0], atol=1e-12)
    np.testing.assert_allclose(np.array(moved[6].position) - HERE, [0, 0, -COARSE_STEP], atol=1e-12)
    np.testing.assert_allclose(np.array(moved[9].position) - HERE, [0, FINE_STEP, 0], atol=1e-12)
    assert moved[0] == Target(HERE, 0.04)
    assert moved[13] == Target(HERE, WIDTH)
    assert moved[14] == Target(HERE, 0.0)


@given(x=st.floats(-0.1, 0.1), y=st.floats(-0.1, 0.1), z=st.floats(-0.1, 0.1))
def test_discrete_inverses_come_within_half_a_fine_step_and_hold(x: float, y: float, z: float) -> None:
    control = DiscreteControl(WIDTH)
    wanted = np.add(HERE, (x, y, z))
    target = Target(HERE, WIDTH)
    for _ in range(30):
        action = control.inverse(ToolCommand(tuple(wanted.tolist()), WIDTH), features(target.position, target.width))
        target, _ = control.command(action, target, target.position)
    assert action == control.HOLD
    assert np.abs(wanted - target.position).max() <= NEAR_ENOUGH


def test_the_tool_goes_where_it_is_told(make: Make) -> None:
    env = make("LamReach-v0")
    inner: Any = env.unwrapped
    env.reset(seed=0)
    start = inner.features()["tool/position"]
    for _ in range(4):
        env.step(np.array([1, 0, 0, 0], dtype=np.float32))
    for _ in range(4):
        env.step(np.zeros(4, dtype=np.float32))
    np.testing.assert_allclose(inner.features()["tool/position"] - start, [0.08, 0, 0], atol=2e-3)
