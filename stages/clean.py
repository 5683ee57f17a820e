"""Tool `clean`: what killed processes left behind."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.runtime.litter import Leftover, orphans, remove_orphan, sweep, temporaries
from stages.paths import REPORTS

OUTPUTS = (Path("data"), REPORTS)


def clean(
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove what is listed; without it, only list.")
    ] = False,
) -> None:
    """List, and with --yes remove, what killed processes left: scratch folders and temporary files.

    In: CDCD_HOME/scratch, data and reports. A scratch folder that a process holds is left alone; of
    the others, the same stage on the same inputs and code would go on from what they hold, so
    remove them when you changed either. Out: nothing but the removal.

    Example: cdcd clean --yes
    """
    scratch, files = orphans(), temporaries(*OUTPUTS)
    for leftover in [*scratch, *files]:
        print(f"{_bytes(leftover.size):>9}  {_age(leftover.age_s):>12}  {leftover.path}")
    if not scratch and not files:
        print("Nothing was left behind.")
        return
    total = _bytes(sum(leftover.size for leftover in [*scratch, *files]))
    counts = f"{len(scratch)} scratch folders and {len(files)} temporary files, {total}"
    if not yes:
        print(f"{counts}; `cdcd clean --yes` removes them.")
        return
    removed = [*filter(remove_orphan, scratch), *sweep(*OUTPUTS)]
    kept = _kept([*scratch, *files], removed)
    print(f"{counts}; removed{f', but {len(kept)} are in use or not yours' if kept else ''}.")


def _kept(listed: list[Leftover], removed: list[Leftover]) -> set[Path]:
    return {leftover.path for leftover in listed} - {leftover.path for leftover in removed}


def _bytes(size: float) -> str:
    """A size for readers."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _age(seconds: float) -> str:
    """An age for readers."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
