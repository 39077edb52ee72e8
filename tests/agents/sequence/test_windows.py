"""Windows of DemonstrationData: equal from memory and from files, with masks of what is repeated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import demos
from agents.data.demonstrations import DemonstrationData
from agents.data.sequences import SequenceBatch
from demos.datasets.reading import episodes_of


@pytest.fixture
def reach(datasets: Any) -> Any:
    root, ids = datasets
    return demos.load(ids["LamReach-v0"], root)


def equal(one: SequenceBatch, other: SequenceBatch) -> bool:
    return all(torch.equal(part, vars(other)[name]) for name, part in vars(one).items())


@pytest.mark.parametrize(("history", "chunk", "past"), [(1, 1, 0), (4, 7, 0), (3, 2, 2), (90, 60, 89)])
def test_a_window_is_a_part_of_its_episode_with_masks(history: int, chunk: int, past: int, reach: Any) -> None:
    data, mapped = DemonstrationData(reach), DemonstrationData(reach, in_memory_bytes=0)
    windows, read = (each.sequences(history, chunk, past) for each in (data, mapped))
    rows = np.random.default_rng(0).permutation(len(windows))[:60]
    batch = windows[rows]
    assert equal(batch, read[rows])
    assert equal(windows[torch.from_numpy(rows)], batch)
    assert equal(windows[10:13], windows[np.arange(10, 13)])
    borders = np.cumsum([0, *(episode.length for episode in data.episodes)])
    episodes = list(episodes_of(reach))
    for number, row in enumerate(rows):
        which = int(np.searchsorted(borders, row, side="right")) - 1
        step, episode = row - borders[which], episodes[which]
        observed, acted = np.arange(step - history + 1, step + 1), np.arange(step - past, step + chunk)
        last = len(episode) - 1
        np.testing.assert_array_equal(batch.observations[number], episode.observations[observed.clip(0)])
        np.testing.assert_array_equal(batch.actions[number], episode.actions[acted.clip(0, last)])
        np.testing.assert_array_equal(batch.observation_is_pad[number], observed < 0)
        np.testing.assert_array_equal(batch.action_is_pad[number], (acted < 0) | (acted > last))
        assert batch.episodes[number] == which


def test_windows_of_some_episodes_of_several_datasets(reach: Any, tmp_path: Any) -> None:
    second = demos.collect("LamReach-v0", episodes=3, seed=50, root=tmp_path)
    held, mapped = (DemonstrationData([reach, second], in_memory_bytes=size) for size in (2**30, 0))
    one, other = (data.sequences(2, 3, numbers=[7, 1]) for data in (held, mapped))
    rows = np.random.default_rng(0).permutation(len(one))
    assert len(one) == len(other) == 80
    assert equal(one[rows], other[rows])
    assert set(one[rows].episodes.tolist()) == {1, 7}


def test_windows_end_some_steps_after_success_but_see_what_follows(tmp_path: Any) -> None:
    dataset = demos.collect(
        "LamReach-v0", episodes=4, demonstrator="noisy", seed=3, keep_failures=True, root=tmp_path
    )
    data = DemonstrationData(dataset)
    everything, few = data.sequences(1, 5), data.sequences(1, 5, idle_steps=2)
    kept, start = [], 0
    for facts, episode in zip(data.episodes, episodes_of(dataset), strict=True):
        success = episode.infos["is_success"][1:].astype(bool)
        solved = next(step for step in range(len(success) + 1) if success[step:].all())
        assert facts.solved == (solved if success[-1] else None)
        kept += range(start, start + (min(len(success), solved + 3) if success[-1] else len(success)))
        start += len(success)
    assert len(few) == len(kept) < len(everything)
    assert equal(few[np.arange(len(few))], everything[np.array(kept)])


def test_horizons_that_are_too_small_are_refused(reach: Any) -> None:
    data = DemonstrationData(reach)
    for wrong in ((0, 1, 0), (1, 0, 0), (1, 1, -1)):
        with pytest.raises(ValueError, match="expected at least 1, 1 and 0"):
            data.sequences(*wrong)
