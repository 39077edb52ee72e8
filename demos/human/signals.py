"""Signals with gaps: filling, smoothing, noise and smoothness."""

from __future__ import annotations

import numpy as np

from demos.human.track import Flags, Floats, HandTrack

BLOCK = 0.1
"""Time over which a velocity is taken, seconds: hands accelerate for longer (Flash and Hogan 1985)."""


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
    from scipy.ndimage import gaussian_filter1d, median_filter

    frames = max(width / float(np.median(np.diff(times))), 1e-3)
    # The median over about two standard deviations removes single outliers.
    size = 2 * int(frames) + 1
    medians = median_filter(values, size=(size, *[1] * (values.ndim - 1)), mode="nearest")
    return np.asarray(gaussian_filter1d(medians, frames, axis=0, mode="nearest"))


def low_pass(times: Floats, values: Floats, frequency: float) -> Floats:
    """Return values without gaps after a Gaussian filter with a cutoff (-3 dB) in Hz."""
    from scipy.ndimage import gaussian_filter1d

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


def smoothness_of(track: HandTrack, start: float, end: float) -> float:
    """Return the correlation of successive velocities of the grip, each over 0.1 s, between two times in seconds.

    A hand has more than 0.6, also with noise of several pixels; a random walk has 0.25 on average and rarely 0.5,
    frames in random order less than 0.
    """
    axes = 2 if track.frame == "image" else 3
    inside = (track.times >= start) & (track.times <= end)
    times, points = track.times[inside], track.pinch[inside, :axes]
    if len(times) < 5 or not np.isfinite(points).any():
        return 0.0
    filled = fill_gaps(times, points)
    # Means over each tenth of a second, from which noise is gone but not the correlation of its changes.
    blocks = ((times - times[0]) / BLOCK).astype(int)
    means = np.stack([filled[blocks == block].mean(axis=0) for block in np.unique(blocks)])
    velocities = np.diff(means, axis=0)
    before, after = velocities[:-1], velocities[1:]
    power = float((before**2).sum() * (after**2).sum())
    return float((before * after).sum() / np.sqrt(power)) if power > 0 else 0.0
