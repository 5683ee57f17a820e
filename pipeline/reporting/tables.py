"""Results as tables: one block for each protocol, with the counts behind every line, as
Markdown.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.metrics.results import Result
from pipeline.reporting.glossary import arrow, metric, row_title
from pipeline.reporting.protocols import measured_by, protocol_meanings

Column = tuple[str, str]  # (metric, protocol)

# Which figures stand side by side. What is in none of these gets a block for its protocol.
_DANCE_BLOCKS: list[tuple[str, str, list[Column]]] = [
    (
        "beats_5hz",
        "Beats, 5hz",
        [("beats_coverage", "5hz"), ("beats_hit", "5hz"), ("beats_f1", "5hz")],
    ),
    (
        "timing",
        "Timing, without bins",
        [
            ("alignment", "motion"),
            ("onset_f", "70ms"),
            ("beat_f", "70ms"),
            ("tempo_difference", "bpm"),
        ],
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
        [
            (name, "loris")
            for name in (
                "beats_coverage",
                "beats_coverage_sd",
                "beats_hit",
                "beats_hit_sd",
                "beats_f1",
            )
        ],
    ),
    (
        "own_vs_others",
        "Own dance against others' music",
        [(name, "own_vs_others") for name in ("fit_own", "fit_others", "fit_gain")],
    ),
    (
        "music",
        "As music: the sound",
        [
            (name, "music")
            for name in (
                "mel_distance",
                "spectral_convergence",
                "chroma_similarity",
                "flatness",
                "loudness",
                "triad_share",
            )
        ],
    ),
    (
        "midi",
        "As music: against the notes that were played",
        [
            (name, "midi")
            for name in (
                "key_agreement",
                "chord_agreement",
                "note_onset_f",
                "kick_f",
                "snare_f",
                "hat_f",
                "beat_truth_f",
                "downbeat_truth_f",
            )
        ],
    ),
    ("sound", "Genre and sound", [("genre_accuracy", "*"), ("kad", "*"), ("fad", "*")]),
]
_PICTURE_BLOCKS: list[tuple[str, str, list[Column]]] = [
    (
        "exact",
        "What the pictures show, exactly",
        [(name, "exact") for name in ("attributes", "relation", "all_correct")],
    ),
    (
        "correspondence",
        "Pictures and what was asked for",
        [(name, "*") for name in ("clip_score", "r_precision", "top1_accuracy", "top5_accuracy")],
    ),
    ("fid", "Distance to real pictures, by both reference sets", [("fid", "*")]),
]
_OF_PICTURES = ("fid", "clip_score", "r_precision", "top1_accuracy", "all_correct")
_COPYING = (
    "copying",
    "Copies of training items",
    [("copy_distance", "tokens"), ("copied", "tokens")],
)
_ADHERENCE = (
    "adherence",
    "Adherence to the condition, on validation items: nats a token, over all steps and by quarters",
    [
        (name, "validation")
        for name in (
            "adherence",
            "adherence_t25",
            "adherence_t50",
            "adherence_t75",
            "adherence_t100",
        )
    ],
)
_NAMED = (
    "genre_accuracy",
    "kad",
    "fad",
    "clip_score",
    "r_precision",
    "top1_accuracy",
    "top5_accuracy",
    "fid",
)


@dataclass(frozen=True)
class Block:
    """A table: `name` for files, `title` for readers, its columns, its rows of results by column,
    and what was counted.
    """

    name: str
    title: str
    columns: list[Column]
    rows: list[tuple[str, dict[Column, Result]]]
    of_pictures: bool = False

    @property
    def counted(self) -> str:
        """The heading of the column of counts."""
        return "pictures / seeds" if self.of_pictures else "clips / songs / seeds"


def blocks(results: Iterable[Result]) -> list[Block]:
    """The results of one data set as blocks, rows in the order in which they were measured; empty
    columns left out.
    """
    results = list(results)
    present = list(dict.fromkeys((result.metric, result.protocol) for result in results))
    of_pictures = any(name in _OF_PICTURES for name, _ in present)
    plan = [*(_PICTURE_BLOCKS if of_pictures else _DANCE_BLOCKS), _COPYING, _ADHERENCE]
    planned = [(name, title, _resolve(columns, present)) for name, title, columns in plan]
    planned = [
        (name, title, columns)
        for name, title, columns in planned
        if not all(c[0].startswith("mos") for c in columns)
    ]
    placed = {column for _, _, columns in planned for column in columns}
    for protocol in dict.fromkeys(
        protocol for metric_name, protocol in present if (metric_name, protocol) not in placed
    ):
        columns = [column for column in present if column[1] == protocol and column not in placed]
        planned.append((_slug(protocol), _protocol_title(protocol), columns))
    return [block for found in planned if (block := _block(*found, results, of_pictures)).rows]


def _resolve(columns: list[Column], present: list[Column]) -> list[Column]:
    """The planned columns that are there; `*` stands for whatever protocol (embedding) the metric
    was measured with.
    """
    present = sorted(present)
    return [
        found
        for name, protocol in columns
        for found in present
        if found[0] == name and protocol in ("*", found[1])
    ]


def _block(
    name: str, title: str, columns: list[Column], results: list[Result], of_pictures: bool
) -> Block:
    rows: dict[str, dict[Column, Result]] = {}
    for result in results:
        if (result.metric, result.protocol) in columns and math.isfinite(result.mean):
            rows.setdefault(result.row, {})[result.metric, result.protocol] = result
    return Block(name, title, columns, list(rows.items()), of_pictures)


def _slug(protocol: str) -> str:
    return (
        "".join(letter if letter.isalnum() else "_" for letter in protocol or "results")
        .strip("_")
        .lower()
    )


def _protocol_title(protocol: str) -> str:
    return f"Protocol {protocol}" if protocol else "Results"


def markdown(block: Block, titles: dict[str, str] | None = None) -> str:
    """A block as a Markdown table: mean ± deviation over seeds [95 % bootstrap interval], and the
    counts.
    """
    titles = titles or {}
    head = ["", *(heading(column) for column in block.columns), block.counted]
    lines = [
        [titles.get(row, row_title(row)), *_cells(block, cells), line_counts(block, cells)]
        for row, cells in block.rows
    ]
    return markdown_table(head, lines)


def markdown_table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table: first column left, the others right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines]) + "\n"


def heading(column: Column) -> str:
    """A column's heading: the metric, what it was measured with where that varies, and which way is
    better.
    """
    name, protocol = column
    by = f" ({measured_by(protocol)})" if name in _NAMED else ""
    return f"{metric(name).title}{by}{arrow(name)}"


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


def line_counts(block: Block, cells: dict[Column, Result]) -> str:
    """The counts behind a line of a block; where its figures rest on different counts, the
    range.
    """
    names = ("n_clips", "n_seeds") if block.of_pictures else ("n_clips", "n_songs", "n_seeds")
    numbers = [sorted({getattr(result, name) for result in cells.values()}) for name in names]
    return " / ".join(str(n[0]) if len(n) == 1 else f"{n[0]}–{n[-1]}" for n in numbers)


def legend(block: Block) -> str:
    """What the columns and the protocols of a block mean, as a sentence; empty when nothing is
    known of them.
    """
    names = dict.fromkeys(name for name, _ in block.columns)
    meanings = [
        f"{metric(name).title}: {metric(name).meaning}" for name in names if metric(name).meaning
    ]
    text = "; ".join([*protocol_meanings([protocol for _, protocol in block.columns]), *meanings])
    return text[:1].upper() + text[1:] + "." if text else ""
