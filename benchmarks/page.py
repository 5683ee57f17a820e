"""Where measured tables go: between two marks of a page, in place of those of the same titles."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

README = Path(__file__).with_name("README.md")
TIMES = Path(__file__).parents[1] / "docs" / "times.md"
START, END = "<!-- measured -->", "<!-- end of what was measured -->"


@contextmanager
def told(page: Path, write: bool) -> Iterator[Callable[[str], None]]:
    """What says a line, on the terminal; in the end, with `write`, the lines are put into `page`. A
    UserError ends the command with its sentence.
    """
    lines: list[str] = []

    def say(line: str) -> None:
        typer.echo(line)
        lines.append(line)

    try:
        yield say
        if write:
            write_results(page, lines)
    except UserError as mistake:
        raise SystemExit(f"Error: {mistake}") from None


def write_results(readme: Path, lines: list[str]) -> None:
    """Puts the sections of `lines` between the two marks of the README, in place of those that had
    their titles.

    Raises UserError when the marks are not there.
    """
    before, start, rest = readme.read_text().partition(START)
    between, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(
            f"{readme} has lost the line {START if not start else END}, where the results go; put"
            " it back."
        )
    sections = _side_by_side(_sections(between) | _sections("\n".join(lines)))
    with atomic(readme) as fresh:
        fresh.write_text("\n\n".join([before + START, *sections.values(), END + after]))


def _sections(text: str) -> dict[str, str]:
    """The parts of `text` that begin with "### TITLE: ", by their titles."""
    parts = (part.strip() for part in text.split("### ")[1:])
    return {part.partition(":")[0]: f"### {part}" for part in parts}


def _side_by_side(sections: dict[str, str]) -> dict[str, str]:
    """The sections with those of one network, whose titles begin alike before a comma, together."""
    order = list(dict.fromkeys(title.partition(",")[0] for title in sections))
    return dict(sorted(sections.items(), key=lambda one: order.index(one[0].partition(",")[0])))
