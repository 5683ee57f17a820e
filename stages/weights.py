"""Published weights: what there is, fetching it, adding files you already have."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.storage import weights

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.command("list")
def list_() -> None:
    """Shows every known set of weights: its use, licence and size, and whether it is here.

    The default data sets need none of them: they train what they use.

    Example: cdcd weights list
    """
    where = f"kept under {weights.folder()} (CDCD_HOME moves it)"
    table = Table("name", "here", "use", "size", "sha256", "licence", title=where)
    for entry in weights.registry().values():
        size = "unpublished" if entry.size is None else f"{entry.size / 1e6:,.1f} MB"
        digests = entry.wheel.members.values() if entry.wheel else filter(None, [entry.sha256])
        digest = ", ".join(each[:8] for each in digests) or "recorded at first use"
        table.add_row(
            entry.name,
            "yes" if weights.is_here(entry) else "",
            entry.use,
            size,
            digest,
            entry.licence,
        )
    console = Console()
    console.print(table)
    console.print(
        "`cdcd weights get NAME` fetches them, `cdcd weights add NAME FILE` takes a file that you"
        " have."
    )


@app.command("get")
def get(
    names: Annotated[list[str], typer.Argument(help="Names from `cdcd weights list`.")],
) -> None:
    """Downloads weights, verifies them and stores them safely; a broken download goes on where it
    stopped.

    Out: files below CDCD_HOME (default ~/.cache/cdcd), whose paths are printed.

    Example: cdcd weights get blazepose vgg16
    """
    for name in names:
        typer.echo(f"{name}: {weights.get(name)}")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name from `cdcd weights list`.")],
    file: Annotated[Path, typer.Argument(help="The published file, downloaded by hand.")],
) -> None:
    """Takes a published file that you already have, after checking its size and digest where they
    are published.

    Out: a file below CDCD_HOME (default ~/.cache/cdcd), as if it had been downloaded.

    Example: cdcd weights add jukebox vqvae.pth.tar
    """
    typer.echo(f"{name}: {weights.add(name, file)}")
