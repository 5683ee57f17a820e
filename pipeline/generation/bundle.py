"""A finished model in one file: safetensors that hold network, codec and extractors as they lie in
their own files, and say the settings, the licence and the card.

The tensors of each part are called PART/NAME; what the part's file says of itself stands under
`parts`. The header is read without the tensors, and a digest of both is verified when they are read
(`pipeline.storage.tensors`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from pipeline.features.text import ClipText
from pipeline.generation.files import EXTRACTORS, ModelFiles
from pipeline.generation.settings import ModelSettings
from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.params import validate
from pipeline.storage.eight_bits import from_eight_bits, in_eight_bits
from pipeline.storage.tensors import is_safetensors, read_about, read_tensors, write_tensors
from pipeline.storage.weights import registry, weights_file

VERSION = 1
FILE, CARD = "model.safetensors", "README.md"  # of a folder that a hub takes as it is


def write_bundle(
    files: ModelFiles,
    path: Path,
    bf16: bool = False,
    name_codec: bool = False,
    eight_bits: bool = False,
) -> None:
    """Writes a model's files as one at `path`; with `bf16` in half the size, rounded; with
    `eight_bits` the network's large matrices in a quarter of it, each row by its own scale; with
    `name_codec` a codec that comes with this package is named, with its digest, not packed.

    Where `path` has no ending it is a folder as model hubs have them: model.safetensors, and the
    card as README.md. Raises UserError for published weights, which their authors give out, and for
    a codec to be named that does not come with this package.
    """
    if (read_about(files.network) or {}).get("class") != "Network":
        raise UserError(
            f"{files.settings.name} cannot be exported: its weights are as others published them;"
            " whoever wants them takes them from there (`cdcd weights list`)."
        )
    with TemporaryDirectory(prefix="cdcd-") as folder:
        named = _named_codec(files) if name_codec else None
        parts = {"network": files.network} | ({} if named else {"codec": files.codec})
        parts |= {name: _safe(file, Path(folder)) for name, file in files.extractors.items()}
        tensors = {name: read_tensors(file) for name, file in parts.items()}
        if eight_bits:
            tensors["network"] = in_eight_bits(tensors["network"])
        tensors = {name: _rounded(part, bf16) for name, part in tensors.items()}
        header = {
            "class": "Bundle",
            "version": VERSION,
            "settings": files.settings.model_dump(mode="json"),
            "parts": {name: read_about(file) or {} for name, file in parts.items()},
            "codec": named,
            "card": files.card,
        }
    if path.suffix:
        write_tensors(path, tensors, header)
        return
    path.mkdir(parents=True, exist_ok=True)
    write_tensors(path / FILE, tensors, header)
    with atomic(path / CARD) as temporary:
        temporary.write_text(files.card)


def _named_codec(files: ModelFiles) -> dict:
    """Name and digest of the codec that a model uses and that comes with this package."""
    name = (read_about(files.codec) or {}).get("provenance", {}).get("weights")
    if (weights := registry().get(name)) is None or weights.kind != "shipped":
        raise UserError(
            f"The codec of {files.settings.name} does not come with this package"
            f" (codec.weights is {name!r}); pack it, without --name-codec."
        )
    return {"name": name, "sha256": weights.sha256}


def _shipped_codec(named: dict, file: Path) -> Path:
    """The codec that a bundle names; raises UserError where this package has another."""
    name = named["name"]
    if (weights := registry().get(name)) is None or weights.sha256 != named["sha256"]:
        raise UserError(
            f"{file} needs the codec {name!r} of another version of cdcd (sha256"
            f" {named['sha256'][:12]}...); install that version, or take a bundle that holds its"
            " codec."
        )
    return weights_file(name)


def _safe(file: Path, folder: Path) -> Path:
    """The file itself, or CLIP's text tower from OpenAI's TorchScript as safetensors."""
    if is_safetensors(file):
        return file
    ClipText.load(file).save(folder / "clip.safetensors")
    return folder / "clip.safetensors"


def _rounded(tensors: dict, bf16: bool) -> dict:
    """The (nested) tensors, those of float32 in bfloat16 where asked."""
    if not bf16:
        return tensors
    return {name: _in(value, torch.float32, torch.bfloat16) for name, value in tensors.items()}


def _in(value: Tensor | dict, old: torch.dtype, new: torch.dtype) -> Tensor | dict:
    if isinstance(value, dict):
        return {name: _in(inner, old, new) for name, inner in value.items()}
    return value.to(new) if value.dtype == old else value


def bundle_file(path: Path) -> Path:
    """The file of a bundle given as it or as the folder that holds it."""
    return path / FILE if path.is_dir() else path


def read_header(path: Path) -> dict:
    """What a bundle says of itself, without its tensors; raises UserError for a file that is none,
    and for a bundle of a newer version.
    """
    file = bundle_file(Path(path))
    if not file.is_file():
        raise UserError(f"{file} does not exist; expected a bundle, as `cdcd export` writes it.")
    about = read_about(file) if is_safetensors(file) else None
    if (about or {}).get("class") != "Bundle":
        raise UserError(f"{file} is no bundle; expected a file that `cdcd export` wrote.")
    assert about is not None, "it is a bundle"
    if about["version"] > VERSION:
        raise UserError(
            f"{file} is a bundle of version {about['version']}, and this cdcd reads versions up to"
            f" {VERSION}; update cdcd."
        )
    if missing := sorted({"settings", "parts", "card"} - set(about)):
        raise DamagedFile(file, f"it says no {missing[0]}", "fetch it, or export it, again")
    return about


@contextmanager
def unpacked(path: Path) -> Iterator[ModelFiles]:
    """The files of a bundle, in float32, in a folder that goes when the block ends."""
    header, file = read_header(path), bundle_file(Path(path))
    settings = validate(ModelSettings, header["settings"], "settings", str(file))
    content = read_tensors(file)
    with TemporaryDirectory(prefix="cdcd-") as folder:
        files = {name: Path(folder) / f"{name}.safetensors" for name in header["parts"]}
        for name, about in header["parts"].items():
            part = _in(content.get(name, {}), torch.bfloat16, torch.float32)
            assert isinstance(part, dict), "a part is a group of tensors"
            if name == "network":
                part = from_eight_bits(part)
            write_tensors(files[name], part, about)
        extractors = {name: files[name] for name in EXTRACTORS if name in files}
        named = header.get("codec")
        codec = _shipped_codec(named, file) if named else files["codec"]
        yield ModelFiles(settings, files["network"], codec, extractors, card=header["card"])
