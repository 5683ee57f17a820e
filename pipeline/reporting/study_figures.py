"""The curves of the study: quality against adherence, and figures along a number of steps."""

import math
from pathlib import Path

from pipeline.reporting.glossary import metric
from pipeline.reporting.protocols import measured_by
from pipeline.reporting.style import COLOURS, GRID, figure
from pipeline.study.differences import Settings, over_seeds
from pipeline.study.grid import Sweep


def draw_plane(path: Path, settings: Settings, axes: tuple[str, str]) -> bool:
    """Draws every run as a line over its samplings in the plane of quality and adherence, small
    dots for single trainings; False with fewer than two settings.
    """
    runs: dict[str, list[tuple[str, list]]] = {}
    for name, rows in settings.items():
        run, _, sampling = name.partition("/")
        if all(math.isfinite(over_seeds(rows, axis).mean) for axis in axes):
            runs.setdefault(run, []).append((sampling, rows))
    if sum(map(len, runs.values())) < 2:
        return False
    with figure(path, 6.4, 4.2) as canvas:
        panel = canvas.subplots()
        for number, (run, points) in enumerate(runs.items()):
            colour = COLOURS[number % len(COLOURS)]
            marker = "osD^vPX"[number // len(COLOURS) % 7]
            means = [[over_seeds(rows, axis).mean for _, rows in points] for axis in axes]
            order = sorted(range(len(points)), key=lambda place: means[1][place])
            x, y = ([line[place] for place in order] for line in means)
            panel.plot(x, y, f"{marker}-", color=colour, markersize=4, linewidth=1, label=run)
            for _, rows in points:
                each = [[row.value(axis) for row in rows] for axis in axes]
                panel.plot(*each, marker, color=colour, markersize=2, linestyle="", alpha=0.5)
            for place in order if len(points) > 1 else ():
                panel.annotate(
                    points[place][0],
                    (means[0][place], means[1][place]),
                    xytext=(3, -7),
                    textcoords="offset points",
                    fontsize=6,
                )
        panel.set_xlabel(_title(axes[0]))
        panel.set_ylabel(_title(axes[1]))
        handles, labels = panel.get_legend_handles_labels()
        canvas.legend(
            handles, labels, loc="outside right upper", ncols=1, edgecolor=GRID, fontsize=6
        )
    return True


def draw_steps(path: Path, sweep: Sweep, settings: Settings, columns: list[str]) -> bool:
    """Draws a panel for each metric, a line with its spread over training seeds for each line of
    the sweep; False without two points.
    """
    lines = {
        title: [
            (value, settings[name]) for value, name in zip(sweep.values, names) if name in settings
        ]
        for title, names in sweep.lines.items()
    }
    if not columns or max(map(len, lines.values())) < 2:
        return False
    with figure(path, 3.0 * len(columns), 2.6) as canvas:
        panels = canvas.subplots(1, len(columns), squeeze=False)[0]
        for panel, column in zip(panels, columns):
            for (title, points), colour in zip(lines.items(), COLOURS * len(lines)):
                spreads = [over_seeds(rows, column) for _, rows in points]
                bars = [s.deviation if math.isfinite(s.deviation) else 0.0 for s in spreads]
                x, y = [value for value, _ in points], [s.mean for s in spreads]
                panel.errorbar(
                    x, y, bars, fmt="o-", color=colour, markersize=3.5, linewidth=1.2, label=title
                )
            panel.set_title(_title(column))
            panel.set_xlabel(sweep.along)
        handles, labels = panels[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=3, edgecolor=GRID)
    return True


def _title(name: str) -> str:
    figure_name, _, protocol = name.partition("/")
    title = metric(figure_name).title
    return f"{title}, {measured_by(protocol)}" if protocol else title
