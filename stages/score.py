"""Tool `score`: anybody's outputs under the protocols, controls and intervals of an evaluation."""

from pathlib import Path
from typing import Annotated

import typer

from cdcd import scoring
from pipeline.runtime.errors import UserError
from pipeline.scoring.page import check_out


def score(
    outputs: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Outputs, called as the clips or pictures they were made for (docs/score.md).",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="A data set that was built here, whose test split they were made for."),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(help="A folder of the true music (sound files or videos), or real pictures."),
    ] = None,
    dances: Annotated[Path | None, typer.Option(help="A folder of the dance videos.")] = None,
    songs: Annotated[
        Path | None,
        typer.Option(
            help="A table with the columns id and song: intervals are over songs. Default: each"
            " clip is a song."
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help="Captions of pictures: a table, or a folder of NAME.txt."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Classes of pictures: a table with id and class, or folders CLASS/NAME."),
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another folder, side by side; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the page.")] = Path("scores"),
    level: Annotated[
        bool,
        typer.Option(
            "--level", help="Bring every sound to the peak of the true music before it is measured."
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(help="Length that is measured. Default: the shortest reference.", min=0.5),
    ] = None,
    rate: Annotated[
        int, typer.Option(help="Sample rate at which --references are measured.", min=8000)
    ] = 22_050,
    pose: Annotated[str, typer.Option(help="Who reads the dancers of --dances.")] = "blazepose",
    weights: Annotated[str | None, typer.Option(help="Weights of that reader.")] = None,
    judge: Annotated[
        Path | None,
        typer.Option(
            help="A folder of `cdcd judge`, for pictures. Default: the published networks that are"
            " here."
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Pixels at which pictures are seen. Default: the smallest's.", min=8),
    ] = None,
    draws: Annotated[int, typer.Option(help="Bootstrap draws, without --data.", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="The seed of the draws, without --data.")] = 0,
) -> None:
    """Score anybody's music or pictures as an evaluation scores a model's.

    In: a folder of files called as the clips or pictures they were made for (NAME.wav, .mp4, .png;
    NAME_seed0, NAME_seed1, ... for several of each), and what they are laid against: --data; or for
    music --references, --dances, or both; or for pictures --captions or --classes, --references, or
    both. No model and no codec is asked. Out: OUT/README.md, index.html,
    table.csv, clips.csv, metrics.json, remarks.json. What cannot be used is told, and the rest is
    done.

    Example: cdcd score theirs --references true_music --dances videos --against ours
    """
    check_out(out)
    scores = scoring.score(
        outputs,
        data=data,
        references=references,
        dances=dances,
        songs=songs,
        captions=captions,
        classes=classes,
        against=against or [],
        level=level,
        seconds=seconds,
        rate=rate,
        pose=pose,
        weights=weights,
        judge=judge,
        size=size,
        draws=draws,
        seed=seed,
    )
    scores.save(out)
    print(scores.markdown())
    print(f"The tables are in {out}, the page is {out / 'index.html'}.")
    if left_out := len(scores.mistakes):
        raise UserError(f"Some files could not be used ({left_out} reasons, above).")
