"""Signals with gaps: filling, smoothing, noise and jitter."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from demos.human.track import Flags, Floats, HandTrack

HAND_BAND = 3.0
"""Frequency below which the motion of an arm has nearly all of its power, Hz (Winter 2009, Biomechanics)."""
WINDOW = 2.0
"""Length of the windows in which jitter is compared with motion, seconds."""


def fill_gaps(times: Floats, values: Floats) -> Floats:
    """Return values with linear interpolation where they are NaN; at the ends the nearest ones.

    Args:
        times: Shape (T,).
        values: Shape (T,) or (T, dimensions); a row is missing if one of its numbers is.

    Raises:
        ValueError: All are missing.
    """
    columns = values.reshape(len(values), -1)
    known = np.asarray(np.isfinite(columns).all(axis=1))
    if not known.any():
        raise ValueError("no value in any frame")
    filled = [np.interp(times, times[known], column[known]) for column in columns.T]
    return np.stack(filled, axis=1).reshape(values.shape)


def smooth(times: Floats, values: Floats, width: float) -> Floats:
    """Return values without gaps after a median and a Gaussian filter of a standard deviation in seconds."""
    frames = max(width / float(np.median(np.diff(times))), 1e-3)
    # The median over about two standard deviations removes single outliers.
    size = 2 * int(frames) + 1
    medians = median_filter(values, size=(size, *[1] * (values.ndim - 1)), mode="nearest")
    return np.asarray(gaussian_filter1d(medians, frames, axis=0, mode="nearest"))


def low_pass(times: Floats, values: Floats, frequency: float) -> Floats:
    """Return values without gaps after a Gaussian filter with a cutoff (-3 dB) in Hz."""
    # A Gaussian of deviation s in time has half of its power at 0.1325 / s.
    frames = 0.1325 / frequency / float(np.median(np.diff(times)))
    return np.asarray(gaussian_filter1d(values, max(frames, 1e-3), axis=0, mode="nearest"))


def noise_of(values: Floats) -> float:
    """Return the standard deviation of white noise on a smooth signal, shape (T,), from its second differences."""
    known = np.asarray(np.isfinite(values))
    triples = np.flatnonzero(known[:-2] & known[1:-1] & known[2:])
    if not len(triples):
        return 0.0
    second = values[triples] - 2 * values[triples + 1] + values[triples + 2]
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0))


def runs(flags: Flags) -> list[tuple[int, int]]:
    """Return first and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return [(int(start), int(end) - 1) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def jitter_of(track: HandTrack, start: float, end: float) -> float:
    """Return the motion above the band of a hand, as a fraction of all motion, between two times in seconds.

    A hand has less than 0.1, also with noise of several pixels; a random walk 0.3, frames in random order about 1.
    """
    axes = 2 if track.frame == "image" else 3
    inside = (track.times >= start) & (track.times <= end)
    times, points = track.times[inside], track.pinch[inside, :axes]
    if len(times) < 5 or not np.isfinite(points).any():
        return 0.0
    filled = fill_gaps(times, points)
    rest = filled - low_pass(times, filled, HAND_BAND)
    count = max(round((times[-1] - times[0]) / WINDOW), 1)
    windows = np.array_split(np.arange(len(times)), count)
    spread = sum(float(((filled[part] - filled[part].mean(axis=0)) ** 2).sum()) for part in windows)
    return float(np.sqrt((rest**2).sum() / spread)) if spread > 0 else 0.0
