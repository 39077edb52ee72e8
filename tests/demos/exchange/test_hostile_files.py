"""Files that do harm, or none any more, are refused, and run nothing."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import demos
from demos.datasets.reading import episodes_of
from demos.formats import FORMATS, export_dataset, import_dataset
from demos.formats.lerobot.layout import EXTRAS
from demos.formats.lerobot.parquet import ParquetFiles


def refused(path: Path, format: str, tmp_path: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match) as raised:
        import_dataset(path, format, "came/bad-v0", root=tmp_path / "root")
    assert str(path) in str(raised.value)
    assert list(demos.installed(tmp_path / "root")) == []


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_something_else_is_refused(format: str, tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("noise", bytes(range(256)) * 40), ("pickle", pickle.dumps({"a": 1}))):
        path = tmp_path / name
        path.write_bytes(content)
        refused(path, format, tmp_path, "Expected a")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", format, tmp_path, "Expected a")
    with pytest.raises(FileNotFoundError, match="expected a"):
        import_dataset(tmp_path / "none", format, "came/bad-v0", root=tmp_path)


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_are_refused_or_read_and_never_believed(
    format: str, copies: dict[str, Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    path = copies[format]
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        content = file.read_bytes()
        for number in range(3):
            place = int(rng.integers(len(content)))
            spoilt = bytearray(content[:place] if number % 2 else content)
            if number % 2 == 0:
                spoilt[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(spoilt)
            with contextlib.suppress(ValueError):
                back = import_dataset(path, format, "came/bad-v0", root=tmp_path, overwrite=True)
                assert back.total_episodes > 0
        file.write_bytes(content)


def spoil_hdf5(path: Path, what: str) -> None:
    with h5py.File(path, "a") as file:
        demo = file["data/demo_1"]
        if what == "lacks":
            del demo["actions"]
        elif what == "num_samples":
            demo.attrs["num_samples"] = 10**9
        elif what == "finite":
            demo["actions"][3, 1] = np.nan
        elif what == "claims":
            del demo["rewards"]
            demo.create_dataset("rewards", shape=(40, 10**9), dtype="f8", chunks=(1, 1000))
        elif what == "rows":
            del demo["obs/state"]
            demo["obs/state"] = np.zeros((39, 18))
        elif what == "link":
            del demo["rewards"]
            demo["rewards"] = h5py.ExternalLink("/etc/hostname", "x")
        elif what == "external":
            del demo["rewards"]
            demo.create_dataset("rewards", shape=(40,), dtype="u1", external=[("/etc/passwd", 0, 40)])
        elif what == "numbers":
            del demo["rewards"]
            demo["rewards"] = ["text"] * 40
        elif what == "demo_0":
            file.move("data/demo_1", "data/demo_x")
        elif what == "provenance":
            del file["lam_envs/provenance"]
            file["lam_envs/provenance"] = "{}"


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("lacks", "lacks 'actions'"),
        ("num_samples", "num_samples is 1000000000"),
        ("finite", "not finite"),
        ("claims", "claims 320000000000 bytes"),
        ("rows", "expected 40 rows of numbers"),
        ("link", "is a link; expected data"),
        ("external", "not an array in this file"),
        ("numbers", "expected 40 rows of numbers"),
        ("demo_0", "holds 'demo_x'; expected demo_0"),
        ("provenance", "provenance is damaged"),
    ],
)
def test_bad_robomimic_files_are_refused(what: str, match: str, copies: dict[str, Path], tmp_path: Path) -> None:
    spoil_hdf5(copies["robomimic"], what)
    refused(copies["robomimic"], "robomimic", tmp_path, match)


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_no_pickle_in_an_npz_is_loaded(tmp_path: Path) -> None:
    arrays = {
        "episode_ends": [2],
        "observations": np.zeros((3, 3)),
        "actions": np.array([Bomb(tmp_path / "trace")] * 2),
    }
    np.savez(tmp_path / "bad.npz", **arrays)
    refused(tmp_path / "bad.npz", "npz", tmp_path, "actions is object")
    assert not (tmp_path / "trace").exists()


def test_no_array_of_an_npz_is_believed_to_be_larger_than_it_is(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2, 10**12)})
    np.savez(tmp_path / "bad.npz", episode_ends=[2], observations=np.zeros((3, 3)))
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as archive:
        archive.writestr("actions.npy", header.getvalue() + bytes(100))
    refused(tmp_path / "bad.npz", "npz", tmp_path, r"actions claims the shape \(2, 1000000000000\)")


@pytest.mark.parametrize("name", ["../../evil", "infos/../../evil", "infos//x", "code"])
def test_names_in_an_npz_lead_nowhere(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", episode_ends=[2], observations=np.zeros((3, 3)), actions=np.zeros((2, 1)))
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as archive:
        content = io.BytesIO()
        np.save(content, np.zeros(3))
        archive.writestr(f"{name}.npy", content.getvalue())
    refused(tmp_path / "bad.npz", "npz", tmp_path, "it holds")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"episode_ends": [2, 2]}, "does not increase"),
        ({"episode_ends": [3]}, "has 3 rows; expected 4"),
        ({"episode_ends": [[2]]}, "one integer for each episode"),
        ({"actions": np.full((2, 1), np.inf)}, "not finite"),
        ({"rewards": np.zeros((2, 2))}, "one finite number for each step"),
        ({"observations": None}, "lacks observations"),
        ({"episode_ends": None}, "episode_ends"),
        ({"actions": np.array(["a", "b"])}, "expected numbers"),
    ],
)
def test_bad_arrays_are_refused(arrays: dict[str, Any], match: str, tmp_path: Path) -> None:
    good = {"episode_ends": [2], "observations": np.zeros((3, 3)), "actions": np.zeros((2, 1))}
    kept = {name: array for name, array in {**good, **arrays}.items() if array is not None}
    np.savez(tmp_path / "bad.npz", **kept)
    refused(tmp_path / "bad.npz", "npz", tmp_path, match)


def test_no_info_of_a_trajectory_is_made_into_an_object(tmp_path: Path) -> None:
    serialize = importlib.import_module("imitation.data.serialize")
    types = importlib.import_module("imitation.data.types")
    for number, (info, problem) in enumerate(
        (
            ({"a": Bomb(tmp_path / "trace")}, "would become an object"),
            ({"a": [{"b": np.zeros(2)}]}, "would become an object"),
            ({"a": 1 + 2j}, "would become an object"),
            ({"a": "text"}, "holds 'text'"),
        )
    ):
        trajectory = types.Trajectory(np.zeros((2, 1)), np.zeros((1, 1)), np.array([info]), True)
        serialize.save(tmp_path / str(number), [trajectory])
        refused(tmp_path / str(number), "imitation", tmp_path, problem)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["../out.arrow", "/etc/passwd", "a/../../b", "..", 3])
def test_trajectories_name_no_file_elsewhere(name: Any, copies: dict[str, Path], tmp_path: Path) -> None:
    (copies["imitation"] / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    refused(copies["imitation"], "imitation", tmp_path, "expected file names in this folder")


def test_a_changed_folder_of_trajectories_is_refused(copies: dict[str, Path], tmp_path: Path) -> None:
    sidecar = copies["imitation"] / "lam_envs.jsonl"
    lines = sidecar.read_text().splitlines()
    sidecar.write_text("\n".join(lines[:-1]))
    refused(copies["imitation"], "imitation", tmp_path, "fewer lines than there are trajectories")


def edited_info(folder: Path, **changes: Any) -> None:
    file = folder / "meta" / "info.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("feature", "match"),
    [
        ("../../../evil", "has the feature"),
        ("observation/images", "has the feature"),
        ("..", "has the feature"),
        ("observation..x", "has the feature"),
    ],
)
def test_lerobot_features_are_no_paths(feature: str, match: str, copies: dict[str, Path], tmp_path: Path) -> None:
    info = json.loads((copies["lerobot"] / "meta" / "info.json").read_text())
    features = {**info["features"], feature: {"dtype": "video", "shape": [8, 8, 3], "names": None}}
    edited_info(copies["lerobot"], features=features)
    refused(copies["lerobot"], "lerobot", tmp_path, match)


def test_bad_lerobot_folders_are_refused(copies: dict[str, Path], tmp_path: Path) -> None:
    folder = copies["lerobot"]
    info = json.loads((folder / "meta" / "info.json").read_text())
    for changes, match in (
        ({"codebase_version": "v2.1"}, "convert_dataset_v21_to_v30"),
        ({"fps": 0}, "frames per second"),
        ({"fps": float("nan")}, "frames per second"),
        ({"features": {"action": info["features"]["action"]}}, "lacks the features"),
        ({"features": {**info["features"], "info.x": {"dtype": "float32", "shape": [10**10]}}}, "claims the shape"),
        ({"features": {**info["features"], "info.x": {"dtype": "float32", "shape": [1]}}}, "lacks the columns"),
    ):
        edited_info(folder, **{**info, **changes})
        if "columns" in match:
            (folder / "meta/lam_envs/provenance.json").unlink()
        refused(folder, "lerobot", tmp_path, match)


def test_a_lerobot_folder_with_fewer_episodes_than_it_promises_is_refused(
    copies: dict[str, Path], tmp_path: Path
) -> None:
    folder = copies["lerobot"]
    file = folder / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(0, 80), file)
    refused(folder, "lerobot", tmp_path, "has more than the 2 episodes")
    pq.write_table(pa.concat_tables([table.slice(0, 39), table.slice(40)]), file)
    refused(folder, "lerobot", tmp_path, "has no episode 0 with 39 frames")
    pq.write_table(table, file)
    rest = pq.read_table(folder / EXTRAS)
    pq.write_table(rest.slice(0, 2), folder / EXTRAS)
    refused(folder, "lerobot", tmp_path, "fewer rows than there are episodes")


def test_a_lerobot_folder_without_its_videos_is_refused(
    sources: dict[str, minari.MinariDataset], tmp_path: Path
) -> None:
    export_dataset(sources["LamReachPixels-v0"], "lerobot", tmp_path / "out")
    video = next((tmp_path / "out" / "videos").rglob("*.mp4"))
    content = video.read_bytes()
    for spoilt in (content[: len(content) // 2], b"no video", b""):
        video.write_bytes(spoilt)
        refused(tmp_path / "out", "lerobot", tmp_path, "video")
    video.unlink()
    refused(tmp_path / "out", "lerobot", tmp_path, "Expected a folder of LeRobot")


def test_a_file_names_no_code_to_run(copies: dict[str, Path], tmp_path: Path) -> None:
    file = copies["lerobot"] / "meta" / "lam_envs" / "provenance.json"
    provenance = json.loads(file.read_text())
    for changes in (
        {"entry_point": "os:system"},
        {"vector_entry_point": "os:system"},
        {"additional_wrappers": [{"name": "x", "entry_point": "os:system", "kwargs": {}}]},
        {"id": "LamNone-v0"},
    ):
        spec = {**json.loads(provenance["env_spec"]), **changes}
        file.write_text(json.dumps({**provenance, "env_spec": json.dumps(spec)}))
        back = import_dataset(copies["lerobot"], "lerobot", "came/back-v0", root=tmp_path, overwrite=True)
        assert back.spec.env_spec is None


def folder_of_images(folder: Path, image: bytes, tasks: list[str]) -> Path:
    """Write a LeRobot folder of one third-party episode with three images in Parquet files."""
    numbers = {"dtype": "float32", "shape": [2]}
    features = {
        "observation.images.front": {"dtype": "image", "shape": [8, 8, 3]},
        "action": numbers,
        "episode_index": {"dtype": "int64", "shape": [1]},
    }
    info = {"codebase_version": "v3.0", "fps": 10, "total_episodes": 1, "features": features}
    frames = {
        "observation.images.front": [{"bytes": image, "path": None}] * 3,
        "action": [[0.0, 0.5]] * 3,
        "episode_index": [0] * 3,
    }
    rows = {"episode_index": [0], "length": [3], "tasks": [tasks]}
    for name, table in (("data", frames), ("meta/episodes", rows)):
        (folder / name / "chunk-000").mkdir(parents=True)
        pq.write_table(pa.table(table), folder / name / "chunk-000" / "file-000.parquet")
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    return folder


def png(size: tuple[int, int], mode: str) -> bytes:
    content = io.BytesIO()
    Image.new(mode, size).save(content, "PNG")
    return content.getvalue()


def broken_png() -> bytes:
    """Return an image whose second data chunk has no valid name, for which Pillow raises a SyntaxError."""
    content = png((64, 64), "RGB")
    start = content.index(b"IDAT") - 4
    size = int.from_bytes(content[start : start + 4], "big")
    half = content[start + 8 : start + 8 + size // 2]
    chunk = len(half).to_bytes(4, "big") + b"IDAT" + half + zlib.crc32(b"IDAT" + half).to_bytes(4, "big")
    return content[:start] + chunk + b"\0\0\0\x05\xff\xfe\xfd\xfc" + bytes(16)


@pytest.mark.parametrize("image", [lambda: png((20_000, 20_000), "1"), broken_png, lambda: b"no image"])
def test_lerobot_images_that_are_damaged_or_too_large_are_refused(image: Callable[[], bytes], tmp_path: Path) -> None:
    refused(folder_of_images(tmp_path / "images", image(), ["reach"]), "lerobot", tmp_path, "Expected a folder")


def test_one_of_several_tasks_is_not_the_instruction_of_an_episode(tmp_path: Path) -> None:
    for tasks, instruction in ((["reach"], "reach"), (["reach", "grasp"], None)):
        folder = folder_of_images(tmp_path / str(len(tasks)), png((8, 8), "RGB"), tasks)
        back = import_dataset(folder, "lerobot", "came/tasks-v0", root=tmp_path, overwrite=True)
        assert next(episodes_of(back)).instruction == instruction


def test_an_error_of_writing_is_not_hidden_by_files_that_cannot_be_completed(
    sources: dict[str, minari.MinariDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(ParquetFiles, "add", full)
    monkeypatch.setattr(ParquetFiles, "close", lambda _: (_ for _ in ()).throw(ValueError("closed file")))
    with pytest.raises(OSError, match="no space left"):
        export_dataset(sources["LamReach-v0"], "lerobot", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
