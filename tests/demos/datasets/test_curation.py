"""Datasets are made of datasets: what is chosen stays as it was, and the history says what was done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest

import demos
from demos.collection.replay import replay
from demos.datasets import curate
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import DIGEST
from demos.datasets.metadata import changes_of, history_of, plan_of
from demos.datasets.reading import episodes_of
from demos.datasets.writing import dataset_writer
from demos.preprocess import Relabel, Resample, preprocess

from ..check.damage import check_here


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def mixed(root: Path) -> minari.MinariDataset:
    return demos.collect(
        "LamReach-v0",
        episodes=16,
        demonstrator="mixed",
        strategy="all",
        keep_failures=True,
        root=root,
        dataset_id="ours/m-v0",
    )


def digests(dataset: minari.MinariDataset) -> list[str]:
    return [metadata[DIGEST] for metadata in dataset.storage.get_episode_metadata(map(int, dataset.episode_indices))]


@pytest.mark.parametrize("success", [True, False])
def test_a_filter_keeps_what_succeeded_or_what_did_not(
    success: bool, mixed: minari.MinariDataset, root: Path
) -> None:
    kept = curate.filter_episodes(mixed, f"ours/{success}-v0".lower(), success=success, root=root)
    wanted = [d for d, episode in zip(digests(mixed), episodes_of(mixed), strict=True) if episode.success == success]
    assert digests(kept) == wanted
    assert 0 < len(wanted) < mixed.total_episodes
    assert minari.MinariDataset(kept.storage.data_path).total_episodes == len(wanted)


def test_a_filter_goes_by_return_length_and_demonstrator(mixed: minari.MinariDataset, root: Path) -> None:
    returns = [episode.total_return for episode in episodes_of(mixed)]
    middle = float(np.median(returns))
    upper = curate.filter_episodes(mixed, "ours/upper-v0", min_return=middle, root=root)
    lower = curate.filter_episodes(mixed, "ours/lower-v0", max_return=middle, root=root)
    assert min(episode.total_return for episode in episodes_of(upper)) >= middle
    assert max(episode.total_return for episode in episodes_of(lower)) <= middle
    number = plan_of(mixed)["qualities"].index("novice")
    novice = curate.filter_episodes(mixed, "ours/novice-v0", demonstrator="novice", root=root)
    assert {int(episode.infos["quality"][-1]) for episode in episodes_of(novice)} == {number}
    with pytest.raises(ValueError, match="none of the 16 episodes"):
        curate.filter_episodes(mixed, "ours/none-v0", max_length=1, root=root)
    with pytest.raises(ValueError, match=r"no demonstrator 'perfect'; it has"):
        curate.filter_episodes(mixed, "ours/none-v0", demonstrator="perfect", root=root)


def test_what_was_chosen_replays(mixed: minari.MinariDataset, root: Path) -> None:
    few = curate.subsample(mixed, "ours/few-v0", 5, root=root)
    assert replay(few).identical == 5
    assert history_of(few) == [{"step": "subsample", "count": 5, "seed": 0, "replays": True, "of": "ours/m-v0"}]
    again = curate.filter_episodes(few, "ours/few-again-v0", min_length=1, root=root)
    assert [step["step"] for step in history_of(again)] == ["subsample", "filter"]


def test_of_one_seed_fewer_are_among_more(mixed: minari.MinariDataset, root: Path) -> None:
    five, ten = (digests(curate.subsample(mixed, f"ours/n{n}-v0", n, seed=3, root=root)) for n in (5, 10))
    other = digests(curate.subsample(mixed, "ours/other-v0", 5, seed=4, root=root))
    assert set(five) < set(ten) < set(digests(mixed))
    assert five != other
    with pytest.raises(ValueError, match="invalid count 17"):
        curate.subsample(mixed, "ours/many-v0", 17, root=root)


def test_a_split_shares_out_every_episode_once(mixed: minari.MinariDataset, root: Path) -> None:
    parts = curate.split(mixed, {"train": 0.75, "valid": 0.125, "test": 0.125}, root=root)
    assert [part.total_episodes for part in parts.values()] == [12, 2, 2]
    assert parts["valid"].id == "ours/m-valid-v0"
    together = [digest for part in parts.values() for digest in digests(part)]
    assert sorted(together) == sorted(digests(mixed))
    with pytest.raises(ValueError, match="sum of at most 1"):
        curate.split(mixed, {"train": 0.9, "test": 0.2}, root=root)
    with pytest.raises(ValueError, match="part test gets none"):
        curate.split(mixed, {"train": 0.99, "test": 0.01}, root=root)


def test_a_merge_joins_episodes_and_renumbers_their_demonstrators(root: Path) -> None:
    expert = demos.collect("LamReach-v0", episodes=2, root=root)
    novice = demos.collect("LamReach-v0", episodes=3, demonstrator="novice", root=root)
    both = curate.merge([expert, novice], "ours/both-v0", root=root)
    assert plan_of(both)["qualities"] == ["expert", "novice"]
    assert [int(episode.infos["quality"][0]) for episode in episodes_of(both)] == [0, 0, 1, 1, 1]
    assert digests(both)[:2] == digests(expert)
    assert replay(both).identical == 5
    assert curate.filter_episodes(both, "ours/only-v0", demonstrator="novice", root=root).total_episodes == 3


def test_a_merge_refuses_what_does_not_belong_together(root: Path) -> None:
    reach = demos.collect("LamReach-v0", episodes=2, root=root)
    grasp = demos.collect("LamGrasp-v0", episodes=1, root=root)
    sparse = demos.collect("LamReach-v0", episodes=1, env_kwargs={"reward": "sparse"}, root=root)
    with pytest.raises(ValueError, match="observation_space"):
        curate.merge([reach, grasp], "ours/no-v0", root=root)
    with pytest.raises(ValueError, match="differ in env_kwargs"):
        curate.merge([reach, sparse], "ours/no-v0", root=root)
    with pytest.raises(ValueError, match="expected different episodes"):
        curate.merge([reach, curate.subsample(reach, "ours/part-v0", 1, root=root)], "ours/no-v0", root=root)
    with pytest.raises(ValueError, match="at least 2"):
        curate.merge([reach], "ours/no-v0", root=root)
    pixels = {"episodes": 1, "env_kwargs": {"image_width": 32, "image_height": 32}, "root": root}
    exact = demos.collect("LamReachPixels-v0", dataset_id="ours/exact-v0", **pixels)
    lossy = demos.collect("LamReachPixels-v0", dataset_id="ours/lossy-v0", jpeg=True, **pixels)
    for pair in ([exact, lossy], [lossy, exact]):
        with pytest.raises(ValueError, match="stores images as JPEG"):
            curate.merge(pair, "ours/no-v0", root=root)
    assert not (root / "ours" / "no-v0").exists()


def test_nothing_is_replaced_unasked_or_by_itself(mixed: minari.MinariDataset, root: Path) -> None:
    curate.subsample(mixed, "ours/there-v0", 2, root=root)
    with pytest.raises(FileExistsError, match="choose another id, or overwrite it"):
        curate.subsample(mixed, "ours/there-v0", 3, root=root)
    assert curate.subsample(mixed, "ours/there-v0", 3, root=root, overwrite=True).total_episodes == 3
    with pytest.raises(ValueError, match="cannot replace its own source"):
        curate.subsample(mixed, "ours/m-v0", 3, root=root, overwrite=True)


def test_a_collection_does_not_take_a_part_of_one_for_itself(root: Path) -> None:
    whole = demos.collect("LamReach-v0", episodes=3, seed=9, dataset_id="ours/whole-v0", root=root)
    curate.subsample(whole, "ours/part-of-it-v0", 2, root=root)
    with pytest.raises(FileExistsError, match="was made from another one"):
        demos.collect("LamReach-v0", episodes=3, seed=9, dataset_id="ours/part-of-it-v0", root=root)


def test_a_merge_copies_images_that_are_stored_as_jpeg(root: Path) -> None:
    settings: dict[str, Any] = {"image_width": 32, "image_height": 32, "max_episode_steps": 4}
    pixels: Any = {"episodes": 1, "jpeg": True, "keep_failures": True, "env_kwargs": settings, "root": root}
    expert, novice = (
        demos.collect("LamReachPixels-v0", demonstrator=demonstrator, **pixels)
        for demonstrator in ("expert", "novice")
    )
    both = curate.merge([expert, novice], "ours/images-v0", root=root)
    before, after = next(episodes_of(novice)), list(episodes_of(both))[1]
    np.testing.assert_array_equal(before.observations["front"], after.observations["front"])
    assert (before.infos["quality"].max(), after.infos["quality"].min()) == (0, 1)
    assert check_here(both.storage.data_path, replay=1).is_undamaged


def test_a_merge_of_relabeled_episodes_replays(root: Path) -> None:
    changed = [
        preprocess(
            demos.collect("LamReach-v0", episodes=1, seed=seed, root=root),
            [Resample(20), Relabel("joint")],
            f"ours/relabeled{seed}-v0",
            root=root,
        )
        for seed in (20, 21)
    ]
    both = curate.merge(changed, "ours/relabeled-v0", root=root)
    assert changes_of(both) == []
    assert replay(both).identical == 2


def test_a_split_writes_all_of_its_parts_or_none(mixed: minari.MinariDataset, root: Path) -> None:
    curate.subsample(mixed, "ours/m-second-v0", 1, root=root)
    with pytest.raises(FileExistsError, match="ours/m-second-v0 exists"):
        curate.split(mixed, {"first": 0.5, "second": 0.5}, root=root)
    assert not (root / "ours" / "m-first-v0").exists()


def test_equal_episodes_within_a_dataset_can_be_merged(root: Path) -> None:
    one = demos.collect("LamReach-v0", episodes=1, seed=30, root=root)
    other = demos.collect("LamReach-v0", episodes=1, seed=31, root=root)
    with dataset_writer("ours/pair-v0", one.observation_space, one.action_space, None, {}, root=root) as writer:
        for _ in range(2):
            writer.copy(one.storage.data_path / DATA_FILE, [0])
    pair = demos.load("ours/pair-v0", root)
    assert curate.merge([pair, other], "ours/three-v0", root=root).total_episodes == 3
    with pytest.raises(ValueError, match="is also in ours/pair-v0; expected different episodes"):
        curate.merge([pair, one], "ours/no-v0", root=root)
