"""Errors of opening a file that do not mean damage, such as locks, permissions and too many open files."""

from __future__ import annotations

import errno
from pathlib import Path

LOCKED = "unable to lock file"
"""Part of HDF5's message about a lock that it could not get."""
MARKED = "already open for"
"""Part of HDF5's message about a file that another program has open, or had open when it was killed."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Error numbers of file systems without locks."""
ACCESS_ERRORS = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)
"""Error numbers that come from permissions, limits of the process or the network, whatever is in the file."""


def access_error(error: BaseException, path: Path) -> OSError | None:
    """Return an explanation of an error that does not come from the content of a file.

    Args:
        error: Error that opening or reading the file raised.
        path: The file, or the folder that it is in.

    Returns:
        The error to raise instead, with advice; None if the file itself may be damaged.
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
            f"{path} is locked by another program: close it there and try again. If nothing has it open, its file "
            "system has no working locks: set the environment variable HDF5_USE_FILE_LOCKING=FALSE"
        )
    if MARKED in text:
        return BlockingIOError(
            f"{path} is marked as open for writing: close it where it is open and try again. If what wrote it was "
            "killed, remove the mark with h5clear -s of the HDF5 tools"
        )
    if error.errno in ACCESS_ERRORS:
        return OSError(
            f"{path} cannot be opened ({error.strerror or error}): check permissions and limits of the process"
        )
    return None
