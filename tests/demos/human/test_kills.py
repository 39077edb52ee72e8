"""A killed ``adapt`` goes on where it was, and comes out the same."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import demos
from benchmarks.recordings.synthetic import carry_box, motion_capture
from demos.human.track_files import save_track


@pytest.mark.slow  # collects 90 episodes, in five processes
def test_a_killed_adaptation_goes_on_and_comes_out_the_same(tmp_path: Path) -> None:
    hand = save_track(motion_capture(carry_box(np.random.default_rng(5))), tmp_path / "hand.npz")
    command = [sys.executable, "-m", "demos", "human", "adapt", str(hand), "LamReach-v0", "--id", "made-v0"]
    command += ["--episodes", "30", "--root"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for wait in (0.0, 0.3, 0.6):
        with subprocess.Popen(
            [*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 200
            while not list(killed.glob(".partial/*/*")) and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(wait)
            process.kill()
        # Nothing half is listed as a dataset.
        assert [name for name, _ in demos.installed(killed)] in ([], ["made-v0"])
    for root in (killed, whole):
        subprocess.run([*command, str(root)], check=True, capture_output=True, timeout=280)
    one, two = (demos.load("made-v0", root=root) for root in (killed, whole))
    assert one.total_episodes == 30
    assert demos.checksum(one) == demos.checksum(two)
    assert not list((killed / ".partial").glob("*/"))
