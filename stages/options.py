"""The options that `generate` and `edit` share: which model, how it draws, who reads the dancer,
and where the results go.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.generation.dances import Told

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "--dataset",
        help=(
            "A model by name: a shipped one, one kept by `cdcd load`, a data set whose model was"
            " built here (NAME@training: the last snapshot of its training, while that goes on), a"
            " published checkpoint; or the path of a bundle. Default: the shipped"
            " one of the task, else its embedded data set's."
        ),
        show_default=False,
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        help="A branch, tag, commit or DVC experiment: the data set's model as it was there."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Seed = Annotated[int, typer.Option(help="Another seed makes something else.")]
Variants = Annotated[int, typer.Option(min=1, help="So many results, each of the next seed.")]
Steps = Annotated[
    int | None, typer.Option(help="Steps of the drawing; fewer are quicker and coarser.")
]
Truncation = Annotated[
    float | None, typer.Option(help="Share of the likeliest codes that may be drawn, up to 1.")
]
Temperature = Annotated[
    float | None, typer.Option(help="Above 1 draws more freely, below 1 more safely.")
]
Guidance = Annotated[
    float | None,
    typer.Option(help="Above 1 follows the condition more closely, at twice the time."),
]
Order = Annotated[
    str | None, typer.Option(help="random, purity, confidence or halton (docs/method.md).")
]
SoundOnly = Annotated[
    bool, typer.Option("--sound-only", "--wav-only", help="No film, the sound alone.")
]
Format = Annotated[str, typer.Option(help="Of the sound: wav, mp3 or flac.")]
Clean = Annotated[bool, typer.Option(help="Spectral noise reduction of the sound.")]
Pose = Annotated[
    str,
    typer.Option(
        help=(
            "Who reads the dancer: blazepose, movenet, keypoint_rcnn, or markers (clips of the"
            " toy); or of which kind --poses are: openpose, alphapose, aist_smpl, array, ..."
        )
    ),
]
Poses = Annotated[
    Path | None,
    typer.Option(help="Annotated poses: a file, or a folder of files named like the videos."),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Weights of that reader: a name of `cdcd weights list` or a path.",
        show_default="its own name",
    ),
]
Condition = Annotated[
    Told, typer.Option(help="What the model is told of: both, or motion or visual alone.")
]
Genre = Annotated[
    str | None, typer.Option(help="For models that were trained with the genre as an input.")
]
Longest = Annotated[
    float, typer.Option(help="Seconds; longer clips are refused, they take long and memory.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace results of an earlier run in OUT.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print where the time goes.")]
