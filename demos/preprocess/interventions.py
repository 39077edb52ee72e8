"""Keep only the steps that a person chose, of episodes in which a person took over from a policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from demos.datasets.episode import INTERVENTION, Episode
from demos.datasets.tree import tree_map
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import DatasetSchema


@dataclass(frozen=True)
class Interventions(Preprocessor):
    """Keep only the steps whose action a person chose: the labels of HG-DAgger (Kelly et al. 2019).

    The kept steps of an episode follow each other, also where steps between them are cut: observation and action of
    each step belong together, and successive steps need not. Episodes without interventions are left out.
    """

    name = "interventions"

    @override
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        return _InterventionTransform(schema)


class _InterventionTransform(EpisodeTransform):
    @override
    def apply(self, episode: Episode) -> Episode | None:
        if INTERVENTION not in episode.infos:
            raise ValueError(
                f"the episodes do not record who acted: they have no info {INTERVENTION!r}; expected a dataset of "
                "demos teleop or agents teleop"
            )
        steps = np.flatnonzero(np.asarray(episode.infos[INTERVENTION])[1:])
        if not steps.size:
            return None
        return _selected(episode, steps)


def _selected(episode: Episode, steps: npt.NDArray[np.int64]) -> Episode:
    """Return some steps of an episode, with the observation and infos before each, and after the last."""
    # Infos of a step stand in the row after it, its observation in the row before it.
    before, after = np.append(steps, steps[-1] + 1), np.append(steps[:1], steps + 1)
    terminations, truncations = episode.terminations[steps].copy(), episode.truncations[steps].copy()
    truncations[-1] = not terminations[-1]

    def select(tree: Any, rows: npt.NDArray[np.int64]) -> Any:
        return tree_map(lambda values: values[rows], tree)

    return replace(
        episode,
        observations=select(episode.observations, before),
        actions=episode.actions[steps],
        rewards=episode.rewards[steps],
        terminations=terminations,
        truncations=truncations,
        infos=select(episode.infos, after),
        digest=None,
    )
