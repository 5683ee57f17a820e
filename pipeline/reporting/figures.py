"""The figures of the report: the model between its controls, training curves, and examples side by
side.
"""

import math
import re
import textwrap
from collections.abc import Collection
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from pipeline.metrics.results import Result
from pipeline.reporting.glossary import METRICS, metric, row_title
from pipeline.reporting.protocols import measured_by
from pipeline.reporting.style import COLOURS, CONTROL, GRID, MODEL, TRUTH, figure

# What a reader should look at first, in this order; a figure shows up to three that were measured.
TELLING = (
    *("beats_f1", "alignment", "genre_accuracy"),
    *("top1_accuracy", "all_correct", "clip_score", "attributes", "r_precision", "fid", "kad"),
)
TELLING_PROTOCOLS = {"beats_f1": "5hz"}
_TRUTHS = {"ground_truth", "reconstruction", row_title("ground_truth"), row_title("reconstruction")}


def telling(
    results: list[Result], models: Collection[str] = ("model",), limit: int = 3
) -> list[tuple[str, str]]:
    """Up to `limit` (metric, protocol) pairs that say most and were measured for the rows in
    `models`.
    """
    measured = list(
        dict.fromkeys(
            (r.metric, r.protocol) for r in results if r.row in models and math.isfinite(r.mean)
        )
    )
    ranked = [pair for name in TELLING for pair in measured if pair[0] == name]
    ranked = [pair for pair in ranked if TELLING_PROTOCOLS.get(pair[0], pair[1]) == pair[1]]
    return (ranked + [pair for pair in measured if pair not in ranked and pair[0] not in METRICS])[
        :limit
    ]


def draw_controls(path: Path, results: list[Result], models: Collection[str] = ("model",)) -> bool:
    """Draws the telling metrics, a dot and a 95 % interval for every row, those in `models` filled;
    False without any.
    """
    pairs = telling(results, models)
    if not pairs:
        return False
    drawn = [result for result in results if (result.metric, result.protocol) in pairs]
    rows = list(dict.fromkeys(result.row for result in drawn))[::-1]
    with figure(path, 2.0 + 1.9 * len(pairs), 0.65 + 0.24 * len(rows)) as canvas:
        panels = canvas.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
        for panel, (name, protocol) in zip(panels, pairs):
            for result in (
                r
                for r in results
                if (r.metric, r.protocol) == (name, protocol) and math.isfinite(r.mean)
            ):
                _dot(panel, rows.index(result.row), result, result.row in models)
            panel.set_title(_panel_title(name, protocol))
            if name == "fid":
                panel.set_xscale(
                    "symlog", linthresh=1
                )  # the mean picture is a hundred times as far away as the others
        panels[0].set_yticks(range(len(rows)), [row_title(row) for row in rows])
        panels[0].set_ylim(-0.6, len(rows) - 0.4)
    return True


def _panel_title(name: str, protocol: str) -> str:
    return textwrap.fill(
        f"{metric(name).title}, {measured_by(protocol)}" if protocol else metric(name).title, 26
    )


def _dot(panel, height: int, result: Result, is_model: bool) -> None:
    """One row: filled for a model, hollow for what knows the truth or nothing."""
    colour = MODEL if is_model else TRUTH if result.row in _TRUTHS else CONTROL
    if math.isfinite(result.low):
        panel.hlines(height, result.low, result.high, color=colour, linewidth=1.6)
    face, size = (colour, 6) if is_model else ("white", 4.5)
    panel.plot(result.mean, height, "o", color=colour, markerfacecolor=face, markersize=size)


