"""Damaged datasets: whatever happened to one is found, placed and told, and the sound episodes are saved."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

import demos
from demos.check import CheckReport, check, repair
from demos.check.isolation import DiedError, messages_of
from demos.datasets.checksum import episode_digest, seal
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import DIGEST
from demos.datasets.metadata import PLAN
from demos.datasets.writing import dataset_writer, derived_metadata

from .checks import check_here

METADATA = "metadata.json"
EPISODES = 4


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("collected")
    pixels: Any = {"episodes": 2, "env_kwargs": {"image_width": 32, "image_height": 32}, "root": root}
    made = {
        "reach": demos.collect("LamReach-v0", episodes=EPISODES, root=root),
        "pixels": demos.collect("LamReachPixels-v0", **pixels),
        "jpeg": demos.collect("LamReachPixels-v0", jpeg=True, **pixels),
    }
    return {name: Path(dataset.storage.data_path) for name, dataset in made.items()}


@pytest.fixture
def reach(collected: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(collected["reach"], tmp_path / "data"))


@contextmanager
def opened(folder: Path) -> Iterator[h5py.File]:
    with h5py.File(folder / DATA_FILE, "r+", libver="latest") as file:
        yield file


def rewritten(folder: Path, **values: Any) -> None:
    metadata = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps({**metadata, **values}))


def replaced(group: h5py.Group, name: str, values: Any) -> None:
    del group[name]
    group[name] = values


def signed_again(group: h5py.Group) -> None:
    group.attrs[DIGEST] = episode_digest(group)


def told(report: CheckReport, file: str, episode: int | None) -> str:
    """What a report says of a place; the test fails if it says nothing."""
    found = [problem.what for problem in report.problems if (problem.file, problem.episode) == (file, episode)]
    assert found, [str(problem) for problem in report.problems]
    return "; ".join(found)


@pytest.mark.parametrize(("name", "asked"), [("reach", check), ("pixels", check_here), ("jpeg", check_here)])
def test_a_sound_dataset_is_sound(name: str, asked: Callable[..., CheckReport], collected: dict[str, Path]) -> None:
    report = asked(collected[name], replay=2)
    assert report.problems == ()
    assert report.sound == tuple(range(report.episodes))
    assert bool(report.notes) == (name == "jpeg"), "pictures stored as JPEG cannot be compared"


def test_a_missing_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no dataset 'lam/none-v0'"):
        check("lam/none-v0", tmp_path)


@pytest.mark.parametrize(("left", "asked"), [(0, check_here), (50_000, check)])
def test_a_truncated_file_is_named(left: int, asked: Callable[..., CheckReport], reach: Path) -> None:
    os.truncate(reach / DATA_FILE, left)
    report = asked(reach, replay=0)
    assert "cannot be opened" in told(report, DATA_FILE, None)
    assert report.sound == ()


def test_a_missing_file_is_named(reach: Path) -> None:
    (reach / DATA_FILE).unlink()
    assert "is missing" in told(check_here(reach), DATA_FILE, None)


def test_a_flipped_bit_is_found_in_its_episode(reach: Path) -> None:
    with h5py.File(reach / DATA_FILE) as file:
        place = file["episode_2/infos/state"].id.get_offset() + 100
    flip(reach / DATA_FILE, [8 * place])
    report = check_here(reach)
    assert "is not what was signed: its SHA-256 is" in told(report, DATA_FILE, 2)
    assert report.sound == (0, 1, 3)


def test_bytes_outside_of_the_episodes_count(reach: Path) -> None:
    with (reach / DATA_FILE).open("ab") as file:
        file.write(b"more")
    report = check_here(reach)
    assert "bytes outside of the episodes changed" in told(report, DATA_FILE, None)
    assert report.sound == (0, 1, 2, 3)
    assert not report.is_sound


DAMAGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda group: group.pop("rewards"), "lacks rewards"),
    (lambda group: group["infos"].pop("is_success"), "lacks infos/is_success"),
    (lambda group: group.pop("infos"), "lacks infos"),
    (lambda group: group.create_dataset("options", data=1), "additional part 'options'"),
    (lambda group: group.create_group("infos/more"), "infos/more is an empty group"),
    (lambda group: group["infos"].create_dataset("more", data=np.ones(41)), "infos/more is float64"),
    (
        lambda group: replaced(group, "observations", group["observations"][:20]),
        "expected 41 moments of 40 steps",
    ),
    (lambda group: replaced(group, "actions", group["actions"][()].astype(float)), "actions is float64"),
    (lambda group: replaced(group, "actions", group["actions"][:, :2]), r"expected float32 of shape \(any, \*"),
    (lambda group: replaced(group, "truncations", np.zeros(40, np.int8)), "truncations is int8"),
    (lambda group: replaced(group, "truncations", np.zeros(40, bool)), "neither terminated nor truncated"),
    (lambda group: group["truncations"].__setitem__(7, True), "goes on after its end: step 7 of 40"),
    (lambda group: group["observations"].__setitem__((5, 1), np.nan), r"observations has nan at \(5, 1\)"),
    (lambda group: group["rewards"].__setitem__(3, np.inf), r"rewards has inf at \(3,\)"),
    (lambda group: group["infos/state"].__setitem__((0, 0), np.nan), r"infos/state has nan at \(0, 0\)"),
    (
        lambda group: group["actions"].__setitem__((9, 3), 1.5),
        r"actions has 1.5 at \(9, 3\), expected it in \[-1",
    ),
    (lambda group: group["observations"].__setitem__((9, 3), -99), r"observations has -99.0 at \(9, 3\)"),
    (lambda group: group.attrs.pop("total_steps"), "lacks the attribute 'total_steps'"),
    (lambda group: group.attrs.pop("seed"), "lacks the attribute 'seed'"),
    (lambda group: group.attrs.pop(DIGEST), "lacks the attribute 'sha256'"),
    (lambda group: group.attrs.modify("seed", 12), "is not what was signed"),
    (lambda group: group.attrs.create("seed", -12), "seed -12"),
    (lambda group: group.attrs.create("seed", "12"), "'seed' is of type .*, expected a whole number"),
    (lambda group: group.attrs.create("total_steps", 39), "expected 40 moments"),
    (lambda group: group.attrs.create("note", np.zeros(7_000)), "'note' has 56000 bytes, expected at most"),
    (lambda group: group.attrs.create("note", 1), "additional attribute 'note'"),
    (lambda group: group["actions"].attrs.create("note", 1), r"actions has attributes \(\['note'\]\)"),
    (lambda group: group.__setitem__("infos/more", h5py.ExternalLink("/etc/hosts", "/")), "is a ExternalLink"),
    (lambda group: group.__setitem__("infos/more", group), "nested deeper than 16 groups"),
    (lambda group: group["infos"].create_dataset("more", (2**40,), "f4", chunks=(1,)), "claims 4398046511104"),
    (lambda group: group["infos"].create_dataset("more", (41, 2**40), "i1", external="x"), "in another file"),
]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> CheckReport:
    """What a check says of a dataset with each of the damages in one episode, and a sound one at the end."""
    dataset = demos.collect("LamReach-v0", episodes=len(DAMAGES) + 1, root=tmp_path_factory.mktemp("damaged"))
    folder = Path(dataset.storage.data_path)
    with opened(folder) as file:
        for number, (damage, _) in enumerate(DAMAGES):
            damage(file[f"episode_{number}"])
    return check(folder)


@pytest.mark.parametrize(("number", "message"), [(number, message) for number, (_, message) in enumerate(DAMAGES)])
def test_damage_within_an_episode_is_told(number: int, message: str, damaged: CheckReport) -> None:
    said = told(damaged, DATA_FILE, number)
    assert re.search(message, said), said


def test_damage_within_episodes_concerns_no_other(damaged: CheckReport) -> None:
    assert damaged.sound == (len(DAMAGES),)
    assert all(problem.episode is not None for problem in damaged.problems if "total_steps" not in problem.what)


def test_lost_additional_and_renamed_episodes_are_told(reach: Path) -> None:
    with opened(reach) as file:
        del file["episode_0"]
        file.move("episode_1", "episode_7")
        file["notes"] = 1
    report = check_here(reach)
    assert told(report, DATA_FILE, 0) == "is missing"
    assert told(report, DATA_FILE, 1) == "is missing"
    assert "says that it is episode 1, expected 7" in told(report, DATA_FILE, 7)
    assert "has 'notes', which is no episode" in told(report, DATA_FILE, None)
    assert "has 3 episodes, expected 4" in told(report, DATA_FILE, None)
    assert report.sound == (2, 3)


def test_swapped_and_copied_episodes_are_told(reach: Path) -> None:
    with opened(reach) as file:
        file.move("episode_0", "aside")
        file.move("episode_1", "episode_0")
        file.move("aside", "episode_1")
        del file["episode_3"]
        file.copy("episode_2", "episode_3")
        file["episode_3"].attrs["id"] = 3
    report = check_here(reach)
    assert "it was moved, copied or renamed" in told(report, DATA_FILE, 0)
    assert "it was moved, copied or renamed" in told(report, DATA_FILE, 1)
    assert told(report, DATA_FILE, 3) == "is a copy of episode 2"
    assert report.sound == (2,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is a list, expected a JSON object"),
        (b"{}", "lacks 'dataset_id'; lacks 'minari_version'"),
    ],
)
def test_metadata_that_are_none_are_told(content: bytes, message: str, reach: Path) -> None:
    (reach / METADATA).write_bytes(content)
    report = check_here(reach)
    assert message in told(report, METADATA, None)
    assert report.sound == (0, 1, 2, 3), "every episode is signed"


def test_missing_metadata_are_reported(reach: Path) -> None:
    (reach / METADATA).unlink()
    assert "is missing" in told(check_here(reach), METADATA, None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"description": "better"}, "was changed since it was sealed: its SHA-256 is .*, expected"),
        ({"total_episodes": "4"}, "total_episodes is a str, expected a int"),
        ({"total_steps": -1}, "total_steps is -1"),
        ({"dataset_id": "../x"}, "malformed dataset id"),
        ({"data_format": "arrow"}, "data_format is 'arrow', expected 'hdf5'"),
        ({"observation_space": "{}"}, "observation_space is no space: KeyError"),
        ({"action_space": '{"type": "Unknown"}'}, "action_space is no space"),
        ({"lam_envs_seal": None}, "lam_envs_seal is a NoneType, expected a dict; lacks its seal"),
    ],
)
def test_changed_metadata_are_told(values: dict[str, Any], message: str, reach: Path) -> None:
    rewritten(reach, **values)
    report = check_here(reach)
    assert re.search(message, told(report, METADATA, None)), told(report, METADATA, None)
    assert report.sound == (0, 1, 2, 3)


def test_a_count_beyond_all_counting_is_told_at_once(reach: Path) -> None:
    rewritten(reach, total_episodes=10**15)
    assert "has 4 episodes, expected 1000000000000000" in told(check_here(reach), DATA_FILE, None)
    with pytest.raises(ValueError, match="damaged or incomplete"):
        demos.load(reach)


def test_metadata_that_say_the_same_in_other_letters_are_told(reach: Path) -> None:
    (reach / METADATA).write_text(json.dumps(json.loads((reach / METADATA).read_text()), indent=1))
    assert "in other letters" in told(check_here(reach), METADATA, None)


def test_a_seal_that_is_lost_is_told(reach: Path) -> None:
    metadata = json.loads((reach / METADATA).read_text())
    (reach / METADATA).write_text(json.dumps({key: metadata[key] for key in metadata if "lam_envs" not in key}))
    assert "lacks its seal 'lam_envs_seal', and the episodes are signed" in told(check_here(reach), METADATA, None)


def test_what_minari_cannot_open_is_told(reach: Path) -> None:
    rewritten(reach, env_spec="{}")
    seal(reach)
    assert "cannot be opened" in told(check_here(reach, replay=1), METADATA, None)


def with_plan(folder: Path, **values: Any) -> None:
    """Has the dataset name another environment, and seals that."""
    plan = json.loads((folder / METADATA).read_text())[PLAN]
    rewritten(folder, **{PLAN: {**plan, **values}})
    seal(folder)


def test_an_environment_of_other_spaces_is_told(reach: Path) -> None:
    with_plan(reach, env_kwargs={"control": "ee_yaw"}, libraries={"numpy": "1.0"})
    report = check_here(reach, replay=1)
    assert "action_space of LamReach-v0 is now Box" in told(report, METADATA, None)
    assert f"numpy was 1.0, is {np.__version__}" in told(report, METADATA, None)
    assert report.sound == (0, 1, 2, 3)


def test_an_environment_that_cannot_be_made_is_told(reach: Path) -> None:
    with_plan(reach, env_kwargs={"robot": "none"})
    assert "LamReach-v0 cannot be made with {'robot': 'none'}" in told(check_here(reach, replay=1), METADATA, None)


def test_what_is_no_longer_given_is_told(reach: Path) -> None:
    with opened(reach) as file:
        file["episode_1/actions"][3, 0] += 0.01
        signed_again(file["episode_1"])
    seal(reach)
    report = check_here(reach, replay=2)
    assert told(report, DATA_FILE, 1).startswith("re-executed, it differs in observations; ")
    assert check_here(reach, replay=1).is_sound
    assert report.sound == (0, 1, 2, 3), "it is as it was written"


def test_no_environment_of_others_is_made(reach: Path) -> None:
    with_plan(reach, env_id="os:system-v0")
    report = check_here(reach, replay=1)
    assert report.is_sound
    assert report.notes == ("nothing was re-executed: 'os:system-v0' is not an environment of lam_envs",)


def test_episodes_that_were_changed_are_not_re_executed(reach: Path, tmp_path: Path) -> None:
    source = demos.load(reach)
    with dataset_writer(
        "made-v0",
        source.observation_space,
        source.action_space,
        source.env_spec,
        derived_metadata(source, step="stretch", replays=False),
        root=tmp_path,
    ) as writer:
        writer.copy(reach / DATA_FILE, [1, 2])
    report = check_here("made-v0", tmp_path, replay=1)
    assert report.is_sound
    assert report.notes == ("nothing was re-executed: the episodes were changed by stretch",)


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A dataset that Minari wrote, of infos that are empty."""
    env = gym.make("CartPole-v1")
    storage = MinariStorage.new(tmp_path, env.observation_space, env.action_space, env.spec)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        storage.update_episodes(
            [
                EpisodeBuffer(
                    seed=seed,
                    observations=0.4 * rng.random((11, 4), dtype=np.float32),
                    actions=rng.integers(2, size=10),
                    rewards=[1.0] * 10,
                    terminations=[False] * 9 + [True],
                    truncations=[False] * 10,
                    infos={},
                )
            ]
        )
    storage.update_metadata({"dataset_id": "others/pole-v0", "minari_version": minari.__version__})
    return tmp_path


