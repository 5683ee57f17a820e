"""Rows of a store at the speed of memory: copied out of the mapped file, each held to its checksum
where the file is too large to be verified whole.

HDF5's own selection of scattered rows takes some 100 microseconds a row. The fields of a store are
chunked and not compressed, so that each row lies in one piece at a place that the index of chunks
tells.
"""

import mmap
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.runtime.errors import DamagedFile

CHECKSUMS = "checksums of rows"
_PIECE = 2**24  # bytes of a field that are summed at once


def write_checksums(file: h5py.File, n_rows: int) -> None:
    """Adds the CRC-32 of every row of every field that has one."""
    fields = {str(name): field for name, field in file.items() if MappedRows.fit(field, n_rows)}
    for name, field in fields.items():
        sums = np.empty(n_rows, np.uint32)
        at_once = max(1, _PIECE // _row_bytes(field))
        for first in range(0, n_rows, at_once):
            block = field[first : first + at_once]
            sums[first : first + at_once] = [zlib.crc32(row) for row in _bytes_of(block)]
        file.create_dataset(f"{CHECKSUMS}/{name}", data=sums, chunks=True, fletcher32=True)


def read_checksums(file: h5py.File, name: str) -> np.ndarray | None:
    """The CRC-32 of every row of a field; None where the file has none."""
    found = file.get(f"{CHECKSUMS}/{name}")
    return found[:] if isinstance(found, h5py.Dataset) else None


class MappedRows:
    """`read(rows)` gives the rows of one field."""

    def __init__(self, path: Path, field: h5py.Dataset, checksums: np.ndarray | None):
        self.path, self.checksums, self.name = path, checksums, str(field.name).lstrip("/")
        self.shape, self.dtype, self.row_bytes = field.shape, field.dtype, _row_bytes(field)
        assert field.chunks is not None, "`fit` saw to it"
        self.per_chunk = field.chunks[0]
        self.starts = _chunk_starts(field, self.per_chunk)
        with open(path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        content = np.frombuffer(mapped, np.uint8)
        last = self.starts.max(initial=0) + self.per_chunk * self.row_bytes
        if len(self.starts) * self.per_chunk < self.shape[0] or last > len(content):
            raise DamagedFile(path, f"field {self.name!r} is not where its index says")
        places = len(content) - self.row_bytes + 1  # one view of `row_bytes` bytes at each place
        self.windows = np.lib.stride_tricks.as_strided(
            content, (places, self.row_bytes), (1, 1), writeable=False
        )

    @staticmethod
    def fit(field: Any, n_rows: int) -> bool:
        """Whether a field has rows of one piece each: chunks of whole rows, none of them
        compressed or missing.
        """
        return (
            isinstance(field, h5py.Dataset)
            and field.ndim > 0
            and 0 < n_rows == field.shape[0]
            and field.dtype.kind in "fiub"
            and field.chunks is not None
            and field.chunks[1:] == field.shape[1:]
            and field.compression is None
            and not field.shuffle
            and _row_bytes(field) > 0
            and field.id.get_num_chunks() == -(-n_rows // field.chunks[0])
        )

    def read(self, rows: int | slice | np.ndarray | list) -> np.ndarray:
        """The values at `rows`, as numpy indexes a first axis; raises DamagedFile for a row that
        does not match its checksum.
        """
        if isinstance(rows, slice):
            return self._read(np.arange(*rows.indices(self.shape[0])))
        wanted = np.asarray(rows, dtype=np.int64)
        if ((wanted < -self.shape[0]) | (wanted >= self.shape[0])).any():
            raise IndexError(f"rows {rows} of {self.name!r}, which has {self.shape[0]}")
        values = self._read(wanted.ravel() % self.shape[0])
        return values.reshape(*wanted.shape, *self.shape[1:]) if wanted.shape else values[0]

    def _read(self, rows: np.ndarray) -> np.ndarray:
        places = self.starts[rows // self.per_chunk] + rows % self.per_chunk * self.row_bytes
        found = self.windows[places]
        if self.checksums is not None:
            for row, content in zip(rows, found):
                if zlib.crc32(content) != self.checksums[row]:
                    raise DamagedFile(
                        self.path, f"row {row} of field {self.name!r} does not match its checksums"
                    )
        return found.view(self.dtype).reshape(len(rows), *self.shape[1:])


def _chunk_starts(field: h5py.Dataset, per_chunk: int) -> np.ndarray:
    """Where each chunk of so many rows begins in the file."""
    starts = np.zeros(field.id.get_num_chunks(), np.int64)

    def note(chunk: "h5py.h5d.StoreInfo") -> None:
        starts[chunk.chunk_offset[0] // per_chunk] = chunk.byte_offset

    field.id.chunk_iter(note)
    return starts


def _row_bytes(field: h5py.Dataset) -> int:
    return int(np.prod(field.shape[1:], dtype=np.int64)) * field.dtype.itemsize


def _bytes_of(block: np.ndarray) -> np.ndarray:
    """[n, row bytes] of contiguous rows."""
    return np.ascontiguousarray(block).reshape(len(block), -1).view(np.uint8)
