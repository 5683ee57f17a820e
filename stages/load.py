"""Tool `load`: a model in one file, from others."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from cdcd.finding import kept, model_names
from pipeline.generation.bundle import bundle_file, unpacked
from pipeline.generation.opening import open_model
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from stages.making import DOES


def load(
    bundle: Annotated[
        Path, typer.Argument(help="A file or folder that `cdcd export` wrote.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(help="What it is to be called here.", show_default="its file's or own name"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model that was loaded under this name.")
    ] = False,
) -> None:
    """Keep a model in one file, so that `cdcd generate --model NAME` finds it from everywhere.

    In: a bundle of `cdcd export`, which is opened and checked. Out: a copy of it and its card in
    $CDCD_HOME/models.

    Example: cdcd load dance_model --name dancer
    """
    with unpacked(bundle) as files:
        model = open_model(files)
    file = bundle_file(bundle)
    called = name or (bundle.name if bundle.is_dir() else file.stem)
    target = kept() / f"{called}.safetensors"
    others = set(model_names()) - ({called} if target.exists() else set())
    if Path(called).name != called or called in others:
        raise UserError(f"A model cannot be called {called!r} here; give another --name.")
    if target.exists() and not force:
        raise UserError(f"There is a model {called} already; give another --name, or --force.")
    card = target.with_suffix(".md")
    with atomic(target) as temporary:
        shutil.copyfile(file, temporary)
    with atomic(card) as temporary:
        temporary.write_text(model.card)
    settings = model.settings
    print(
        f"{settings.name} {DOES[model.task]}; data: {settings.data}; licence: {settings.licence}."
    )
    print(f"Kept as {called}; its card: {card}. Use it with `--model {called}`.")
