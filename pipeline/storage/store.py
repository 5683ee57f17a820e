"""HDF5 stores: one data set per field, row order = manifest order, provenance beside the numbers,
atomic, read-only.

A store is written to a temporary name, flushed, fsynced and renamed, so a final name never holds a
part. Readers open it lazily in each process (an HDF5 handle must not cross a fork) and refuse what
is incomplete or was made by something else.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

SCHEMA = 1
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

    def write(self, name: str, rows: Rows, values: np.ndarray) -> None:
        """Writes `values` at the given rows of a field; raises UserError for NaN or infinite
        numbers.
        """
        values = np.asarray(values)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(
                f"Field {name!r} of {self._file.filename}: rows {rows} hold NaN or infinite"
                " numbers."
            )
        _dataset(self._file, name)[rows] = values


@contextmanager
def write_store(path: Path, kind: str, ids: list[str], provenance: dict) -> Iterator[StoreWriter]:
    """A writer whose content appears at `path`, marked complete, when the block succeeds."""
    with (
        atomic(path) as temporary,
        h5py.File(temporary, "w", libver="earliest", track_order=False) as file,
    ):
        file.attrs["schema"] = SCHEMA
        file.attrs["kind"] = kind
        file.attrs["provenance"] = json.dumps(provenance, sort_keys=True)
        file.create_dataset("ids", data=np.array(ids, dtype=object), dtype=h5py.string_dtype())
        yield StoreWriter(file, len(ids))
        file.attrs["rows"] = rows_checksum(ids)
        file.attrs["complete"] = True


def rows_checksum(ids: list[str]) -> str:
    """A digest of the ids in order: two stores with the same one have the same rows."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


class Store:
    """A finished store, read-only: `store["tokens"][rows]` is a numpy array; `ids` and `provenance`
    describe it.
    """

    def __init__(self, path: Path, kind: str):
        self.path, self.kind = Path(path), kind
        self._opened: tuple[int, h5py.File] | None = None
        file = self._file
        if file.attrs.get("schema") != SCHEMA or not file.attrs.get("complete", False):
            raise UserError(
                f"{path} is incomplete or of another version; run the stage that makes it again."
            )
        if file.attrs["kind"] != kind:
            raise UserError(f"{path} holds {file.attrs['kind']}, but {kind} was expected.")
        self.provenance: dict = json.loads(str(file.attrs["provenance"]))
        self.ids: list[str] = [text.decode() for text in _dataset(file, "ids")[:]]
        if file.attrs["rows"] != rows_checksum(self.ids):
            raise UserError(
                f"{path}: the ids do not match their checksum; the file is damaged, restore it with"
                " `dvc checkout`."
            )

    @property
    def _file(self) -> h5py.File:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), h5py.File(self.path, "r"))
            except FileNotFoundError:
                raise UserError(
                    f"{self.path} does not exist; run the stage that makes it (`dvc repro`) first."
                ) from None
            except OSError:
                raise UserError(
                    f"{self.path} is damaged (not a readable HDF5 file); run `dvc checkout` to"
                    " restore it."
                ) from None
        return self._opened[1]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": None}

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def __len__(self) -> int:
        return len(self.ids)

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
        numbers = {name: row for row, name in enumerate(self.ids)}
        if missing := [name for name in ids if name not in numbers]:
            raise UserError(
                f"{self.path} lacks {len(missing)} of the rows asked for, the first is"
                f" {missing[0]!r}."
            )
        return np.array([numbers[name] for name in ids], dtype=np.int64)

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
            if isinstance(rows, (list, np.ndarray)):
                unique, inverse = np.unique(np.asarray(rows), return_inverse=True)
                return values[unique][inverse]
            return values[rows]
        except OSError:
            raise UserError(
                f"{self._store.path}: field {self._name!r} is damaged; restore it with `dvc"
                " checkout`."
            ) from None


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The data set of a field."""
    found = file[name]
    assert isinstance(found, h5py.Dataset), f"{name} is no field"
    return found
