"""Workers: they do not outlive the process that they work for."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_whose_parent_is_gone_before_it_begins_ends() -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    code = (
        f"import time; from demos.engines import _prepare_worker; _prepare_worker({int(gone.stdout)}); time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 1
