"""Results as tables: one block for each protocol, with the counts behind every line, as Markdown."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.metrics.results import Result
from pipeline.reporting.words import PROTOCOLS, arrow, metric, row_title

Column = tuple[str, str]  # (metric, protocol)

# Which figures stand side by side. What is in none of these gets a block for its protocol.
_DANCE_BLOCKS: list[tuple[str, str, list[Column]]] = [
    ("beats_5hz", "Beats, 5hz", [("beats_coverage", "5hz"), ("beats_hit", "5hz"), ("beats_f1", "5hz")]),
    (
        "timing",
        "Timing, without bins",
        [("alignment", "motion"), ("onset_f", "70ms"), ("beat_f", "70ms"), ("tempo_difference", "bpm")],
    ),
    (
        "beats_d2m",
        "Beats, d2m: the shape of the paper's Tables 1, 2 and 6",
        [
            ("beats_coverage", "d2m"),
            ("beats_hit", "d2m"),
            ("beats_f1", "d2m"),
            ("genre_accuracy", "*"),
            ("mos_coherence", "listeners"),
            ("mos_quality", "listeners"),
        ],
    ),
    (
        "beats_loris",
        "Beats, loris",
        [(name, "loris") for name in ("beats_coverage", "beats_coverage_sd", "beats_hit", "beats_hit_sd", "beats_f1")],
    ),
    ("sound", "Genre and sound", [("genre_accuracy", "*"), ("kad", "*"), ("fad", "*")]),
    ("copying", "Copies of training items", [("copy_distance", "tokens"), ("copied", "tokens")]),
]


@dataclass(frozen=True)
class Block:
    """A table: `name` for files, `title` for readers, its columns and its rows of results by column."""

    name: str
    title: str
    columns: list[Column]
    rows: list[tuple[str, dict[Column, Result]]]


def blocks(results: Iterable[Result]) -> list[Block]:
    """The results of one data set as blocks, rows in the order in which they were measured; empty columns left out."""
    results = list(results)
    present = list(dict.fromkeys((result.metric, result.protocol) for result in results))
    planned = [(name, title, _resolve(columns, present)) for name, title, columns in _DANCE_BLOCKS]
    planned = [(name, title, columns) for name, title, columns in planned if not all(c[0].startswith("mos") for c in columns)]
    placed = {column for _, _, columns in planned for column in columns}
    for protocol in dict.fromkeys(protocol for metric_name, protocol in present if (metric_name, protocol) not in placed):
        columns = [column for column in present if column[1] == protocol and column not in placed]
        planned.append((_slug(protocol), _protocol_title(protocol), columns))
    return [block for plan in planned if (block := _block(*plan, results)).rows]


def _resolve(columns: list[Column], present: list[Column]) -> list[Column]:
    """The planned columns that are there; `*` stands for whatever protocol (embedding) the metric was measured with."""
    return [found for name, protocol in columns for found in present if found[0] == name and protocol in ("*", found[1])]


def _block(name: str, title: str, columns: list[Column], results: list[Result]) -> Block:
    rows: dict[str, dict[Column, Result]] = {}
    for result in results:
        if (result.metric, result.protocol) in columns and math.isfinite(result.mean):
            rows.setdefault(result.row, {})[result.metric, result.protocol] = result
    return Block(name, title, columns, list(rows.items()))


def _slug(protocol: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in protocol or "results").strip("_").lower()


def _protocol_title(protocol: str) -> str:
    return f"Protocol {protocol}" if protocol else "Results"


def markdown(block: Block, titles: dict[str, str] | None = None) -> str:
    """A block as a Markdown table: mean ± deviation over seeds [95 % bootstrap interval], and the counts."""
    titles = titles or {}
    head = ["", *(heading(column) for column in block.columns), "clips / songs / seeds"]
    lines = [[titles.get(row, row_title(row)), *_cells(block, cells), line_counts(cells)] for row, cells in block.rows]
    return markdown_table(head, lines)


def markdown_table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table: first column left, the others right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines]) + "\n"


def heading(column: Column) -> str:
    """A column's heading: the metric, what it was measured with where that varies, and which way is better."""
    name, protocol = column
    with_embedding = f" ({protocol})" if name in ("genre_accuracy", "kad", "fad") else ""
    return f"{metric(name).title}{with_embedding}{arrow(name)}"


def _cells(block: Block, cells: dict[Column, Result]) -> list[str]:
    return [cell(cells[column]) if column in cells else "–" for column in block.columns]


def cell(result: Result) -> str:
    """A figure with what is known of its spread."""
    digits = metric(result.metric).digits
    text = f"{result.mean:.{digits}f}"
    if math.isfinite(result.std):
        text += f" ± {result.std:.{digits}f}"
    if math.isfinite(result.low):
        text += f" [{result.low:.{digits}f}, {result.high:.{digits}f}]"
    return text


def line_counts(cells: dict[Column, Result]) -> str:
    """The counts behind a line; where its figures rest on different counts, the range."""
    numbers = [sorted({getattr(result, name) for result in cells.values()}) for name in ("n_clips", "n_songs", "n_seeds")]
    return " / ".join(str(n[0]) if len(n) == 1 else f"{n[0]}–{n[-1]}" for n in numbers)


def legend(block: Block) -> str:
    """What the columns and the protocol of a block mean, in a sentence or two."""
    meanings = [f"{metric(name).title}: {metric(name).meaning}" for name, _ in block.columns if metric(name).meaning]
    protocols = [PROTOCOLS[name] for name in dict.fromkeys(p for _, p in block.columns) if name in PROTOCOLS]
    return "; ".join([*(text[0].upper() + text[1:] for text in protocols), *meanings]) + "."
