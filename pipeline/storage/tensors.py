"""Files of tensors: published pickles read without running them, our own written as safetensors
that say what they are, with a digest that is verified whenever they are read.
"""

import hashlib
import json
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import IO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic

ABOUT = (  # the single metadata key: with several, safetensors would write them in random order
    "cdcd"
)
DIGEST = "content_sha256"  # beside what a file says of itself; files written before have none
HARMLESS_CLASSES = (
    "pytorch_lightning.callbacks.",
    "lightning.pytorch.callbacks.",
    "pytorch_lightning.utilities.parsing.",
)


def read_tensors(path: Path) -> dict:
    """The (nested) dictionary of tensors in a safetensors file or a pickled checkpoint, on the CPU.

    Everything in a checkpoint that is not a tensor is left out. Pickles are read with
    `weights_only=True`; the class names that Lightning leaves in its checkpoints become inert
    stand-ins. Raises UserError for anything else, HTML pages included.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a file of weights.")
    return _read_safetensors(path) if is_safetensors(path) else _only_tensors(_read_pickle(path))


def read_state_dict(path: Path, *entries: str) -> dict[str, Tensor]:
    """The flat state dict of a file: below the first of `entries` that it holds, or the file
    itself; `module.` stripped.
    """
    content = read_tensors(path)
    state = next(
        (content[entry] for entry in entries if isinstance(content.get(entry), dict)), content
    )
    state = {
        name.removeprefix("module."): value
        for name, value in state.items()
        if isinstance(value, Tensor)
    }
    if not state:
        raise UserError(
            f"{path} holds no state dict; expected tensors by name, at the top or under"
            f" {' / '.join(entries)}."
        )
    return state


def read_about(path: Path) -> dict | None:
    """What one of our safetensors files says about itself (class, constructor arguments,
    provenance); None for any other.
    """
    if not is_safetensors(path):
        return None
    with _opened(path) as file:
        about = _about(path, file)
    return about and {key: value for key, value in about.items() if key != DIGEST}


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a safetensors file by name; no number is read."""
    with _opened(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def write_tensors(path: Path, tensors: dict, about: dict) -> None:
    """Writes (nested) tensors and `about` (JSON values) as one safetensors file, atomically and
    always the same bytes.

    A digest of both stands beside `about`; `read_tensors` refuses a file that no longer matches it.
    """
    flat = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in _flattened(tensors)
    }
    about = about | {DIGEST: _digest(flat, about)}
    with atomic(path) as temporary:
        save_file(flat, temporary, metadata={ABOUT: json.dumps(about, sort_keys=True)})


def has_digest(path: Path) -> bool:
    """Whether a file of tensors is one of ours with a digest, so that reading it verifies it."""
    if not is_safetensors(path):
        return False
    with _opened(path) as file:
        return DIGEST in (_about(path, file) or {})


def _digest(flat: dict[str, Tensor], about: dict) -> str:
    """The hex SHA-256 of tensors by name, with their types and shapes, and of `about`."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(flat.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        content = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(content)  # pyright: ignore[reportArgumentType]  # numpy has the protocol
    return digest.hexdigest()


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: the length of a JSON header, then the header."""
    with open(path, "rb") as file:
        start = file.read(9)
    return (
        len(start) == 9
        and start[8:] == b"{"
        and int.from_bytes(start[:8], "little") < Path(path).stat().st_size
    )


def _opened(path: Path):
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise DamagedFile(path, str(error)) from None


def _about(path: Path, file: safe_open) -> dict | None:
    """The metadata of an open file of ours; None for any other."""
    text = (file.metadata() or {}).get(ABOUT)
    try:
        about = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedFile(path, "what it says of itself is not JSON") from None
    if about is not None and not isinstance(about, dict):
        raise DamagedFile(path, "what it says of itself is no mapping")
    return about


def _read_safetensors(path: Path) -> dict:
    with _opened(path) as file:
        try:
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise DamagedFile(path, str(error)) from None
        about = _about(path, file) or {}
    if DIGEST in about and about.pop(DIGEST) != _digest(flat, about):
        raise DamagedFile(path, "its tensors do not match their digest")
    content: dict = {}
    for name, tensor in flat.items():
        *folders, leaf = name.split("/")
        inner = content
        for folder in folders:
            inner = inner.setdefault(folder, {})
            if isinstance(inner, Tensor):
                raise UserError(f"{path} holds both a tensor and a group called {folder!r}.")
        inner[leaf] = tensor
    return content


def _read_pickle(path: Path) -> object:
    try:
        names = {name for name in _class_names(path) if name.startswith(HARMLESS_CLASSES)}
        stand_ins: list = [
            (type(name.rsplit(".")[-1], (_StandIn,), {}), name) for name in sorted(names)
        ]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        reason = next(
            (line for line in str(error).splitlines() if "GLOBAL" in line or "Unsupported" in line),
            "",
        )
        raise UserError(
            f"{path} is refused, as it is not a plain file of tensors. {reason.strip()}".strip()
        ) from None
    except Exception as error:  # torch, zipfile and pickletools answer broken bytes with any
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} is not a readable checkpoint ({reason}); is it cut short, or a web page?"
        ) from None


class _StandIn:
    """Takes the place of a class that a checkpoint names: it accepts any arguments and any state,
    and does nothing.
    """

    def __new__(cls, *_args, **_settings):
        return object.__new__(cls)

    def __init__(self, *_args, **_settings):
        pass

    def __setstate__(self, state):
        pass


def _class_names(path: Path) -> set[str]:
    """The names of the classes and functions that a checkpoint's pickles mention, found without
    executing them.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return {found for name in pickles for found in _names_in(archive.open(name))}
    with (
        open(path, "rb") as file
    ):  # the format before torch 1.6: four pickles (magic, protocol, system, content), then data
        return {found for _ in range(4) for found in _names_in(file)}


def _names_in(file: IO[bytes]) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL" and argument:
            yield argument.replace(" ", ".")


def _only_tensors(content: object) -> dict:
    if isinstance(content, Tensor):
        return {"": content}
    if not isinstance(content, dict):
        return {}
    kept = {}
    for name, value in content.items():
        if isinstance(value, Tensor):
            kept[str(name)] = value.detach()
        elif isinstance(value, dict) and (inner := _only_tensors(value)):
            kept[str(name)] = inner
    return kept


def _flattened(tensors: dict, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in tensors.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value