def test_a_dataset_of_others_is_checked_by_its_structure(others: Path) -> None:
    report = check_here(others, replay=1)
    assert report.problems == ()
    assert report.notes == (
        "this dataset was never signed or sealed: only its structure was checked",
        "nothing was re-executed: 'CartPole-v1' is not an environment of lam_envs",
    )
    assert demos.load(others).total_episodes == 3
    with opened(others) as file:
        file["episode_1/observations"][0, 0] = np.nan
        file["episode_2/actions"][0] = 2
    report = check_here(others, replay=1)
    assert "has nan at (0, 0)" in told(report, DATA_FILE, 1)
    assert "has 2 at (0,), expected it in [0, 1]" in told(report, DATA_FILE, 2)
    assert report.sound == (0,)


@pytest.mark.parametrize("name", ["reach", "jpeg"])
def test_a_repair_keeps_the_sound_episodes_as_they_are(name: str, collected: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(collected[name], tmp_path / "data"))
    with opened(folder) as file:
        file["episode_0/rewards"][3] = np.nan
        signed = [file[f"episode_{number}"].attrs[DIGEST] for number in range(len(file))]
    report = check_here(folder)
    repaired = repair(folder, "mended-v0", tmp_path, report=report)
    assert check_here("mended-v0", tmp_path, replay=1).problems == ()
    with h5py.File(Path(repaired.storage.data_path) / DATA_FILE) as file:
        assert [episode_digest(file[f"episode_{number}"]) for number in range(len(file))] == signed[1:]
    assert repaired.storage.metadata["lam_envs_history"] == [
        {"step": "repair", "replays": True, "left_out": [0], "of": demos.load(folder).id}
    ]
    with pytest.raises(FileExistsError, match="mended-v0 exists"):
        repair(folder, "mended-v0", tmp_path)
    repair(folder, "mended-v0", tmp_path, report=report, overwrite=True)


