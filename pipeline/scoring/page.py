"""A score written out: table.csv, clips.csv, remarks.json and metrics.json as an evaluation writes
them, and README.md and index.html to read.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.metrics.results import Evaluation, write_evaluation
from pipeline.reporting.page import environment
from pipeline.reporting.tables import blocks, legend, markdown
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

TABLES = ("table.csv", "clips.csv", "metrics.json", "remarks.json")
WRITTEN = {"README.md", "index.html", *TABLES}
READING = (
    "Mean ± standard deviation over the outputs of one clip or picture [95 % bootstrap interval"
    " over songs or pictures]. ↑ more is better, ↓ less is better. A figure means something only"
    " where a row stands apart from the controls that know nothing."
)


def check_out(out: Path) -> None:
    """Raises UserError, before any work, where `out` holds anything but an earlier score (the
    folder is replaced as a whole), or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder.")
    if out.is_dir() and (others := sorted({file.name for file in out.iterdir()} - WRITTEN)):
        raise UserError(
            f"--out {out} holds {others[0]}, which is no part of a score and would be lost; choose"
            " another folder."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.absolute().parent):
            pass
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written to ({error.strerror}); choose another folder."
        ) from None
    if not any(out.iterdir()):
        out.rmdir()


def write_score(
    evaluation: Evaluation,
    about: Mapping[str, str],
    notes: list[str],
    titles: dict[str, str],
    out: Path,
) -> None:
    """Fills `out` with the files of `WRITTEN`.

    `about`: what was scored and how, by heading; `notes`: what was said of the files; `titles` of
    rows that are called as their folders.
    """
    remarks = {**evaluation.remarks, **about, "notes": notes}
    write_evaluation(replace(evaluation, remarks=remarks), out)
    found = blocks(evaluation.results)
    parts = ["# Scores\n", *(f"* {name}: {value}" for name, value in about.items()), ""]
    parts += [f"{READING}\n", *(f"* {note}" for note in notes), ""]
    for block in found:
        parts += [f"## {block.title}\n", markdown(block, titles), legend(block) + "\n"]
    with atomic(out / "README.md") as temporary:
        temporary.write_text("\n".join(parts))
    template = environment().from_string(Path(__file__).with_name("page.html.j2").read_text())
    page = template.render(about=about, notes=notes, blocks=found, titles=titles, reading=READING)
    with atomic(out / "index.html") as temporary:
        temporary.write_text(page)
