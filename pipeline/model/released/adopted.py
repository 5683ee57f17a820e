"""A published denoiser in the place of a trained one, kept with what it is used on, so that
sampling and evaluation read it as they read a model trained here.
"""

from pathlib import Path

import torch
from torch import Tensor

from pipeline.model.network import Network, load_model
from pipeline.model.released.checkpoint import load_released
from pipeline.model.released.dance import ReleasedDanceEncoder
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import read_yaml
from pipeline.storage.tensors import read_about, read_tensors, write_tensors

AIST_GENRES = ("BR", "PO", "LO", "MH", "LH", "HO", "WA", "KR", "JS", "JB")  # the authors' order
GENRE_TABLE = "condition_emb.genre_embed.weight"


def adopt(
    checkpoint: Path, config: Path | None, provenance: dict, path: Path, genres: tuple[str, ...]
) -> Network:
    """Writes a published checkpoint to `path` with `provenance` beside it, and returns its network.

    `config` is the authors' yaml, for weights of another size than the published ones. The rows of
    its genre table, where it has one, follow `genres` then, the data set's order. Raises UserError
    as `load_released` does, and for a genre that the checkpoint does not know.
    """
    settings = None if config is None else read_yaml(config)
    network = load_released(checkpoint, settings)
    tensors = read_tensors(checkpoint)
    encoder = network.encoder
    if isinstance(encoder, ReleasedDanceEncoder) and encoder.genre is not None:
        if strange := sorted(set(genres) - set(AIST_GENRES)):
            raise UserError(
                f"{checkpoint} knows the genres {', '.join(AIST_GENRES)}; {strange[0]} is none."
            )
        order = torch.tensor([AIST_GENRES.index(genre) for genre in genres])
        tensors = _with_genres(tensors, order)
    about = {"class": "Released", "config": settings, "provenance": provenance}
    write_tensors(path, tensors, about)
    return load_network(path)


def _with_genres(tensors: dict, order: Tensor) -> dict:
    """The (nested) tensors with the rows of every genre table in another order."""
    return {
        name: _with_genres(value, order)
        if isinstance(value, dict)
        else (value[order] if name.endswith(GENRE_TABLE) else value)
        for name, value in tensors.items()
    }


def load_network(path: Path) -> Network:
    """The network of a file that `save_model` or `adopt` wrote, on the CPU, in eval mode;
    `.provenance` is what was stored with it.
    """
    about = read_about(path) if Path(path).is_file() else None
    if (about or {}).get("class") != "Released":
        return load_model(path)
    assert about is not None, "it says that it is released"
    network = load_released(path, about["config"])
    network.provenance = about["provenance"]
    return network