def test_what_cannot_be_repaired_is_an_error(reach: Path, tmp_path: Path) -> None:
    with opened(reach) as file:
        for number in range(EPISODES):
            del file[f"episode_{number}/rewards"]
    with pytest.raises(ValueError, match=r"sound episodes: 0 of 4.*Make it anew"):
        repair(reach, "mended-v0", tmp_path)
    (reach / METADATA).unlink()
    with pytest.raises(ValueError, match=r"metadata\.json: is missing"):
        repair(reach, "mended-v0", tmp_path, report=check_here(reach))
    shutil.copytree(reach, tmp_path / "mine-v0" / "data")
    with pytest.raises(ValueError, match="cannot replace what it is made of"):
        repair("mine-v0", "mine-v0", tmp_path, overwrite=True)
    assert not (tmp_path / "mended-v0").exists()


DYING = """
    import os
    import time

    def dies(settings, tell):
        tell({"reading": 1})
        if settings["how"] == "crash":
            os.abort()
        while settings["how"] == "hang":
            time.sleep(1)
        raise ValueError(settings["how"])
"""


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("crash", "crashed by SIGABRT"),
        ("hang", "hung: nothing came for 2 s"),
        ("fail", r"status 1 \(ValueError: fail"),
    ],
)
def test_a_process_that_dies_says_how(
    how: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying.py").write_text(textwrap.dedent(DYING))
    monkeypatch.syspath_prepend(tmp_path)
    messages = messages_of("dying:dies", {"how": how}, silence=2)
    assert next(messages) == {"reading": 1}
    with pytest.raises(DiedError, match=message):
        next(messages)


def test_a_script_without_a_guard_can_check(reach: Path, tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(f"from demos.check import check\nprint(check({str(reach)!r}, replay=0).is_sound)\n")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert done.stdout == "True\n", done.stderr


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def flip(path: Path, bits: list[int]) -> None:
    content = bytearray(path.read_bytes())
    for bit in bits:
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


class Damage:
    """Does something to a dataset, drawn at random.

    Args:
        folder: Of the dataset.
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
        """Somebody who knows the checksums: only what an episode must be tells."""
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
    told_of = [str(problem) for problem in report.problems]
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
    if report.is_sound or not named or not expected <= named or expected & set(report.sound):
        return f"{number} {kind.__name__}: expected {damage.file} {expected}, reported {told_of}"
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
