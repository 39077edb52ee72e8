"""Repairs copy undamaged episodes; a crash of the reading process is a finding."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

import demos
from demos.check import repair
from demos.check.isolation import ProcessError, messages_of
from demos.datasets.checksum import episode_digest
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import DIGEST

from .damage import EPISODES, METADATA, check_here, opened


@pytest.mark.parametrize("name", ["reach", pytest.param("jpeg", marks=pytest.mark.slow)])
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
    with pytest.raises(ValueError, match=r"undamaged episodes: 0 of 4.*Collect it again"):
        repair(reach, "mended-v0", tmp_path, report=check_here(reach))
    (reach / METADATA).unlink()
    with pytest.raises(ValueError, match=r"metadata\.json: is missing"):
        repair(reach, "mended-v0", tmp_path, report=check_here(reach))
    shutil.copytree(reach, tmp_path / "mine-v0" / "data")
    with pytest.raises(ValueError, match="cannot replace its own source"):
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
        pytest.param("hang", "hung: no message for 2 s", marks=pytest.mark.slow),
        pytest.param("fail", r"status 1 \(ValueError: fail", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_dies_says_how(
    how: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying.py").write_text(textwrap.dedent(DYING))
    monkeypatch.syspath_prepend(tmp_path)
    messages = messages_of("dying:dies", {"how": how}, timeout=2)
    assert next(messages) == {"reading": 1}
    with pytest.raises(ProcessError, match=message):
        next(messages)


@pytest.mark.slow
def test_a_script_without_a_guard_can_check(reach: Path, tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(f"from demos.check import check\nprint(check({str(reach)!r}, replay=0).is_undamaged)\n")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert done.stdout == "True\n", done.stderr
