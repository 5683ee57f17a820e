"""Tool `preset`: puts a shipped set of settings in place of params/DATASET.yaml."""

from typing import Annotated

import typer

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from stages.config import read_settings
from stages.paths import PRESETS, Paths


def preset(
    dataset: Annotated[
        str, typer.Argument(help="A real data set: aist, tiktok, cub200, coco, imagenet.")
    ],
    name: Annotated[str, typer.Argument(help="recommended, as_paper or as_released.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that you have edited.")
    ] = False,
) -> None:
    """Put a preset in place, so that DVC sees plain values.

    In: params/presets/DATASET/NAME.yaml; `recommended` is what params/DATASET.yaml holds in a fresh
    checkout, `as_paper` what the paper says, `as_released` what the released code's configuration
    says. Out: params/DATASET.yaml. A file that equals none of the three was edited by somebody, and
    is replaced only with --force.

    Example: cdcd preset aist as_paper
    """
    folder, target = PRESETS / dataset, Paths(dataset).settings
    presets = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    if not presets:
        known = ", ".join(sorted(path.name for path in PRESETS.iterdir() if path.is_dir()))
        raise UserError(f"There are no presets of {dataset!r}; there are of {known}.")
    if name not in presets:
        raise UserError(f"{dataset} has no preset {name!r}; it has {', '.join(presets)}.")
    shipped = {file.read_text() for file in presets.values()}
    if target.exists() and target.read_text() not in shipped and not force:
        raise UserError(
            f"{target} was edited and would be lost; keep a copy of it, then give --force."
        )
    read_settings(dataset, presets[name])
    with atomic(target) as temporary:
        temporary.write_text(presets[name].read_text())
    print(f"{target} holds {name}: contrast {read_settings(dataset, target).contrast}.")
