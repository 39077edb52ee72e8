"""A layout converts values by name to observations and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lam_envs.observation import Feature, Layout

LAYOUT = Layout(
    [
        Feature("a/position", 3, "m", "a place", (0.5, 0.0, 0.2), 0.2, 1.0),
        Feature("a/width", 1, "m", "an opening", 0.04, 0.04, 0.08),
        Feature("goal/position", 3, "m", "a goal", 0.0, 0.1, 2.0),
    ]
)


@given(arrays(np.float64, 7, elements=st.floats(-1e6, 1e6)))
def test_observations_are_inside_their_space(values: Any) -> None:
    assert LAYOUT.space.contains(LAYOUT.encode(values))


@given(arrays(np.float64, 7, elements=st.floats(0.0, 0.1)))
def test_decoding_undoes_encoding(values: Any) -> None:
    decoded = LAYOUT.decode(LAYOUT.encode(values))
    np.testing.assert_allclose(np.concatenate(list(decoded.values())), values, atol=1e-6)


def test_the_center_is_zero_and_the_scale_is_one() -> None:
    observed = LAYOUT.encode([0.7, 0.0, 0.0, 0.08, 0.0, 0.0, 0.1])
    np.testing.assert_allclose(observed, [1, 0, -1, 1, 0, 0, 1], atol=1e-6)


def test_a_layout_shows_its_slices() -> None:
    assert repr(LAYOUT) == "Layout(a/position: 0:3, a/width: 3:4, goal/position: 4:7)"


def test_goal_observations_leave_out_the_goal() -> None:
    assert list(LAYOUT.without_goal()) == ["a/position", "a/width"]


def test_an_observation_of_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5,\), and this layout has shape \(7,\)"):
        LAYOUT.decode(np.zeros(5, dtype=np.float32))
