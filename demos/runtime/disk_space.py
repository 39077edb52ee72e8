"""Check for disk space before HDF5 files are written: HDF5 may crash the process on a full disk."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

SPARE_BYTES = 2**24
"""Free space that is needed beyond the size of the data: for metadata, and for other programs meanwhile."""


def require_space(folder: Path, size: int, name: str) -> None:
    """Check that there is space for data before they are written.

    Args:
        folder: Existing folder on the disk.
        size: Size of the data, bytes.
        name: Description of the data for the error, such as the path of the file.

    Raises:
        OSError: There is not enough space.
    """
    needed, free = size + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"not enough space to save {name}: it needs {needed / 1e6:.1f} MB in {folder}, and {free / 1e6:.1f} MB "
            "are free; free some space, and try again",
        )
