"""The tensors of a TensorFlow V2 checkpoint, read without TensorFlow.

`PREFIX.index` is a sorted table in LevelDB's format (uncompressed): its keys are the tensors'
names, its values protocol buffers that say type, shape, and where in `PREFIX.data-00000-of-00001`
the numbers lie. Nothing in either file is executed.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import UserError

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
DATA = ".data-00000-of-00001"


def read_checkpoint(prefix: str | Path) -> dict[str, np.ndarray]:
    """The tensors by name of the checkpoint `prefix` (the path before `.index`).

    Raises UserError when a file is missing or damaged, or holds what this reader does not know
    (compression, several data files, other types than floats and integers).
    """
    index, data = Path(f"{prefix}.index"), Path(f"{prefix}{DATA}")
    try:
        table, numbers = index.read_bytes(), data.read_bytes()
        return {name.decode(): _tensor(value, numbers) for name, value in _entries(table) if name}
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} does not exist; fetch the checkpoint again.") from None
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise UserError(
            f"{index} and {data.name} are not a whole TensorFlow checkpoint that can be read here"
            f" ({error}); fetch them again."
        ) from None


def _tensor(entry: bytes, numbers: bytes) -> np.ndarray:
    """The tensor that an entry (BundleEntryProto) describes."""
    fields = _integers(entry)
    if fields.get(3, 0) != 0:
        raise ValueError("several data files")
    dtype = np.dtype(DTYPES[fields.get(1, 0)])
    dimensions = [
        _integers(dimension).get(1, 0)
        for shape in _messages(entry, 2)
        for dimension in _messages(shape, 2)
    ]
    start, size = fields.get(4, 0), fields.get(5, 0)
    if start + size > len(numbers) or size != dtype.itemsize * int(np.prod(dimensions)):
        raise ValueError("numbers missing")
    return np.frombuffer(numbers[start : start + size], dtype).reshape(dimensions).copy()


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (key, value) pairs of a table: its index block names the data blocks."""
    footer = table[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("no table")
    place = 0
    for _ in range(2):  # the handle of the meta index, of no use here
        _, place = _varint(footer, place)
    offset, place = _varint(footer, place)
    size, _ = _varint(footer, place)
    for _, handle in _block(table, offset, size):
        start, place = _varint(handle, 0)
        yield from _block(table, start, _varint(handle, place)[0])


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The (key, value) pairs of a block; a key shares a prefix with the one before."""
    if offset + size >= len(table) or table[offset + size] != 0:
        raise ValueError("a block is missing or compressed")
    block = table[offset : offset + size]
    restarts = struct.unpack("<I", block[-4:])[0]
    end, place, key = len(block) - 4 * (restarts + 1), 0, b""
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + fresh]
        place += fresh
        yield key, block[place : place + length]
        place += length


def _integers(buffer: bytes) -> dict[int, int]:
    """The integers of a protocol buffer by field number."""
    return {field: value for field, value in _message(buffer) if isinstance(value, int)}


def _messages(buffer: bytes, field: int) -> list[bytes]:
    """The messages in a field of a protocol buffer."""
    return [
        value for number, value in _message(buffer) if number == field and isinstance(value, bytes)
    ]


def _message(buffer: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (field number, value) pairs of a protocol buffer."""
    place = 0
    while place < len(buffer):
        tag, place = _varint(buffer, place)
        match tag & 7:
            case 0:
                value, place = _varint(buffer, place)
            case 2:
                length, place = _varint(buffer, place)
                value, place = buffer[place : place + length], place + length
            case 5:
                value, place = struct.unpack_from("<I", buffer, place)[0], place + 4
            case _:
                raise ValueError("an unknown field")
        yield tag >> 3, value


def _varint(buffer: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
