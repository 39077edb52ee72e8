"""What is imported when: commands start at once, and the core needs nothing of the layers above."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.speed import measuring

LATE = ("torch", "scipy.stats", "matplotlib", "rliable", "stable_baselines3", "imitation", "pyarrow", "av")
"""Takes long to import, and only some commands need it."""


def test_commands_start_without_what_only_some_of_them_need() -> None:
    # All in one process: what none of them imports, neither does each alone.
    mains = "demos.__main__, agents.__main__, benchmarks.__main__"
    code = f"import sys, {mains}; print(*(name for name in {LATE} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


AS_ON_WINDOWS = """
import importlib, os, pkgutil, signal, sys

def ours():
    for package in ("lam_envs", "demos", "agents", "benchmarks"):
        yield package
        path = importlib.import_module(package).__path__
        yield from (found.name for found in pkgutil.walk_packages(path, package + "."))

# Once as usual: what other projects import is their own affair.
names = list(ours())
for name in names:
    importlib.import_module(name)
for name in names:
    del sys.modules[name]
for name in "curses fcntl grp pty pwd readline resource syslog termios tty".split():
    sys.modules[name] = None
for name in "fork getloadavg getpgid getuid killpg mkfifo sched_getaffinity setpgid setsid sysconf uname".split():
    delattr(os, name)
for name in "SIGALRM SIGHUP SIGKILL SIGUSR1 alarm pthread_sigmask setitimer".split():
    delattr(signal, name)
for name in names:
    importlib.import_module(name)

import time
from benchmarks.speed.measuring import run_in_new_process
from demos.runtime.engines.local import LocalEngine

LocalEngine()
try:
    run_in_new_process(time.sleep, 0)
except RuntimeError as error:
    assert "needs Python's module 'resource'" in str(error)
else:
    raise AssertionError("it measured")
"""


@pytest.mark.slow
def test_every_module_is_imported_where_posix_is_missing() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", AS_ON_WINDOWS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_memory_is_in_megabytes_on_linux_and_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    kilobytes = measuring._largest_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert kilobytes == pytest.approx(1024 * measuring._largest_memory(), rel=0.1)
    assert kilobytes > 20
