"""Errors of files that cannot be opened here and now, which is no sign of damage: locks, permissions, open files."""

from __future__ import annotations

import errno
from pathlib import Path

LOCKED = "unable to lock file"
"""What HDF5 says of a lock that it did not get."""
MARKED = "already open for"
"""What HDF5 says of a file that another program has open, or had open when it was killed."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a lock in file systems that have none."""
BESIDE_THE_FILE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)
"""Errors that come from permissions, limits of the process or the network, whatever is in the file."""


def access_error(error: BaseException, path: Path) -> OSError | None:
    """Return the error to raise in place of one that says nothing about what is in a file.

    Args:
        error: What opening or reading the file raised.
        path: The file, or the folder that it is in.

    Returns:
        An error that says what to do; None where the file itself may be damaged.
    """
    if not isinstance(error, OSError):
        return None
    text = str(error)
    if LOCKED in text and error.errno in NO_LOCKS:
        return OSError(
            f"{path} cannot be locked: its file system has no file locks. If nothing writes to it, set the "
            "environment variable HDF5_USE_FILE_LOCKING=FALSE, or copy it to another disk"
        )
    if LOCKED in text:
        return BlockingIOError(
            f"{path} is open elsewhere, and locked: close it there and try again. If nothing has it open, its file "
            "system has no working locks: set the environment variable HDF5_USE_FILE_LOCKING=FALSE"
        )
    if MARKED in text:
        return BlockingIOError(
            f"{path} is marked as open for writing: close it where it is open and try again. If what wrote it was "
            "killed, remove the mark with h5clear -s of the HDF5 tools"
        )
    if error.errno in BESIDE_THE_FILE:
        return OSError(f"{path} cannot be opened ({error.strerror or error}): this says nothing about its content")
    return None
