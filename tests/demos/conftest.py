"""Fixtures of tests of demonstrations."""

from __future__ import annotations

import pytest

from demos.collection import shards

SMALL = 4


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of episodes of a shard in this process: a few, so that collections of several shards are short."""
    monkeypatch.setattr(shards, "SHARD_EPISODES", SMALL)
    return SMALL
