"""The one format of checkpoints: safetensors that say what they belong to and prove that they are
whole.

A file holds the tensors of a state, its shape as JSON (`tree`: dictionaries, lists, tuples and
numbers, with tensors by number), and in the metadata the facts of the training (`settings`, `code`,
`batch_size`, `processes`, `step`) and a SHA-256 of all of it. Nothing in it is ever executed.
"""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import is_safetensors, read_about, read_tensors, write_tensors

FORMAT = "cdcd checkpoint 1"
TREE = "tree"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training, tensors on the CPU, and the facts by which it is recognised."""

    state: dict
    facts: dict
    path: Path | None = None


class Damaged(Exception):
    """Why a file cannot be read as a checkpoint."""


class Checkpoints:
    """The newest checkpoint of a folder and the one before it, to which a damaged one gives way."""

    def __init__(self, folder: Path):
        self.newest = Path(folder) / "checkpoint.safetensors"
        self.previous = Path(folder) / "checkpoint.previous.safetensors"

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes the newest; the earlier one is kept, and unharmed should the writing fail."""
        written = self.newest.with_name("checkpoint.next.safetensors")
        write_checkpoint(written, checkpoint)
        if self.newest.exists():
            os.replace(self.newest, self.previous)
        os.replace(written, self.newest)

    def load(self) -> Checkpoint | None:
        """The newest that is whole, or None where there is none yet.

        Raises UserError when what is there is damaged or no checkpoint at all.
        """
        reasons = {}
        for path in filter(Path.exists, (self.newest, self.previous)):
            try:
                found = read_checkpoint(path)
            except Damaged as damaged:
                reasons[path] = damaged
                continue
            for broken, reason in reasons.items():
                print(
                    f"{broken} is damaged ({reason}); going on from the one before, of step"
                    f" {found.facts['step']}.",
                    file=sys.stderr,
                )
            return found
        if reasons:
            path, reason = next(iter(reasons.items()))
            raise UserError(f"{path} is damaged ({reason}); delete it to train from the start.")
        return None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, atomically."""
    tensors: list[Tensor] = []
    tree = json.dumps(_encoded(checkpoint.state, tensors)).encode()
    content = {f"{number:06d}": tensor for number, tensor in enumerate(tensors)}
    content[TREE] = torch.from_numpy(np.frombuffer(tree, np.uint8).copy())
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in content.items()}
    digest = _digest(content, checkpoint.facts)
    write_tensors(path, content, {"format": FORMAT, "sha256": digest, "facts": checkpoint.facts})


def is_checkpoint(path: Path) -> bool:
    """Whether a file says that it is a checkpoint."""
    return is_safetensors(path) and (read_about(path) or {}).get("format") == FORMAT


def read_checkpoint(path: Path, is_verified: bool = False) -> Checkpoint:
    """What `write_checkpoint` wrote; raises Damaged for anything else. Another process may have
    verified it already.
    """
    try:
        if not is_safetensors(path):
            raise Damaged("no checkpoint of this program")
        about = read_about(path)
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise Damaged("no checkpoint of this program")
        content = read_tensors(path)
        if not is_verified and _digest(content, about["facts"]) != about["sha256"]:
            raise Damaged("its content does not match its digest")
        state = _decoded(json.loads(bytes(content[TREE].numpy())), content)
        if not isinstance(state, dict):
            raise Damaged("no checkpoint of this program")
        return Checkpoint(state, about["facts"], Path(path))
    except (SafetensorError, UserError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise Damaged("cut short or changed") from error


def _digest(content: dict[str, Tensor], facts: dict) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(content):
        tensor = content[name]
        digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _encoded(value: object, tensors: list[Tensor]) -> object:
    """`value` as JSON; its tensors are appended to `tensors` and stand there by number."""
    match value:
        case Tensor():
            tensors.append(value)
            return {"tensor": len(tensors) - 1}
        case dict():
            pairs = [
                [_encoded(key, tensors), _encoded(item, tensors)] for key, item in value.items()
            ]
            return {"dict": pairs}
        case tuple():
            return {"tuple": [_encoded(item, tensors) for item in value]}
        case list():
            return [_encoded(item, tensors) for item in value]
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"A checkpoint cannot hold a {type(value).__name__}.")


def _decoded(value: object, content: dict[str, Tensor]) -> object:
    match value:
        case {"tensor": number}:
            return content[f"{number:06d}"]
        case {"dict": pairs}:
            return {_decoded(key, content): _decoded(item, content) for key, item in pairs}
        case {"tuple": items}:
            return tuple(_decoded(item, content) for item in items)
        case list():
            return [_decoded(item, content) for item in value]
    return value
