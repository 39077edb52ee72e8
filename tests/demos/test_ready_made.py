"""Published datasets come out with the published checksum, and nothing else passes for them."""

from __future__ import annotations

from pathlib import Path

import pytest

import demos
from demos.collection import ready_made
from demos.datasets.checksum import checksum
from demos.datasets.curate import subsample


def test_a_published_dataset_is_made_anew_bit_for_bit(tmp_path: Path) -> None:
    name = "LamReach-10-seed1"
    made = ready_made.fetch_or_make(name, workers=2, root=tmp_path)
    assert checksum(made) == ready_made.published()[name]["checksum"]
    before = (made.storage.data_path / "main_data.hdf5").stat().st_mtime_ns
    again = ready_made.fetch_or_make(name, root=tmp_path)
    assert (again.storage.data_path / "main_data.hdf5").stat().st_mtime_ns == before


def test_what_is_published_is_what_is_planned() -> None:
    assert {name: entry["plan"] for name, entry in ready_made.published().items()} == ready_made.PLANS


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ready_made.published()))
def test_every_published_dataset_is_made_anew_bit_for_bit(name: str, tmp_path: Path) -> None:
    ready_made.fetch_or_make(name, workers=2, root=tmp_path)


def test_what_only_bears_the_name_is_refused(tmp_path: Path) -> None:
    few = demos.collect("LamReach-v0", episodes=2, root=tmp_path, dataset_id="ours/few-v0")
    subsample(few, ready_made.published()["LamReach-100"]["id"], 1, root=tmp_path)
    with pytest.raises(ValueError, match="published is"):
        ready_made.fetch_or_make("LamReach-100", root=tmp_path)
    with pytest.raises(ValueError, match=r"unknown dataset 'LamNone-1'; published are LamReach-100"):
        ready_made.fetch_or_make("LamNone-1", root=tmp_path)
