"""HDF5 stores: one data set per field, row order = manifest order, provenance beside the numbers,
atomic, read-only.

A store is written to a temporary name, flushed, fsynced and renamed, so a final name never holds a
part. Readers open it lazily in each process (an HDF5 handle must not cross a fork) and refuse what
is incomplete or was made by something else. A seal after the last byte (`pipeline.storage.seal`)
covers the whole file: small stores are held to it whenever they are opened, before HDF5 follows a
pointer in them; large ones by `cdcd verify`, and row by row as they are read, for which they hold
a checksum of every row (`pipeline.storage.rows`). Rows are copied out of the mapped file.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic, sha256_file
from pipeline.storage.rows import CHECKSUMS, MappedRows, read_checksums, write_checksums
from pipeline.storage.seal import is_sealed, seal, stated_digest, verify_seal

UNSEALED_SCHEMA = 1  # what was written before there were seals, and is still read
SCHEMA = 2
CHECKED_SCHEMA = 3  # of large stores: the same with a checksum of every row
VERIFIED_BYTES = 64 * 2**20  # of a store that is verified as a whole when it is opened
_ATTRIBUTES = ("schema", "kind", "provenance", "rows", "description", "complete")
_UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError)
Rows = int | slice | np.ndarray | list | tuple


class StoreWriter:
    """An open store: declare fields, then write rows in any order."""

    def __init__(self, file: h5py.File, n_rows: int):
        self._file, self._n_rows = file, n_rows

    def field(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        """Declares a field of `shape` per row, chunked so that a chunk holds whole rows of about 64
        KiB.
        """
        row_bytes = max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
        rows = max(1, min(self._n_rows, 65536 // row_bytes))
        self._file.create_dataset(
            name, (self._n_rows, *shape), dtype, chunks=(rows, *shape), fletcher32=True
        )

    def table(self, name: str, values: np.ndarray) -> None:
        """Writes `values`, which belong to all rows alike; raises UserError for NaN or infinite
        numbers.
        """
        self._check_finite(name, "of all", values)
        self._file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)

    def write(self, name: str, rows: Rows, values: np.ndarray) -> None:
        """Writes `values` at the given rows of a field; raises UserError for NaN or infinite
        numbers.
        """
        values = np.asarray(values)
        self._check_finite(name, rows, values)
        _dataset(self._file, name)[rows] = values

    def _check_finite(self, name: str, rows: object, values: np.ndarray) -> None:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(
                f"Field {name!r} of {self._file.filename}: rows {rows} hold NaN or infinite"
                " numbers."
            )


@contextmanager
def write_store(path: Path, kind: str, ids: list[str], provenance: dict) -> Iterator[StoreWriter]:
    """A writer whose content appears at `path`, marked complete and sealed, when the block
    succeeds.
    """
    with atomic(path) as temporary:
        with h5py.File(temporary, "w", libver="earliest", track_order=False) as file:
            file.attrs["schema"] = SCHEMA
            file.attrs["kind"] = kind
            file.attrs["provenance"] = json.dumps(provenance, sort_keys=True)
            file.create_dataset("ids", data=np.array(ids, dtype=object), dtype=h5py.string_dtype())
            yield StoreWriter(file, len(ids))
            file.attrs["rows"] = rows_checksum(ids)
            file.flush()
            if temporary.stat().st_size > VERIFIED_BYTES:
                file.attrs["schema"] = CHECKED_SCHEMA
                write_checksums(file, len(ids))
                file.flush()
            file.attrs["description"] = _description(file)
            file.attrs["complete"] = True
        seal(temporary)


def rows_checksum(ids: list[str]) -> str:
    """A digest of the ids in order: two stores with the same one have the same rows."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def _description(file: h5py.File) -> str:
    """A digest of all that a store says of its numbers: kind, provenance, and each field's type,
    shape and chunks.
    """
    fields = {
        name: [str(field.dtype), list(field.shape), field.id.get_num_chunks()]
        for name, field in file.items()
        if name not in ("ids", CHECKSUMS)
    }
    text = json.dumps([file.attrs["kind"], file.attrs["provenance"], fields], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """A finished store, read-only: `store["tokens"][rows]` is a numpy array; `ids` and `provenance`
    describe it.
    """

    def __init__(self, path: Path, kind: str):
        self.path, self.kind = Path(path), kind
        self._opened: tuple[int, h5py.File] | None = None
        self._mapped: dict[str, MappedRows | None] = {}
        sealed, file = self._sealed(), self._file
        try:
            about = {name: file.attrs.get(name) for name in _ATTRIBUTES}
            self.provenance: dict = json.loads(about["provenance"] or "{}")
            self.ids: list[str] = (
                [text.decode() for text in _dataset(file, "ids")[:]] if "ids" in file else []
            )
            described = about["schema"] == UNSEALED_SCHEMA or (
                about["description"] == _description(file)
            )
        except (*_UNREADABLE, RecursionError):
            raise DamagedFile(path, "its description cannot be read") from None
        if about["schema"] not in (UNSEALED_SCHEMA, SCHEMA, CHECKED_SCHEMA) or (
            not about["complete"]
        ):
            raise UserError(
                f"{path} is incomplete or of another version; run the stage that makes it again."
            )
        if about["schema"] != UNSEALED_SCHEMA and not sealed:
            raise DamagedFile(path, "its seal is missing")
        if about["kind"] != kind:
            raise UserError(f"{path} holds {about['kind']}, but {kind} was expected.")
        if not described or about["rows"] != rows_checksum(self.ids):
            raise DamagedFile(path, "its ids or fields do not match their checksum")

    def _sealed(self) -> bool:
        """Whether the file bears a seal, verified here where the file is small."""
        self._verified = False
        try:
            if self.path.stat().st_size > VERIFIED_BYTES:
                return is_sealed(self.path)
            self._verified = verify_seal(self.path)
            return self._verified
        except OSError:
            return False  # `_file` tells why

    @property
    def digest(self) -> str:
        """The SHA-256 that the seal states: two stores with the same one hold the same."""
        return stated_digest(self.path) or sha256_file(self.path)

    @property
    def _file(self) -> h5py.File:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), h5py.File(self.path, "r"))
            except FileNotFoundError:
                raise UserError(
                    f"{self.path} does not exist; run the stage that makes it (`dvc repro`) first."
                ) from None
            except PermissionError:
                raise UserError(f"{self.path} cannot be read; you have no permission.") from None
            except _UNREADABLE:
                raise DamagedFile(self.path, "it is not a readable HDF5 file") from None
        return self._opened[1]

    def __getstate__(self) -> dict:
        kept = {name: value for name, value in vars(self).items() if name != "_row_numbers"}
        return {**kept, "_opened": None, "_mapped": {}}

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fields(self) -> list[str]:
        """The names of the fields, ids aside."""
        return sorted(str(name) for name in self._file if name not in ("ids", CHECKSUMS))

    def __getitem__(self, name: str) -> "Field":
        if name not in self._file:
            raise UserError(
                f"{self.path} has no field {name!r}; it holds {', '.join(sorted(self._file))}."
            )
        return Field(self, name)

    def rows_of(self, ids: list[str]) -> np.ndarray:
        """The row numbers of the given ids, in their order; raises UserError for an id that is not
        there.
        """
        numbers = self._row_numbers
        if missing := [name for name in ids if name not in numbers]:
            raise UserError(
                f"{self.path} lacks {len(missing)} of the rows asked for, the first is"
                f" {missing[0]!r}."
            )
        return np.array([numbers[name] for name in ids], dtype=np.int64)

    @cached_property
    def _row_numbers(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def mapped(self, name: str) -> MappedRows | None:
        """A field's rows in the mapped file; None where they are read by HDF5 alone, which checks
        them chunk by chunk: in tables, and in large files without checksums of rows.
        """
        if name not in self._mapped:
            field, checksums = _dataset(self._file, name), None
            if not self._verified:
                checksums = read_checksums(self._file, name)
            safe = self._verified or checksums is not None
            usable = safe and MappedRows.fit(field, len(self.ids))
            self._mapped[name] = MappedRows(self.path, field, checksums) if usable else None
        return self._mapped[name]

    def expect(self, **provenance: object) -> "Store":
        """This store; raises UserError when its provenance differs from what the reader relies
        on.
        """
        for key, value in provenance.items():
            if self.provenance.get(key) != value:
                raise UserError(
                    f"{self.path} was made with {key} = {self.provenance.get(key)!r}, not"
                    f" {value!r}; make it again."
                )
        return self


class Field:
    """One field of a store, read on demand."""

    def __init__(self, store: Store, name: str):
        self._store, self._name = store, name

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        return _dataset(self._store._file, self._name).shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> np.ndarray:
        """The values at `rows`, which may repeat and stand in any order."""
        values = _dataset(self._store._file, self._name)
        try:
            mapped = self._store.mapped(self._name)
            if mapped is not None and not isinstance(rows, tuple):
                return mapped.read(rows)
            if isinstance(rows, (list, np.ndarray)):
                unique, inverse = np.unique(np.asarray(rows), return_inverse=True)
                return values[unique][inverse]
            return values[rows]
        except OSError:
            raise DamagedFile(
                self._store.path, f"field {self._name!r} does not match its checksums"
            ) from None


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The data set of a field."""
    found = file[name]
    assert isinstance(found, h5py.Dataset), f"{name} is no field"
    return found
