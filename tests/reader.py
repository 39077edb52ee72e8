"""Run what the documents and the examples show, as a reader would: one step after the other, in a folder."""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demos.runtime.engines import Job, LocalEngine

Step = tuple[str, Any]
"""Language and content: "python" and code, "script" and a path, "sh" and the arguments of ``python -m``.

A "server" has the arguments of ``python``: it runs beside the later steps, which begin when it prints its address.
"""


def read(steps: Sequence[Step], folder: Path) -> str:
    """Run steps in a process of their own, which has the libraries imported.

    Args:
        steps: What to run.
        folder: Where to run it; datasets are in it, too.

    Returns:
        What was printed.

    Raises:
        RuntimeError: A step failed.
    """
    said = folder / "said.txt"
    said.write_text("")
    ((_, printed),) = LocalEngine(1).run([Job("reader", _read, (tuple(steps), folder, said))])
    return str(printed)


def _read(steps: Sequence[Step], folder: Path, said: Path) -> str:
    os.chdir(folder)
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "datasets")
    sys.path.insert(0, str(folder))
    with contextlib.ExitStack() as servers:
        for language, content in steps:
            with said.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                try:
                    if language == "server":
                        servers.callback(_start(content).kill)
                    else:
                        _run(language, content)
                except BaseException as error:
                    file.flush()
                    raise RuntimeError(f"{said.read_text()}\n{content}\nraised {error!r}") from error
    return said.read_text()


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    started = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    if "ws://" not in started.stdout.readline():
        started.kill()
        raise RuntimeError("the server printed no address")
    return started


def _run(language: str, content: Any) -> None:
    if language == "python":
        exec(compile(content, "<block>", "exec"), {"__name__": "__main__"})  # noqa: S102  (what a reader does)
        return
    if language == "script":
        runpy.run_path(content, run_name="__main__")
        return
    sys.argv = list(content)
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
