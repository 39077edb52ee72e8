"""Random damage of any kind is found."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import demos
from demos.check import check
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import DIGEST

from .damage import METADATA, check_here, flip, opened, replaced, signed_again


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


class Damage:
    """Does something to a dataset, drawn at random.

    Args:
        folder: Folder of the dataset.
        rng: Draws.

    Attributes:
        file: The file that must be named.
        episodes: The episodes that must be named.
    """

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder = folder
        self.rng = rng
        self.file = DATA_FILE
        self.episodes: set[int] = set()
        self.marker = folder.parent / "executed"
        self.pickled = np.void(pickle.dumps(Payload(self.marker)))

    def truncation(self) -> None:
        size = (self.folder / DATA_FILE).stat().st_size
        os.truncate(self.folder / DATA_FILE, int(self.rng.integers(size)))

    def flipped_data(self) -> None:
        bits = self._bits(DATA_FILE)
        with h5py.File(self.folder / DATA_FILE) as file:
            for name, start, size in self._extents(file):
                if any(start <= bit // 8 < start + size for bit in bits):
                    self.episodes.add(int(name))
        flip(self.folder / DATA_FILE, bits)

    def flipped_metadata(self) -> None:
        self.file = METADATA
        flip(self.folder / METADATA, self._bits(METADATA))

    def changed_metadata(self) -> None:
        self.file = METADATA
        metadata = json.loads((self.folder / METADATA).read_text())
        name = str(self.rng.choice(sorted(metadata)))
        values = [None, 10**18, -3, "x" * 10_000, [[]], {}, 2.5, metadata[name]]
        metadata[name] = values[self.rng.integers(7)]
        if self.rng.random() < 0.3:
            del metadata[name]
        (self.folder / METADATA).write_text(json.dumps(metadata))

    def lost_part(self) -> None:
        with self._episode() as group:
            del group[self._part(group, groups=True)]

    def other_type(self) -> None:
        with self._episode() as group:
            name = self._part(group)
            kinds = {"f": ["f8", "f4", "i8", ">f4"], "b": ["i1", "f4"], "i": ["u2", "f8"], "u": ["i8", "f4"]}
            values = group[name][()]
            other = [kind for kind in kinds[values.dtype.kind] if np.dtype(kind) != values.dtype]
            replaced(group, name, values.astype(self.rng.choice(other)))

    def no_number(self) -> None:
        with self._episode() as group:
            name = self._part(group, kind="f")
            values = group[name][()]
            values.flat[self.rng.integers(values.size)] = self.rng.choice([np.nan, np.inf, -np.inf])
            group[name][...] = values

    def huge_attribute(self) -> None:
        with self._episode() as group:
            name = str(self.rng.choice(["seed", "id", "total_steps", DIGEST, "note"]))
            group.attrs[name] = "x" * 10**6 if self.rng.random() < 0.5 else np.zeros(7_000)

    def pickled_attribute(self) -> None:
        with self._episode() as group:
            group.attrs[str(self.rng.choice(["seed", "id", "total_steps", DIGEST, "note"]))] = self.pickled

    def pickled_part(self) -> None:
        with self._episode() as group:
            name = self._part(group)
            as_bytes = self.rng.random() < 0.5
            replaced(group, name, np.frombuffer(self.pickled.tobytes(), np.uint8) if as_bytes else self.pickled)

    def swapped(self) -> None:
        one, other = (int(number) for number in self.rng.choice(self._count(), 2, replace=False))
        self.episodes = {one, other}
        with opened(self.folder) as file:
            file.move(f"episode_{one}", "aside")
            file.move(f"episode_{other}", f"episode_{one}")
            file.move("aside", f"episode_{other}")

    def copied(self) -> None:
        count = self._count()
        one, other = (int(number) for number in self.rng.choice(count + 1, 2, replace=False))
        if one == count:
            one, other = other, one
        self.episodes = {other}
        with opened(self.folder) as file:
            if other < count:
                del file[f"episode_{other}"]
            if self.rng.random() < 0.5:
                file.copy(f"episode_{one}", f"episode_{other}")
            else:
                file[f"episode_{other}"] = file[f"episode_{one}"]

    def renamed(self) -> None:
        one = int(self.rng.integers(self._count()))
        self.episodes = {one}
        with opened(self.folder) as file:
            file.move(f"episode_{one}", str(self.rng.choice(["episode_99", "episode_", "\x7f", "episode_01", "x"])))

    def resized(self) -> None:
        with self._episode() as group:
            name = self._part(group)
            values = group[name][()]
            count = int(self.rng.choice([0, 1, len(values) - 1, len(values) + 1, 2 * len(values)]))
            replaced(group, name, np.resize(values, (count, *values.shape[1:])))

    def other_attribute(self) -> None:
        with self._episode() as group:
            name = str(self.rng.choice(["seed", "total_steps"]))
            group.attrs.modify(name, int(group.attrs[name]) + int(self.rng.choice([-(10**12), -1, 1, 2**40])))

    def additional_part(self) -> None:
        with self._episode() as group:
            name = str(self.rng.choice(["more", "infos/more", "observations_2"]))
            kind = self.rng.integers(5)
            if kind == 0:
                group.create_group(name)
            elif kind == 1:
                group[name] = h5py.ExternalLink("/etc/hosts", "/")
            elif kind == 2:
                group[name] = group
            elif kind == 3:
                group.create_dataset(name, (10**12,), "f8", chunks=(100,), compression="gzip")
            else:
                group[name] = np.arange(5)

    def signed_nonsense(self) -> None:
        """Somebody who knows the checksums: only the properties of an episode show the damage."""
        with self._episode() as group:
            values = group["truncations"][()]
            values[self.rng.integers(len(values) - 1)] = True
            replaced(group, "truncations", values)
            signed_again(group)

    @contextmanager
    def _episode(self) -> Iterator[h5py.Group]:
        number = int(self.rng.integers(self._count()))
        self.episodes = {number}
        with opened(self.folder) as file:
            yield file[f"episode_{number}"]

    def _part(self, group: h5py.Group, *, groups: bool = False, kind: str = "fbiu") -> str:
        names: list[str] = []

        def add(name: str, part: Any) -> None:
            if part.dtype.kind in kind if isinstance(part, h5py.Dataset) else groups:
                names.append(name)

        group.visititems(add)
        return str(self.rng.choice(names))

    def _bits(self, name: str) -> list[int]:
        size = (self.folder / name).stat().st_size
        count = int(self.rng.integers(1, 9))
        return [int(bit) for bit in self.rng.choice(8 * size, count, replace=False)]

    def _count(self) -> int:
        with h5py.File(self.folder / DATA_FILE) as file:
            return len(file)

    @staticmethod
    def _extents(file: h5py.File) -> Iterator[tuple[str, int, int]]:
        for name, group in file.items():
            parts: list[h5py.Dataset] = []
            group.visititems(lambda _, part, parts=parts: parts.append(part))
            for part in parts:
                if isinstance(part, h5py.Dataset) and part.id.get_offset() is not None:
                    yield name.removeprefix("episode_"), part.id.get_offset(), part.nbytes


KINDS = (
    Damage.truncation,
    Damage.flipped_data,
    Damage.flipped_metadata,
    Damage.changed_metadata,
    Damage.lost_part,
    Damage.other_type,
    Damage.no_number,
    Damage.huge_attribute,
    Damage.pickled_attribute,
    Damage.pickled_part,
    Damage.swapped,
    Damage.copied,
    Damage.renamed,
    Damage.resized,
    Damage.other_attribute,
    Damage.additional_part,
    Damage.signed_nonsense,
)
MAY_CRASH = (Damage.truncation, Damage.flipped_data)


def fault_of_a_check(source: Path, folder: Path, number: int, isolated: Sequence[Any]) -> str | None:
    """Damage a copy of a dataset; returns what a check or loading it did wrong, or None."""
    shutil.copytree(source, folder)
    damage = Damage(folder, np.random.default_rng([8, number]))
    kind = KINDS[number % len(KINDS)]
    kind(damage)
    report = (check if kind in isolated else check_here)(folder, replay=0)
    reported = [str(problem) for problem in report.problems]
    named = {problem.episode for problem in report.problems if problem.file == damage.file}
    # Of a file that cannot be opened nobody knows the episodes.
    expected = damage.episodes if report.episodes else set()
    try:
        demos.load(folder)
    except ValueError:
        pass
    except Exception as error:
        return f"{number} {kind.__name__}: loading raised {error!r}"
    if damage.marker.exists():
        return f"{number} {kind.__name__}: the pickle was executed"
    if report.is_undamaged or not named or not expected <= named or expected & set(report.undamaged_episodes):
        return f"{number} {kind.__name__}: expected {damage.file} {expected}, reported {reported}"
    shutil.rmtree(folder)
    return None


@pytest.mark.parametrize(
    ("count", "isolated"), [(len(KINDS), MAY_CRASH), pytest.param(200, KINDS, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1200)  # 200 take a minute and a half of an idle machine.
def test_no_damage_goes_unnoticed(
    count: int, isolated: Sequence[Any], collected: dict[str, Path], tmp_path: Path
) -> None:
    def tried(number: int) -> str | None:
        source = collected["pixels" if number % 5 == 4 else "reach"]
        return fault_of_a_check(source, tmp_path / str(number) / "data", number, isolated)

    with ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(tried, range(count)) if fault is not None]
    assert faults == []
