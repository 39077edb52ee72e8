"""Writer of tables to a sequence of Parquet files of limited size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demos.formats.arrow import import_pyarrow
from demos.formats.lerobot.videos import chunk_file

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter


class ParquetFiles:
    """Sequence of Parquet files of limited size.

    Args:
        path: Folder of the dataset.
        pattern: Pattern of the file names in it.
        max_mb: Size after which the next file begins, MB; None for a single file.
        buffer_size: Number of tables that are written at once.
    """

    def __init__(self, path: Path, pattern: str, max_mb: int | None, buffer_size: int = 1) -> None:
        self._path, self._pattern, self._max_mb, self._buffer_size = path, pattern, max_mb, buffer_size
        self._number = 0
        self._writer: ParquetWriter | None = None
        self._buffer: list[pa.Table] = []

    def position(self) -> tuple[int, int]:
        """Return the indices of the folder and of the file of the next rows."""
        file = self._file()
        if self._max_mb is not None and file.exists() and file.stat().st_size >= self._max_mb * 2**20:
            self.close()
            self._number += 1
        return chunk_file(self._number)

    def add(self, table: pa.Table) -> tuple[int, int]:
        """Append rows; return the indices of their folder and file."""
        position = self.position()
        self._buffer.append(table)
        if len(self._buffer) >= self._buffer_size:
            self._flush()
        return position

    def close(self) -> None:
        """Complete the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._buffer:
            return
        if self._writer is None:
            self._file().parent.mkdir(parents=True, exist_ok=True)
            parquet, schema = import_pyarrow("pyarrow.parquet"), self._buffer[0].schema
            self._writer = parquet.ParquetWriter(self._file(), schema, compression="snappy", use_dictionary=True)
        tables = [table.cast(self._writer.schema) for table in self._buffer]
        self._writer.write_table(import_pyarrow().concat_tables(tables))
        self._buffer = []

    def _file(self) -> Path:
        chunk, file = chunk_file(self._number)
        return self._path / self._pattern.format(chunk_index=chunk, file_index=file)
