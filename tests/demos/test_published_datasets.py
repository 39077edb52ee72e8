"""Published datasets come out with the published checksum, and nothing else passes for them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import demos
from demos.collection.catalog import published_datasets
from demos.datasets.checksum import checksum
from demos.datasets.curate import subsample


def test_a_published_dataset_is_collected_again_bit_for_bit(tmp_path: Path) -> None:
    name = "LamReach-10-seed1"
    made = published_datasets.load_published(name, workers=2, root=tmp_path)
    assert checksum(made) == published_datasets.published()[name]["checksum"]
    before = (made.storage.data_path / "main_data.hdf5").stat().st_mtime_ns
    again = published_datasets.load_published(name, root=tmp_path)
    assert (again.storage.data_path / "main_data.hdf5").stat().st_mtime_ns == before


def test_one_published_dataset_is_published_again_beside_the_others(tmp_path: Path) -> None:
    known = published_datasets.published()
    file, name = tmp_path / "published.json", "LamReach-10-seed1"
    file.write_text(json.dumps({**known, name: {**known[name], "checksum": "of another version"}}))
    published_datasets.publish(file, [name])
    assert {each: entry["checksum"] for each, entry in json.loads(file.read_text()).items()} == {
        each: entry["checksum"] for each, entry in known.items()
    }
    with pytest.raises(ValueError, match=r"unknown dataset 'LamNone-1'.*; list them: python -m demos published"):
        published_datasets.publish(file, ["LamNone-1"])


def test_what_is_published_is_what_is_planned() -> None:
    assert {name: entry["plan"] for name, entry in published_datasets.published().items()} == published_datasets.PLANS


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(published_datasets.published()))
def test_every_published_dataset_is_collected_again_bit_for_bit(name: str, tmp_path: Path) -> None:
    published_datasets.load_published(name, workers=2, root=tmp_path)


def test_what_only_bears_the_name_is_refused(tmp_path: Path) -> None:
    few = demos.collect("LamReach-v0", episodes=2, root=tmp_path, dataset_id="ours/few-v0")
    subsample(few, published_datasets.published()["LamReach-100"]["id"], 1, root=tmp_path)
    with pytest.raises(ValueError, match="expected the published"):
        published_datasets.load_published("LamReach-100", root=tmp_path)
    expected = "unknown dataset 'LamReach-1000' (did you mean 'LamReach-100'?); list them: python -m demos published"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        published_datasets.load_published("LamReach-1000", root=tmp_path)
