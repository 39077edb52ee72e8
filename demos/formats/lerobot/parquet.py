"""Tables that are written row by row into Parquet files, one after the other, each as large as it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demos.formats.arrow import pyarrow
from demos.formats.lerobot.videos import chunk_file


class ParquetFiles:
    """Parquet files of one kind, each as large as it may be.

    Args:
        path: Of the whole folder.
        pattern: Of the files in it.
        largest_mb: Size after which another file begins; None if there is to be one.
        together: How many tables are written at once.
    """

    def __init__(self, path: Path, pattern: str, largest_mb: int | None, together: int = 1) -> None:
        self._path, self._pattern, self._largest, self._together = path, pattern, largest_mb, together
        self._number = 0
        self._writer: Any = None
        self._waiting: list[Any] = []

    def place(self) -> tuple[int, int]:
        """Return the numbers of the folder and of the file that the next rows go to."""
        file = self._file()
        if self._largest is not None and file.exists() and file.stat().st_size >= self._largest * 2**20:
            self.close()
            self._number += 1
        return chunk_file(self._number)

    def add(self, table: Any) -> tuple[int, int]:
        """Append rows; returns where."""
        place = self.place()
        self._waiting.append(table)
        if len(self._waiting) >= self._together:
            self._flush()
        return place

    def close(self) -> None:
        """Complete the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._file().parent.mkdir(parents=True, exist_ok=True)
            parquet, schema = pyarrow("pyarrow.parquet"), self._waiting[0].schema
            self._writer = parquet.ParquetWriter(self._file(), schema, compression="snappy", use_dictionary=True)
        tables = [table.cast(self._writer.schema) for table in self._waiting]
        self._writer.write_table(pyarrow().concat_tables(tables))
        self._waiting = []

    def _file(self) -> Path:
        chunk, file = chunk_file(self._number)
        return self._path / self._pattern.format(chunk_index=chunk, file_index=file)
