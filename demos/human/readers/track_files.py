"""Our own files of hand tracks."""

from __future__ import annotations

from dataclasses import replace

from demos.human import track_files
from demos.human.readers.reader import ReadOptions, Recording
from demos.human.track import HandTrack


class TrackReader:
    """NPZ or JSON that ``save_track`` wrote."""

    name = "hand track"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        if {"header", "times", "points", "confidence"} <= {*recording.array_names}:
            return True
        content = recording.json
        return isinstance(content, dict) and str(content.get("format", "")).startswith("lam-envs hand track")

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        with recording.checking("hand track"):
            if recording.array_names:
                track = track_files.track_of_arrays(recording.arrays())
            else:
                track = track_files.track_of_json(recording.json)
            if options.fps is not None:
                track = replace(track, times=options.frame_times(len(track.times)))
            return [track]
