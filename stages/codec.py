"""Stage `codec`: the network that turns waveforms or pictures into codes and back."""

from pathlib import Path
from typing import Annotated

import torch
from typer import Option

from pipeline.codecs.recipes import make_audio_codec, make_image_codec
from pipeline.codecs.reconstruction import reconstruction_scores
from pipeline.codecs.transform import TransformCodec
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, read_json, sha256_file, write_json
from pipeline.runtime.scratch import fingerprint, scratch
from pipeline.storage.weights import weights_file
from pipeline.training.history import write_history
from stages.config import AnyDataset, DanceToMusic, DatasetArgument, read_dataset
from stages.content import open_codec, open_content
from stages.paths import CODEC_FILE, Paths, code

UNVALIDATED = 64  # training rows that stand in where a data set has no validation split


def codec(
    dataset: DatasetArgument,
    export: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Write the finished codec of data/DATASET to FILE in half precision (bfloat16),"
            " for others to use as codec.weights; nothing is trained.",
        ),
    ] = None,
    licence: Annotated[
        str | None, Option(help="Under which others may use the exported codec, such as MIT.")
    ] = None,
) -> None:
    """Train, fine-tune or fetch the codec of a data set.

    In: data/DATASET/raw, and the weights that `codec.weights` names, if any. Out:
    data/DATASET/codec with codec.safetensors, history.csv (the training curve) and quality.json
    (reconstruction error and codebook use on the validation split).

    Example: cdcd codec toy_dance
    """
    settings, paths = read_dataset(dataset), Paths(dataset)
    if export is not None:
        _export(settings, paths, export, licence)
        return
    manifest = paths.manifest(settings.media_root)
    rows = manifest.of("train")
    given = settings.codec.weights
    weights = sha256_file(weights_file(given)) if given else None
    with scratch(
        fingerprint("codec", settings.codec, weights, paths.raw, *code("codecs"))
    ) as folder:
        if isinstance(settings, DanceToMusic):
            content = open_content(settings, manifest)
            network, history = make_audio_codec(settings.codec, content, rows, folder)
        else:
            content = open_content(settings, manifest)
            network, history = make_image_codec(settings.codec, content, rows, folder)
        held_out = manifest.of("val")
        quality = reconstruction_scores(network, content, held_out or rows[:UNVALIDATED])
        if not held_out:
            quality["judged_on_training_rows"] = len(rows[:UNVALIDATED])
        with atomic(paths.codec) as temporary:
            temporary.mkdir()
            network.save(
                temporary / CODEC_FILE,
                {"weights": "trained here" if history else settings.codec.weights},
            )
            write_history(temporary / "history.csv", history)
            write_json(temporary / "quality.json", quality)
    print(
        f"{dataset}: codec ready;"
        f" {', '.join(f'{name} {value:.4g}' for name, value in quality.items())}."
    )


def _export(settings: AnyDataset, paths: Paths, file: Path, licence: str | None) -> None:
    """Writes the finished codec in half precision, with how it was made and how good it is."""
    if file.exists():
        raise UserError(f"{file} exists; give --export another name, or remove it.")
    network = open_codec(settings, paths)
    if not isinstance(network, TransformCodec):
        raise UserError(f"--export writes transform codecs; that of {paths.dataset} is another.")
    about = {
        "weights": f"trained on {paths.dataset}",
        "settings": settings.codec.model_dump(mode="json", exclude_none=True),
        "quality": read_json(paths.codec / "quality.json"),
        "licence": licence,
    }
    with atomic(file) as temporary:
        network.save(temporary, about, dtype=torch.bfloat16)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, sha256 {sha256_file(file)}.")
