"""Tool `listen`: a listening test as one page."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.reporting.listening import SYSTEMS, gather, write_listening_test
from pipeline.runtime.errors import UserError
from stages.config import DatasetArgument
from stages.paths import REPORTS, Paths


def listen(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = REPORTS / "listening",
    run: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "LABEL=FOLDER: examples of another run (its reports/examples/DATASET) to be rated"
                " as LABEL."
            )
        ),
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help=f"A row to rate; repeat the option. Default: {', '.join(SYSTEMS)}."),
    ] = None,
    items: Annotated[int, typer.Option(help="How many clips, at most.", min=1)] = 20,
    checks: Annotated[int, typer.Option(help="How many attention checks.", min=0)] = 3,
    seed: Annotated[int, typer.Option(help="The seed of the order and the codes.")] = 0,
) -> None:
    """Build the two listening tests of the paper: coherence with the video, and quality without it.

    In: reports/examples/DATASET. Out: OUT/index.html, one page to give to listeners, which hides
    what is what, and OUT/key.json, to be kept. Listeners send back a file each; `cdcd mos` averages
    them.

    Example: cdcd listen toy_dance --items 10
    """
    folders = {"model": Paths(dataset).examples}
    for pair in run or []:
        label, equals, folder = pair.partition("=")
        if not (label and equals and folder) or label in folders or label in SYSTEMS:
            raise UserError(f"--run {pair!r} must be LABEL=FOLDER with a label of its own.")
        folders[label] = Path(folder)
    trials = gather(folders, tuple(system or SYSTEMS), items)
    page = write_listening_test(out, trials, checks, seed)
    print(
        f"{len(trials)} ratings and {checks} checks: give {page} to listeners, keep"
        f" {out / 'key.json'}."
    )
