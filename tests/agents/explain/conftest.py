"""Fixtures of tests of explanations."""

from __future__ import annotations

from pathlib import Path

import pytest

import demos


@pytest.fixture(scope="session")
def inserting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and id of a dataset of LamInsert-v0, whose spaces are those of LamPickPlace-v0."""
    root = tmp_path_factory.mktemp("inserting")
    return root, demos.collect("LamInsert-v0", episodes=2, seed=7, root=root).id
