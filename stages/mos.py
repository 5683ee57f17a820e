"""Tool `mos`: mean opinion scores from listeners' files."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.reporting.glossary import row_title
from pipeline.reporting.listening_results import opinion_scores, read_answers, read_key, write_mos
from stages.config import DatasetArgument
from stages.paths import REPORTS


def mos(
    dataset: DatasetArgument,
    files: Annotated[
        list[Path], typer.Argument(help="The files that listeners saved.", show_default=False)
    ],
    key: Annotated[Path, typer.Option(help="What `cdcd listen` wrote beside the page.")] = REPORTS
    / "listening"
    / "key.json",
) -> None:
    """Average listeners' ratings, with 95 % confidence intervals over listeners, and put them into
    the tables.

    In: a file from each listener, and the key. Listeners who failed an attention check are left out
    and named. Out: reports/mos/DATASET.csv, which `cdcd report` reads.

    Example: cdcd mos toy_dance answers/*.json
    """
    known = read_key(key)
    results, failed = opinion_scores([read_answers(path, known) for path in files])
    out = REPORTS / "mos" / f"{dataset}.csv"
    write_mos(out, results)
    for result in results:
        interval = f"[{result.low:.2f}, {result.high:.2f}]"
        counts = f"{result.n_clips} ratings by {result.n_seeds} listeners"
        print(
            f"{result.metric:14} {row_title(result.row):32} {result.mean:.2f} {interval} ({counts})"
        )
    if failed:
        print(f"Left out for a failed attention check: {', '.join(failed)}.")
    print(f"Written to {out}; run `cdcd report` to see it in the tables.")
