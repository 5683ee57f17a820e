"""Tool `export`: a finished model in one file, for others."""

from pathlib import Path
from typing import Annotated

import typer

from cdcd.built import EMBEDDED, built_files
from cdcd.revision import revision_folder
from pipeline.generation.bundle import CARD, FILE, write_bundle
from pipeline.runtime.errors import UserError
from stages.config import MODULES, DatasetArgument
from stages.options import Revision


def export(
    dataset: DatasetArgument,
    out: Annotated[
        Path,
        typer.Option(
            help="A .safetensors file, or a folder as model hubs take it.", show_default=False
        ),
    ],
    rev: Revision = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Of the weights, which the data's decides; MIT for the embedded data sets.",
            show_default=False,
        ),
    ] = None,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Half the size: weights rounded to bfloat16.")
    ] = False,
    eight_bits: Annotated[
        bool,
        typer.Option(
            "--eight-bits", help="A quarter of the size for the network's large matrices."
        ),
    ] = False,
    name_codec: Annotated[
        bool,
        typer.Option(
            "--name-codec", help="Name a codec that comes with cdcd (studio) instead of packing it."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Write the model of a data set as one file that works without this checkout.

    In: data/DATASET/model, codec and extractor, its settings, and reports/metrics/DATASET. Out: one
    safetensors file with network, codec and extractors, settings, licence and model card (data,
    figures beside their controls, limits); where OUT is a folder, model.safetensors and README.md,
    which a hub takes as they are. `cdcd load` and `cdcd generate --model OUT` read either.

    Example: cdcd export toy_dance --out dance_model
    """
    if dataset not in MODULES:
        raise UserError(f"{dataset!r} is not a data set; there are {', '.join(MODULES)}.")
    if licence is None and dataset not in EMBEDDED:
        raise UserError(
            f"Say under which licence the weights of {dataset} may be used, with --licence: that of"
            " its data decides."
        )
    if out.suffix not in ("", ".safetensors"):
        raise UserError(f"--out {out} is neither a .safetensors file nor the name of a folder.")
    written = [out] if out.suffix else [out / FILE, out / CARD]
    if (present := [file for file in written if file.exists()]) and not force:
        raise UserError(f"{present[0]} exists already; choose another --out, or --force.")
    folder = None if rev is None else revision_folder(dataset, rev)
    files = built_files(dataset, folder, licence)
    try:
        write_bundle(files, out, bf16, name_codec, eight_bits)
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written to ({error.strerror}); choose another place."
        ) from None
    size = written[0].stat().st_size / 1e6
    print(f"{dataset}: {', '.join(map(str, written))}, {size:.1f} MB.")
