"""Datasets of the tests of the agent lam."""

from __future__ import annotations

from typing import Any

import pytest

import demos


@pytest.fixture
def both(datasets: Any) -> list[Any]:
    """Demonstrations of Reach and Grasp."""
    root, ids = datasets
    return [demos.load(ids[env_id], root) for env_id in ("LamReach-v0", "LamGrasp-v0")]
