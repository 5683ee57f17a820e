"""What can happen to a file: cut, flipped, emptied, replaced by something else."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]


class Evil:
    """Touches `proof` when it is unpickled."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(0, max(1, len(data)))]


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, 8 * len(data), rng.choice([1, 1, 2, 8])):
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def flip_at_the_head(data: bytes, rng: np.random.Generator) -> bytes:
    """Most of what leads a reader astray stands in the first bytes."""
    changed = bytearray(data)
    for place in rng.integers(0, 8 * min(len(data), 256), 3):
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def lose_a_stretch(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(0, len(data)))
    return data[:start] + data[start + int(rng.integers(1, 200)) :]


def repeat_a_stretch(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 200))
    return data[:start] + data[start : start + length] * int(rng.integers(2, 20)) + data[start:]


def zeros(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 4096))
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def noise(data: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.integers(1, 2000)))


def empty(data: bytes, rng: np.random.Generator) -> bytes:
    return b""


def numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """Another digit, sign or word in the place of a number, where the file is text."""
    digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
    if not digits:
        return flip(data, rng)
    place = int(rng.choice(digits))
    words = (b"-", b"1e999", b"nan", b"99999999999999999999", b"[", b'"', b"null", b"", b"0", b"{}")
    return data[:place] + bytes(rng.choice(np.array(words, object))) + data[place + 1 :]


def text(data: bytes, rng: np.random.Generator) -> bytes:
    choice = (b"<html><body>404</body></html>", b"hello\n", b"\xff\xfe\x00", b"[" * 100_000)
    return choice[int(rng.integers(len(choice)))]


def other_kind(others: list[bytes], proof: Path) -> Mutation:
    """The content of another kind of file, an evil pickle among them."""
    evil = io.BytesIO()
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(Evil(proof)))
        archive.writestr("../../outside", "x")
    kinds = [*others, pickle.dumps(Evil(proof)), pickle.dumps([1, 2]), evil.getvalue()]
    return lambda data, rng: kinds[int(rng.integers(len(kinds)))]


COMMON: tuple[Mutation, ...] = (
    *(cut, flip, flip, flip_at_the_head, flip_at_the_head),
    *(lose_a_stretch, repeat_a_stretch, zeros, noise, empty, numbers, numbers, text),
)
