"""Episodes that a person kept: a dataset that is complete after every episode, whatever ends the program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import minari
import numpy as np
from filelock import FileLock, Timeout

import lam_envs
from demos.collection.collect import LOCK_SECONDS, check_same
from demos.collection.plan import Plan
from demos.collection.recording import check_spaces
from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import INTERVENTION, Episode
from demos.datasets.loading import dataset_folder, datasets_root, holds_dataset, load
from demos.datasets.metadata import HISTORY, PLAN, plan_of
from demos.datasets.reading import episodes_of
from demos.datasets.writing import DatasetWriter, check_replaceable, episode_bytes, publish
from demos.runtime.disk_space import require_space
from demos.runtime.types import Env, JsonObject

DROPPED = "lam_envs_dropped"
"""Name in the metadata of the number of episodes that were not kept."""
ASKED_STEPS, ASKED = "lam_envs_asked_steps", "lam_envs_asked"
"""Names in the metadata of the number of steps at which the policy asked the person, and of these steps by seed."""


@dataclass(frozen=True)
class Summary:
    """Facts of a kept episode.

    Attributes:
        seed: Its seed; no two episodes have the same.
        steps: Number of steps.
        success: Success at the end.
        by_person: Number of steps whose action the person chose.
        thumbnail: JPEG of its last scene; empty if there is none.
        asked: Numbers of the steps at which the policy asked the person to take over.
    """

    seed: int
    steps: int
    success: bool
    by_person: int
    thumbnail: bytes = b""
    asked: tuple[int, ...] = ()

    @classmethod
    def of(cls, episode: Episode, thumbnail: bytes = b"", asked: Sequence[int] = ()) -> Summary:
        """Return the facts of an episode."""
        by_person = episode.infos.get(INTERVENTION, np.zeros(len(episode) + 1))
        seed = -1 if episode.seed is None else episode.seed
        return cls(seed, len(episode), bool(episode.success), int(np.sum(by_person[1:])), thumbnail, tuple(asked))


class SavedEpisodes:
    """Dataset to which a person adds episodes. Each change is written atomically before it returns.

    The folder of the dataset stays locked until :meth:`close`.

    Args:
        plan: Settings; the number of episodes does not matter.
        env: Environment of the episodes.
        dataset_id: Id of the dataset; derived from the settings by default.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace a dataset of that id; by default its episodes stay, and more are added.

    Raises:
        FileExistsError: The dataset has other settings or was changed, an interrupted collection of that id left
            shards, or another process writes it.
        ValueError: The id is malformed, or the dataset is damaged.

    Attributes:
        id: Id of the dataset.
        folder: Folder of its files, which exists if it has episodes.
        summaries: Facts of the episodes, in their order.
    """

    def __init__(
        self,
        plan: Plan,
        env: Env,
        dataset_id: str | None = None,
        root: str | Path | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        check_spaces(env)
        self.id = dataset_id or plan.default_id()
        self.folder = dataset_folder(self.id, root)
        self.summaries: list[Summary] = []
        self._plan, self._env = plan, env
        self._partial = datasets_root(root) / ".partial" / self.id.replace("/", "__")
        self._removed = self._partial.with_name(f"{self._partial.name}.removed")
        self._backups: dict[str, Path] = {}  # file of each removed episode, by its digest
        self._dropped = 0
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{self._partial}.lock", timeout=LOCK_SECONDS)
        try:
            self._lock.acquire()
        except Timeout:
            raise FileExistsError(f"another process is recording {self.id}; end it first") from None
        try:
            self._open(overwrite=overwrite)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, *, overwrite: bool) -> None:
        check_replaceable(self.id, self.folder)
        # Only a collection, which works in the same folder, writes its plan there.
        if (self._partial / "plan.json").exists() and not overwrite:
            raise FileExistsError(
                f"an interrupted collection of {self.id} has shards in {self._partial}; run its command again, "
                "choose another id, or overwrite it"
            )
        self._clean_up()
        shutil.rmtree(self._removed, ignore_errors=True)
        if not self.folder.exists() or overwrite:
            return
        dataset = load(self.folder)
        requested = self._plan.as_json()
        del requested["episodes"]
        check_same(self.id, plan_of(dataset), requested, "choose another id, or overwrite it")
        if HISTORY in dataset.storage.metadata:
            raise FileExistsError(f"dataset {self.id} was made from another one; choose another id, or overwrite it")
        with suppress(ValueError, TypeError):
            self._dropped = int(dataset.storage.metadata.get(DROPPED, 0))
        asked = _asked_of(dataset)
        self.summaries = [
            Summary.of(episode, asked=asked.get(str(episode.seed), ())) for episode in episodes_of(dataset)
        ]

    def dataset(self) -> minari.MinariDataset:
        """Return the dataset.

        Raises:
            FileNotFoundError: No episode is kept.
        """
        if not self.summaries:
            raise FileNotFoundError("no episode is recorded yet")
        return load(self.folder)

    def episode(self, seed: int) -> Episode:
        """Return a kept episode.

        Raises:
            ValueError: There is no such episode.
        """
        return next(iter(episodes_of(self.dataset(), [self._number(seed)])))

    def add(self, episode: Episode, thumbnail: bytes = b"", asked: Sequence[int] = ()) -> None:
        """Add an episode. One that :meth:`remove` returned is stored as it was, with the same JPEG images.

        Args:
            episode: Episode to add.
            thumbnail: JPEG of its last scene.
            asked: Numbers of the steps at which the policy asked the person to take over.

        Raises:
            OSError: It could not be written; the dataset has not changed.
        """
        added = Summary.of(episode, thumbnail, asked)
        # Nothing is overwritten before the first episode is complete.
        kept = range(len(self.summaries))
        self._write([*kept], [*self.summaries, added], episode)

    def remove(self, seed: int) -> tuple[Episode, Summary]:
        """Remove an episode, and return it with its facts.

        Raises:
            ValueError: There is no such episode.
            OSError: The dataset could not be written; it has not changed.
        """
        number = self._number(seed)
        episode, summary = self.episode(seed), self.summaries[number]
        kept = [other for other in range(len(self.summaries)) if other != number]
        if self._plan.jpeg and episode.digest is not None and episode.digest not in self._backups:
            self._backups[episode.digest] = self._back_up(number, episode)
        self._write(kept, [self.summaries[other] for other in kept])
        return episode, summary

    def count_dropped(self, count: int) -> None:
        """Add to the number of episodes that were not kept; it is written with the next change."""
        self._dropped += count

    def set_thumbnail(self, seed: int, thumbnail: bytes) -> None:
        """Set the image of an episode, which is not written."""
        number = self._number(seed)
        self.summaries[number] = replace(self.summaries[number], thumbnail=thumbnail)

    def close(self) -> None:
        """Unlock the dataset."""
        self._clean_up()
        shutil.rmtree(self._removed, ignore_errors=True)
        self._lock.release()

    def _clean_up(self) -> None:
        """Remove unfinished files."""
        replaced = self._partial / "replaced"
        if not self.folder.exists() and holds_dataset(replaced):
            # A replacement ended between its two renamings.
            os.replace(replaced, self.folder)
        shutil.rmtree(self._partial, ignore_errors=True)

    def _number(self, seed: int) -> int:
        for number, summary in enumerate(self.summaries):
            if summary.seed == seed:
                return number
        raise ValueError(f"no recorded episode has the seed {seed}")

    def _write(self, kept: list[int], summaries: list[Summary], added: Episode | None = None) -> None:
        """Write a new dataset of some episodes of the present one, and replace it."""
        self._clean_up()
        self._partial.mkdir(parents=True)
        try:
            if not summaries:
                os.replace(self.folder, self._partial / "removed")
            else:
                size = (self.folder / DATA_FILE).stat().st_size if kept else 0
                with self._checking_space(size + (0 if added is None else episode_bytes(added))):
                    self._write_data(kept, summaries, added)
            self.summaries = summaries
        finally:
            self._clean_up()

    def _write_data(self, kept: list[int], summaries: list[Summary], added: Episode | None) -> None:
        env = self._env
        writer = DatasetWriter(
            self._partial / "data", env.observation_space, env.action_space, env.spec, jpeg=self._plan.jpeg
        )
        if kept:
            writer.copy(self.folder / DATA_FILE, kept)
        # An episode that was driven further has no digest.
        if added is not None and added.digest in self._backups:
            writer.copy(self._backups[added.digest], [0])
        elif added is not None:
            writer.add(added)
        writer.finish(self._metadata(summaries))
        publish(writer.folder, self.folder, self._partial)

    def _back_up(self, number: int, episode: Episode) -> Path:
        """Copy an episode as it is stored to a file: to encode its images a second time would change them."""
        path = self._removed / f"{len(self._backups)}.hdf5"
        with self._checking_space(episode_bytes(episode)):
            self._removed.mkdir(exist_ok=True)
            with open_data(self.folder / DATA_FILE) as origin, h5py.File(path, "w") as file:
                origin.copy(f"episode_{number}", file, name="episode_0")
        return path

    @contextmanager
    def _checking_space(self, size: int) -> Iterator[None]:
        """Check that there is space for some bytes before they are written: HDF5 may crash on a full disk.

        Raises:
            OSError: There is not enough space, or h5py fails.
        """
        require_space(self._partial.parent, size, self.id)
        try:
            yield
        except RuntimeError as error:
            raise OSError(f"{self.id} could not be written; free some space, and try again: {error}") from error

    def _metadata(self, summaries: Sequence[Summary]) -> JsonObject:
        episodes = len(summaries)
        asked = {str(each.seed): list(each.asked) for each in summaries if each.asked}
        plan = replace(self._plan, episodes=episodes)
        actor = "a person" if plan.policy is None else f"a person who takes over from {plan.policy}"
        return {
            "dataset_id": self.id,
            "algorithm_name": actor,
            "description": f"{episodes} episodes of {plan.env_id} by {actor}, driving in a browser",
            "requirements": [f"lam-envs=={lam_envs.__version__}"],
            PLAN: plan.as_json(),
            DROPPED: self._dropped,
            **({ASKED_STEPS: sum(map(len, asked.values())), ASKED: asked} if asked else {}),
        }


def _asked_of(dataset: minari.MinariDataset) -> dict[str, list[int]]:
    """Return the steps at which the policy asked in each episode, by seed; empty where nothing valid is recorded."""
    recorded = dataset.storage.metadata.get(ASKED)
    if not isinstance(recorded, dict):
        return {}
    return {
        str(seed): steps
        for seed, steps in recorded.items()
        if isinstance(steps, list) and all(type(step) is int for step in steps)
    }