def draw_curves(path: Path, curves: dict[str, list[tuple[float, float]]], title: str) -> bool:
    """Draws every curve of a history in a panel of its own, those of the parts of 1..T in one, the
    palest of the least noise; False when there is none.
    """
    groups: dict[str, list[list[tuple[float, float]]]] = {}
    for name, curve in curves.items():
        if name != "processes":
            title_of = "kl by t" if re.fullmatch(r"kl_\d+_of_\d+", name) else name
            groups.setdefault(title_of, []).append(curve)
    if not groups:
        return False
    columns = min(3, len(groups))
    lines = math.ceil(len(groups) / columns)
    with figure(path, 2.3 * columns, 0.3 + 1.4 * lines) as canvas:
        panels = list(canvas.subplots(lines, columns, squeeze=False).flat)
        for panel, (name, drawn), colour in zip(panels, groups.items(), COLOURS * len(groups)):
            for number, curve in enumerate(drawn, start=1):
                panel.plot(*zip(*curve), color=colour, linewidth=1.2, alpha=number / len(drawn))
            panel.set_title(name.replace("_", " "))
        for panel in panels[len(groups) :]:
            panel.remove()
        canvas.suptitle(title, x=0.01, ha="left", fontsize=9)
        canvas.supxlabel("step", fontsize=8)
    return True


def draw_examples(path: Path, folder: Path, examples: dict, limit: int = 3) -> bool:
    """Draws the first examples side by side, a column each: spectrograms with onsets, or pictures
    with captions.
    """
    if examples["task"] == "dance":
        columns = [
            (clip.get("genre") or clip["id"], clip["sounds"], "spectrogram")
            for clip in examples["clips"][:limit]
        ]
    else:
        columns = [
            (item["caption"], item["images"], "image") for item in examples["items"][: 2 * limit]
        ]
    if not columns:
        return False
    rows = list(dict.fromkeys(entry["row"] for _, entries, _ in columns for entry in entries))
    wide = examples["task"] == "dance"
    with figure(
        path,
        (2.4 if wide else 1.15) * len(columns) + 1.2,
        (0.95 if wide else 1.15) * len(rows) + 0.6,
        256,
    ) as canvas:
        panels = canvas.subplots(len(rows), len(columns), squeeze=False)
        for column, (title, entries, key) in enumerate(columns):
            panels[0, column].set_title(_short(title), fontsize=7)
            shown = {entry["row"]: entry[key] for entry in entries}
            for line, row in enumerate(rows):
                _picture(panels[line, column], folder / shown[row] if row in shown else None)
        for line, row in enumerate(rows):
            panels[line, 0].set_ylabel(
                row_title(row).replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=7
            )
    return True


def _picture(panel, path: Path | None) -> None:
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)
    if path is not None:
        panel.imshow(Image.open(path).convert("RGB"), aspect="equal")


def _short(text: str) -> str:
    """A title above a small panel: up to five lines of it."""
    return textwrap.fill(str(text), 18, max_lines=5, placeholder=" …")


def draw_sweep(
    path: Path,
    title: str,
    series: dict[str, list[tuple[float, Result]]],
    columns: list[tuple[str, str]],
) -> None:
    """Draws figures against a setting: a panel for each of `columns`, a line with intervals for
    each of `series`.
    """
    with figure(path, 2.6 * len(columns), 2.2) as canvas:
        panels = canvas.subplots(1, len(columns), squeeze=False)[0]
        for panel, column in zip(panels, columns):
            for (name, points), colour in zip(series.items(), COLOURS * len(series)):
                found = sorted(
                    (x, r)
                    for x, r in points
                    if (r.metric, r.protocol) == column and math.isfinite(r.mean)
                )
                if found:
                    _line(panel, found, name, colour)
            panel.set_title(_panel_title(*column))
            panel.set_xlabel(title)
        _legend(canvas, panels[0])


def _line(panel, points: list[tuple[float, Result]], name: str, colour: str) -> None:
    x, means = [x for x, _ in points], [r.mean for _, r in points]
    low = [r.mean - r.std if math.isfinite(r.std) else r.mean for _, r in points]
    high = [r.mean + r.std if math.isfinite(r.std) else r.mean for _, r in points]
    panel.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.plot(x, means, "o-", color=colour, markersize=3.5, linewidth=1.2, label=name)


def _legend(canvas: Figure, panel) -> None:
    handles, labels = panel.get_legend_handles_labels()
    if len(labels) > 1:
        canvas.legend(handles, labels, loc="outside lower center", ncols=3, edgecolor=GRID)
