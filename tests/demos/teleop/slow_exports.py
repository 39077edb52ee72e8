"""``python -m demos`` with exports that take longer than the server waits for them at its end."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import patch

import minari

from demos.__main__ import app
from demos.runtime.console import console
from demos.teleop.export import export_file


def slowly(dataset: minari.MinariDataset, name: str, folder: Path) -> tuple[Path, list[str]]:
    """Write an export after 3 seconds."""
    console.print("exporting")
    time.sleep(3.0)
    return export_file(dataset, name, folder)


if __name__ == "__main__":
    with patch("demos.teleop.session.export_file", slowly):
        app()
