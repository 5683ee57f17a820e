"""A comparison of experiments written out: Markdown with controls and published rows, CSV, and a
figure.
"""

from collections import Counter
from pathlib import Path

from pipeline.metrics.results import Result, write_table
from pipeline.reporting.experiments import Run, comparable, merge
from pipeline.reporting.figures import draw_controls, draw_sweep, telling
from pipeline.reporting.luck import called
from pipeline.reporting.published import published
from pipeline.reporting.tables import blocks, legend, markdown
from pipeline.runtime.files import atomic
from pipeline.study.luck import Luck

SPREAD = (
    "± is over the sampling seeds of one training, so a difference between rows holds the luck of a"
    " training too; runs that differ in the training seed alone are averaged, and ± is then over"
    " trainings."
)


def write_comparison(
    out: Path,
    title: str,
    dataset: str,
    keys: list[str],
    runs: list[Run],
    table: str | None,
    luck: dict[str, Luck] | None = None,
) -> list[Run]:
    """Writes <out>.md, <out>.csv and <out>.png; returns the runs left out because they differ in
    other settings as well.

    `table` names the published blocks to append, such as "Table 7", where they are of this data
    set. `luck` is that of training, by metric: below it no difference is called one.
    """
    chosen, left_out = comparable(runs)
    results, labels = merge(chosen, keys)
    names = {result.row: result.row for result in results}
    parts = [
        f"# {title}\n",
        f"Data set {dataset}; compared: {', '.join(keys)}; all else is equal. {SPREAD}",
    ]
    parts += [f"Runs: {', '.join(run.name for run in chosen)}.", ""]
    if left_out:
        parts.append(
            "Left out, for they differ in other settings too:"
            f" {', '.join(run.name for run in left_out)}.\n"
        )
    figure = draw_comparison(out.with_suffix(".png"), keys, chosen, results, labels)
    parts += [f"![{title}]({out.with_suffix('.png').name})\n"] if figure else []
    counts = Counter(run.values for run in chosen)
    trainings = {labels[values]: count for values, count in counts.items()}
    parts.append(called(results, trainings, luck or {}, dataset))
    for block in blocks(results):
        parts += [f"## {block.title}\n", markdown(block, names), legend(block) + "\n"]
    known = [block for block in published() if table and block.holds(table)]
    here = [block.markdown() for block in known if block.dataset == dataset]
    parts += here
    if known and not here:
        apart = (
            "was measured on other data and stands apart, in [published.md](../tables/published.md)"
        )
        parts.append(f"The published {table} {apart}.\n")
    with atomic(out.with_suffix(".md")) as temporary:
        temporary.write_text("\n".join(parts))
    with atomic(out.with_suffix(".csv")) as temporary:
        write_table(temporary, Result, results)
    return left_out


def draw_comparison(
    path: Path, keys: list[str], runs: list[Run], results: list[Result], labels: dict[tuple, str]
) -> bool:
    """Draws curves over the first compared setting where it takes several numbers, else a dot for
    every row.
    """
    numbers = {
        values[0]
        for values in labels
        if isinstance(values[0], (int, float)) and not isinstance(values[0], bool)
    }
    pairs = telling(results, set(labels.values()))
    if len(numbers) < 2 or len(numbers) < len({values[0] for values in labels}) or not pairs:
        return draw_controls(path, results, set(labels.values()))
    series: dict[str, list[tuple[float, Result]]] = {}
    for values, row in labels.items():
        rest = [str(value) for value in values[1:] if value != values[0]]
        for suffix, kind in (("", "model"), (", shuffled conditions", "shuffled conditions")):
            line = series.setdefault(", ".join([*rest, kind]), [])
            line += [(float(values[0]), result) for result in results if result.row == row + suffix]
    draw_sweep(path, keys[0].rsplit(".", 1)[-1].replace("_", " "), series, pairs)
    return True
