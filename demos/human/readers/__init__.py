"""Readers of recordings. Add one for a new format as a file here and an entry in ``READERS``.

A reader is found by the content of a file. Nothing in a file is executed or unpickled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from demos.human.readers.arrays import CsvReader, NpyReader, NpzReader
from demos.human.readers.bvh import BvhReader
from demos.human.readers.grippers import PandaLogReader
from demos.human.readers.headsets import AriaReader, EgoDexReader, VisionProReader
from demos.human.readers.key_points import AlphaPoseReader, OpenPoseReader
from demos.human.readers.lerobot_grippers import LeRobotReader
from demos.human.readers.markers import C3dReader, TrcReader
from demos.human.readers.mediapipe import MediaPipeReader
from demos.human.readers.pose_container import PoseReader
from demos.human.readers.reader import Reader, ReadOptions, Recording, RecordingError
from demos.human.readers.track_files import TrackReader
from demos.human.readers.umi import UmiReader
from demos.human.track import HandTrack

READERS: tuple[Reader, ...] = (
    TrackReader(),
    OpenPoseReader(),
    LeRobotReader(),
    UmiReader(),
    EgoDexReader(),
    VisionProReader(),
    PandaLogReader(),
    AriaReader(),
    BvhReader(),
    TrcReader(),
    MediaPipeReader(),
    AlphaPoseReader(),
    NpyReader(),
    NpzReader(),
    PoseReader(),
    C3dReader(),
    CsvReader(),
)
"""Readers; the first that accepts a recording reads it. The most specific come first."""
RESTING = 0.03
"""Largest movement of a hand that rests, meters."""
PICKLE_HEADS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def reader_of(recording: Recording) -> Reader:
    """Return the reader of a recording.

    Raises:
        RecordingError: No reader knows the content.
    """
    if b"ftyp" in recording.head[:16] or recording.head[:4] in (b"RIFF", b"\x1a\x45\xdf\xa3"):
        recording.fail("", "a video; find the hands in it first: python -m demos human track")
    for reader in READERS:
        if reader.accepts(recording):
            return reader
    if recording.head[:2] in PICKLE_HEADS:
        recording.fail("", "a pickle, which could run any code; export it as NPZ")
    problem = recording.archive_problem
    if problem:
        recording.fail(
            "", f"the ZIP archive is damaged ({problem}); expected a complete file: copy or export it again"
        )
    known = ", ".join(reader.name for reader in READERS)
    raise RecordingError(recording.path, "", f"an unknown format; expected one of: {known}")


def read_tracks(path: str | Path, options: ReadOptions | None = None) -> tuple[str, list[HandTrack]]:
    """Return the name of a recording's format, and the tracks of all hands in it.

    Args:
        path: File or folder.
        options: What the recording does not say about itself.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: The format needs a package that is not installed.
        RecordingError: It is damaged, or of an unknown format.
    """
    recording = Recording(path)
    reader = reader_of(recording)
    with recording.checking(""):
        tracks = reader.read(recording, options or ReadOptions())
    return reader.name, tracks


def choose_track(tracks: list[HandTrack], hand: str | None = None, number: int | None = None) -> HandTrack:
    """Return one of the tracks of a recording.

    Args:
        tracks: Tracks of :func:`read_tracks`.
        hand: ``left`` or ``right``; None if there is only one.
        number: Number of the track in the list, from 0; None to choose by hand.

    Raises:
        ValueError: There is no such track, it is of the other hand, or there are several.
    """
    listed = "; ".join(f"{index}: {track.hand}, {track.source}" for index, track in enumerate(tracks[:20]))
    if number is not None:
        if not 0 <= number < len(tracks):
            raise ValueError(f"no track {number}; the recording has {listed}")
        if hand not in (None, tracks[number].hand):
            raise ValueError(
                f"track {number} is of the {tracks[number].hand} hand and --hand is {hand}; expected one hand: leave "
                f"out --hand, or choose another track: {listed}"
            )
        return tracks[number]
    chosen = [track for track in tracks if hand in (None, track.hand)]
    # A hand that rests while another one moves is not meant.
    moving = [track for track in chosen if track.frame == "image" or _travel(track) > RESTING]
    chosen = moving if hand is None and len(moving) == 1 else chosen
    if not chosen:
        raise ValueError(f"no {hand} hand; the recording has {listed}")
    if len(chosen) > 1 and hand is not None and len({track.source for track in chosen}) > 1:
        raise ValueError(f"{len(chosen)} tracks of the {hand} hand; choose one (--track 0): {listed}")
    if len(chosen) > 1:
        raise ValueError(f"{len(chosen)} hands; choose one (--hand right, or --track 0): {listed}")
    return chosen[0]


def _travel(track: HandTrack) -> float:
    """Return how far a hand moves, meters."""
    points = track.pinch[np.isfinite(track.pinch).all(axis=1)]
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0


__all__ = ["READERS", "ReadOptions", "Reader", "Recording", "RecordingError", "choose_track", "read_tracks"]
