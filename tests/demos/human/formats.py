"""One synthetic hand, written in every format that the readers know."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demos.human.point_orders import ABSENT, POINT_ORDERS
from demos.human.readers import ReadOptions
from demos.human.track import POINT_NAMES, make_track
from demos.human.track_files import save_track

FRAMES, RATE = 30, 25.0
WIDTH, HEIGHT = 1280, 720
PIXELS = 1000.0
"""Pixels of a meter in the formats of images."""

TIMES = np.arange(FRAMES) / RATE


def hand_points() -> np.ndarray[Any, Any]:
    """Return a flat right hand that moves to the side, opens and closes: (T, 21, 3), meters, x and y positive."""
    rng = np.random.default_rng(3)
    base = np.zeros((21, 3))
    base[0] = (0.3, 0.3, 0.0)
    for finger in range(5):
        for joint in range(4):
            base[1 + 4 * finger + joint] = (0.3 + 0.02 * (finger - 2), 0.38 + 0.03 * joint, 0.0)
    base[:, :2] += rng.uniform(-0.004, 0.004, (21, 2))
    points = np.repeat(base[None], FRAMES, axis=0)
    points[:, :, 0] += 0.1 * np.sin(TIMES)[:, None]
    points[:, 4, 0] -= 0.02 * (1 + np.cos(5 * TIMES))
    return points


POINTS = hand_points()
APERTURE = np.linalg.norm(POINTS[:, 4] - POINTS[:, 8], axis=1)
IMAGE = POINTS[:, :, :2] * PIXELS

Written = tuple[Path, ReadOptions]


def _triples(points: np.ndarray[Any, Any]) -> list[float]:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1).ravel().tolist()


def openpose(folder: Path) -> Written:
    path = folder / "openpose"
    path.mkdir()
    for frame in range(FRAMES):
        body = np.zeros((25, 2))
        body[4] = IMAGE[frame, 0]
        person = {
            "person_id": [-1],
            "pose_keypoints_2d": _triples(body),
            "hand_left_keypoints_2d": [0.0] * 63,
            "hand_right_keypoints_2d": _triples(IMAGE[frame]),
        }
        content = {"version": 1.3, "people": [person]}
        (path / f"video_{frame:012d}_keypoints.json").write_text(json.dumps(content))
    return path, ReadOptions(fps=RATE)


def _halpe(frame: int) -> list[float]:
    points = np.zeros((136, 3))
    points[115:] = np.concatenate([IMAGE[frame], np.ones((21, 1))], axis=1)
    return points.ravel().tolist()


def alphapose_list(folder: Path) -> Written:
    path = folder / "alphapose-results.json"
    entries = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": _halpe(frame), "score": 2.9, "idx": 1}
        for frame in range(FRAMES)
    ]
    path.write_text(json.dumps(entries))
    return path, ReadOptions(fps=RATE)


def openpose_coco(folder: Path) -> Written:
    """COCO-18 bodies, and the normalized scale of --keypoint_scale 3."""
    path = folder / "openpose-coco"
    path.mkdir()
    size = np.array([WIDTH, HEIGHT])
    for frame in range(FRAMES):
        body = np.zeros((18, 2))
        body[4] = IMAGE[frame, 0] / size
        person = {"pose_keypoints_2d": _triples(body), "hand_right_keypoints_2d": _triples(IMAGE[frame] / size)}
        (path / f"{frame:06d}_keypoints.json").write_text(json.dumps({"version": 1.1, "people": [person]}))
    return path, ReadOptions(fps=RATE, image_size=(WIDTH, HEIGHT))


def alphapose_cmu(folder: Path) -> Written:
    path = folder / "alphapose-cmu.json"
    frames = {
        f"{frame}.jpg": {
            "version": 0.1,
            "bodies": [{"joints": [0.0] * 54, "hand_right_keypoints_2d": _triples(IMAGE[frame])}],
        }
        for frame in range(FRAMES)
    }
    path.write_text(json.dumps(frames))
    return path, ReadOptions(fps=RATE)


def alphapose_open(folder: Path) -> Written:
    path = folder / "alphapose-open.json"
    frames = {
        f"{frame}.jpg": {
            "version": "AlphaPose v0.3",
            "people": [
                {"pose_keypoints_2d": [0.0] * 54, "hand_right_keypoints_2d": _triples(IMAGE[frame])},
            ],
        }
        for frame in range(FRAMES)
    }
    path.write_text(json.dumps(frames))
    return path, ReadOptions(fps=RATE)


def _normalized(frame: int) -> list[dict[str, float]]:
    return [{"x": x / WIDTH, "y": y / HEIGHT, "z": 0.0} for x, y in IMAGE[frame].tolist()]


def mediapipe_tasks(folder: Path) -> Written:
    path = folder / "mediapipe.json"
    frames = [
        {
            "timestamp_ms": 1000 * TIMES[frame],
            "hand_landmarks": [_normalized(frame)],
            "handedness": [[{"category_name": "Right", "score": 0.97}]],
        }
        for frame in range(FRAMES)
    ]
    path.write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "frames": frames}))
    return path, ReadOptions()


def mediapipe_browser(folder: Path) -> Written:
    path = folder / "mediapipe-js.json"
    frames = [
        {"multiHandLandmarks": [_normalized(frame)], "multiHandedness": [{"label": "Right", "score": 0.9}]}
        for frame in range(FRAMES)
    ]
    path.write_text(json.dumps(frames))
    return path, ReadOptions(fps=RATE, image_size=(WIDTH, HEIGHT))


def _ordered(order: str) -> np.ndarray[Any, Any]:
    size, indices = POINT_ORDERS[order]
    points = np.full((FRAMES, size, 3), 0.01)
    for point, index in enumerate(indices):
        if index != ABSENT:
            points[:, index] = POINTS[:, point]
    return points


def mediapipe_holistic(folder: Path) -> Written:
    path = folder / "holistic.json"
    frames = [{"timestamp": TIMES[frame], "right_hand_landmarks": _normalized(frame)} for frame in range(FRAMES)]
    path.write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "frames": frames}))
    return path, ReadOptions()


def npy(folder: Path) -> Written:
    path = folder / "hand.npy"
    np.save(path, _ordered("mano"))
    return path, ReadOptions(fps=RATE, hand="right", order="mano")


def npz(folder: Path) -> Written:
    path = folder / "hand.npz"
    np.savez(path, points=_ordered("webxr"), times=TIMES)
    return path, ReadOptions(hand="right")


def csv(folder: Path) -> Written:
    path = folder / "hand.csv"
    titles = ["time", *(f"{name}_{axis}" for name in POINT_NAMES for axis in "xyz")]
    rows = [[time, *points.ravel()] for time, points in zip(TIMES, POINTS, strict=True)]
    path.write_text("\n".join(",".join(map(str, row)) for row in [titles, *rows]) + "\n")
    return path, ReadOptions(hand="right")


def aria(folder: Path) -> Written:
    path = folder / "hand_tracking_results.csv"
    points = _ordered("aria")
    titles = ["tracking_timestamp_us"]
    for hand in ("left", "right"):
        titles.append(f"{hand}_tracking_confidence")
        titles += [f"t{axis}_{hand}_landmark_{number}_device" for number in range(21) for axis in "xyz"]
    rows = [[int(1e6 * TIMES[frame]), -1, *[0] * 63, 0.9, *points[frame].ravel().tolist()] for frame in range(FRAMES)]
    path.write_text("\n".join(",".join(map(str, row)) for row in [titles, *rows]) + "\n")
    return path, ReadOptions()


def vision_pro(folder: Path) -> Written:
    path = folder / "vision_pro.npz"
    wrist = np.repeat(np.eye(4)[None, None], FRAMES, axis=0)
    wrist[:, 0, :3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    wrist[:, 0, :3, 3] = POINTS[:, 0]
    fingers = np.repeat(np.repeat(np.eye(4)[None, None], 25, axis=1), FRAMES, axis=0)
    relative = _ordered("webxr") - POINTS[:, :1]
    fingers[:, :, :3, 3] = relative @ wrist[0, 0, :3, :3]
    np.savez(path, right_wrist=wrist, right_fingers=fingers, times=TIMES)
    return path, ReadOptions()


def egodex(folder: Path) -> Written:
    path = folder / "egodex.hdf5"
    names = ["rightHand"]
    for finger in ("Thumb", "IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger"):
        names += [f"right{finger}{joint}" for joint in ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")]
    with h5py.File(path, "w") as file:
        for index, name in enumerate(names):
            poses = np.repeat(np.eye(4)[None], FRAMES, axis=0)
            poses[:, :3, 3] = POINTS[:, index]
            file[f"transforms/{name}"] = poses
            file[f"confidences/{name}"] = np.full(FRAMES, 0.8)
    return path, ReadOptions(fps=RATE)


def trc(folder: Path) -> Written:
    path = folder / "hand.trc"
    names = [f"R_{name}" for name in POINT_NAMES] + ["box1", "box2"]
    rows = np.concatenate([POINTS, np.full((FRAMES, 2, 3), 0.5)], axis=1) * 1000
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{RATE}\t{RATE}\t{FRAMES}\t{len(names)}\tmm\t{RATE}\t1\t{FRAMES}",
        "Frame#\tTime\t" + "\t\t\t".join(names),
        "\t\t" + "\t".join(f"{axis}{number + 1}" for number in range(len(names)) for axis in "XYZ"),
        "",
    ]
    lines += [
        "\t".join(map(str, [frame + 1, TIMES[frame], *rows[frame].ravel().tolist()])) for frame in range(FRAMES)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path, ReadOptions()


def c3d(folder: Path) -> Written:
    import c3d as library

    path = folder / "hand.c3d"
    names = [f"R_{name}".upper() for name in POINT_NAMES] + ["BOX1", "BOX2"]
    rows = np.concatenate([POINTS, np.full((FRAMES, 2, 3), 0.5)], axis=1) * 1000
    writer = library.Writer(point_rate=RATE, point_units="mm  ")
    writer.set_point_labels(names)
    for frame in range(FRAMES):
        values = np.zeros((len(names), 5), dtype=np.float32)
        values[:, :3] = rows[frame]
        writer.add_frames([(values, np.zeros((0, 0)))])
    with path.open("wb") as file:
        writer.write(file)
    return path, ReadOptions()


def bvh(folder: Path) -> Written:
    path = folder / "hand.bvh"
    lines = ["HIERARCHY", "ROOT Hips", "{", "OFFSET 0 0 0", "CHANNELS 3 Xposition Yposition Zposition"]
    lines += ["JOINT RightForeArm", "{", "OFFSET 0 0 0", "CHANNELS 3 Xposition Yposition Zposition"]
    lines += ["JOINT RightHand", "{", "OFFSET 26 0 0", "CHANNELS 3 Xposition Yposition Zposition"]
    for finger in ("Thumb", "Index", "Middle", "Ring", "Pinky"):
        for joint in range(1, 5):
            lines += [f"JOINT RightHand{finger}{joint}", "{", "OFFSET 0 1 0"]
            lines += ["CHANNELS 3 Xposition Yposition Zposition"]
        lines += ["}"] * 4
    lines += ["}"] * 3
    lines += ["MOTION", f"Frames: {FRAMES}", f"Frame Time: {1 / RATE}"]
    for frame in range(FRAMES):
        points = 100 * POINTS[frame]
        shifts = [np.zeros(3), np.zeros(3), points[0]]
        for finger in range(5):
            before = points[0]
            for joint in range(4):
                shifts.append(points[1 + 4 * finger + joint] - before)
                before = points[1 + 4 * finger + joint]
        lines.append(" ".join(map(str, np.concatenate(shifts).tolist())))
    path.write_text("\n".join(lines) + "\n")
    return path, ReadOptions()


def zarr_array(folder: Path, array: np.ndarray[Any, Any], chunk: int) -> None:
    folder.mkdir(parents=True)
    chunks = (chunk, *array.shape[1:])
    header = {"zarr_format": 2, "shape": array.shape, "chunks": chunks, "dtype": array.dtype.str, "order": "C"}
    (folder / ".zarray").write_text(json.dumps({**header, "compressor": None, "filters": None, "fill_value": 0}))
    for number in range(-(-len(array) // chunk)):
        part = np.zeros(chunks, dtype=array.dtype)
        values = array[number * chunk : (number + 1) * chunk]
        part[: len(values)] = values
        name = ".".join([str(number), *["0"] * (array.ndim - 1)])
        (folder / name).write_bytes(part.tobytes())


def umi(folder: Path) -> Written:
    path = folder / "umi.zarr"
    middle = (POINTS[:, 4] + POINTS[:, 8]) / 2
    zarr_array(path / "data" / "robot0_eef_pos", middle, 16)
    zarr_array(path / "data" / "robot0_eef_rot_axis_angle", np.full((FRAMES, 3), 0.3), 16)
    zarr_array(path / "data" / "robot0_gripper_width", APERTURE[:, None], 16)
    zarr_array(path / "meta" / "episode_ends", np.array([FRAMES]), 1)
    return path, ReadOptions(fps=RATE)


def lerobot(folder: Path, gripper: np.ndarray[Any, Any] = APERTURE) -> Written:
    path = folder / "lerobot"
    (path / "meta").mkdir(parents=True)
    (path / "data" / "chunk-000").mkdir(parents=True)
    names = ["x", "y", "z", "roll", "gripper"]
    info = {"fps": RATE, "features": {"observation.state": {"dtype": "float32", "shape": [5], "names": names}}}
    (path / "meta" / "info.json").write_text(json.dumps(info))
    middle = (POINTS[:, 4] + POINTS[:, 8]) / 2
    rows = np.concatenate([middle, np.zeros((FRAMES, 1)), gripper[:, None]], axis=1)
    table = pa.table({"observation.state": rows.tolist(), "episode_index": [0] * FRAMES})
    pq.write_table(table, path / "data" / "chunk-000" / "file-000.parquet")
    return path, ReadOptions()


def panda_log(folder: Path) -> Written:
    path = folder / "log.npz"
    qpos = np.zeros((FRAMES, 16))
    qpos[:, :7] = (0.0, 0.0, 0.0, -1.5708, 0.0, 1.5708, 0.7854)
    qpos[:, 7] = qpos[:, 8] = APERTURE / 2
    np.savez(path, qpos=qpos)
    return path, ReadOptions(fps=RATE)


def pose(folder: Path) -> Written:
    path = folder / "hand.pose"

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value)) + value.encode()

    header = struct.pack("<fHHHH", 0.1, WIDTH, HEIGHT, 0, 1) + text("RIGHT_HAND_LANDMARKS") + text("XYC")
    header += struct.pack("<HHH", 21, 1, 1) + b"".join(text(name) for name in POINT_NAMES)
    header += struct.pack("<5H", 0, 1, 255, 0, 0) + struct.pack("<HHH", int(RATE), FRAMES, 1)
    path.write_bytes(header + IMAGE.astype("<f4").tobytes() + np.ones((FRAMES, 21), dtype="<f4").tobytes())
    return path, ReadOptions()


def track_npz(folder: Path) -> Written:
    return save_track(make_track(TIMES, POINTS, "world", "right"), folder / "track.npz"), ReadOptions()


def track_json(folder: Path) -> Written:
    return save_track(make_track(TIMES, POINTS, "world", "right"), folder / "track.json"), ReadOptions()


WRITERS: dict[str, Callable[[Path], Written]] = {
    writer.__name__: writer
    for writer in (
        openpose, openpose_coco, alphapose_list, alphapose_open, alphapose_cmu, mediapipe_tasks, mediapipe_browser,
        mediapipe_holistic, npy, npz, csv, aria, vision_pro,
        egodex, trc, c3d, bvh, umi, lerobot, panda_log, pose, track_npz, track_json,
    )
}  # fmt: skip
