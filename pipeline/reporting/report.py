"""The report: reports/README.md with its tables and figures, and the page index.html, from what the
evaluations wrote.

The data sets that are asked for come first; those that were evaluated before are kept, marked as no
part of this run, because their tables and figures would be gone otherwise.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.metrics.results import Result, read_results, write_table
from pipeline.reporting import figures
from pipeline.reporting.facts import facts
from pipeline.reporting.guidance import guidance_table
from pipeline.reporting.listening_results import read_mos
from pipeline.reporting.luck import headlines
from pipeline.reporting.published import published
from pipeline.reporting.tables import Block, blocks, legend, markdown, markdown_table
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, read_json
from pipeline.storage.curves import read_curves
from pipeline.study.luck import read_luck


@dataclass(frozen=True)
class Section:
    """What the report says of one data set."""

    dataset: str
    facts: list[tuple[str, str]]
    results: list[Result]
    blocks: list[Block]
    titles: dict[str, str]
    examples: dict | None
    examples_folder: Path
    curves: dict[str, dict]
    listed: bool = True
    shows: str | None = None
    ladder: dict | None = None
    guidance: tuple[list[str], list[list[str]]] | None = None


def read_sections(
    listed: list[str], metrics: Path, examples: Path, mos: Path, study: Path | None = None
) -> list[Section]:
    """The data sets that are asked for, then the others that were evaluated, by name, as not
    `listed`.
    """
    others = sorted(
        table.parent.name
        for table in metrics.glob("*/table.csv")
        if table.parent.name not in listed
    )
    return [
        replace(read_section(name, metrics, examples, mos, study), listed=name in listed)
        for name in [*listed, *others]
    ]


def read_section(
    dataset: str, metrics: Path, examples: Path, mos: Path, study: Path | None = None
) -> Section:
    """The results, remarks, examples and curves of a data set; raises UserError when it has not
    been evaluated. `study` holds the rows that tell the luck of training.
    """
    if not (metrics / dataset / "table.csv").exists():
        raise UserError(
            f"{metrics / dataset} has no table.csv; run `cdcd evaluate {dataset}` first."
        )
    remarks = read_json(metrics / dataset / "remarks.json")
    results = read_results(metrics / dataset / "table.csv") + read_mos(mos / f"{dataset}.csv")
    folder = examples / dataset
    shown, ladder = (
        read_json(folder / name) if (folder / name).exists() else None
        for name in ("examples.json", "ladder.json")
    )
    curves = {path.stem: read_curves(path) for path in sorted((folder / "curves").glob("*.csv"))}
    contrast = remarks.get("contrast")
    titles = (
        {"model": f"Model, {contrast}", "model_shuffled": f"Model, {contrast}, shuffled conditions"}
        if contrast
        else {}
    )
    told = headlines(results, {} if study is None else read_luck(study, dataset)) + facts(remarks)
    return Section(
        *(dataset, told, results, blocks(results), titles, shown, folder, curves),
        shows=remarks.get("shows"),
        ladder=ladder,
        guidance=None if study is None else guidance_table(study, dataset),
    )


def write_tables_and_figures(sections: list[Section], reports: Path) -> None:
    """Writes reports/README.md, reports/tables and reports/figures; what was there before is
    replaced.
    """
    with atomic(reports / "tables") as tables, atomic(reports / "figures") as drawings:
        tables.mkdir()
        drawings.mkdir()
        parts = [
            _INTRODUCTION,
            *(_describe(section, tables, drawings) for section in sections),
            _costs(sections, tables),
        ]
        (tables / "published.md").write_text(_published_page())
    with atomic(reports / "README.md") as temporary:
        temporary.write_text("\n".join(parts))


_INTRODUCTION = """# Report

Written by `cdcd report` from the evaluations; do not edit. Open [index.html](index.html) in a
browser to hear and see examples.

How to read a table: *mean ± standard deviation over sampling seeds [95 % bootstrap interval over
songs or pictures]*, and in the last column the counts behind it. ↑ more is better, ↓ less is
better. The rows around the model are controls: what the truth scores, what it scores after the
codec, and what something that knows nothing scores. **A figure means something only where the model
stands apart from its own shuffled row.** Tables of different protocols must not be compared with
each other. Published figures are in [tables/published.md](tables/published.md), and below for the
data sets they were measured on.
"""


_NO_EXAMPLES = (
    "Its examples and curves are not in this checkout, so their figures are left out: list it in"
    " `datasets`, then `dvc pull` or `dvc repro` brings them.\n"
)


def _describe(section: Section, tables: Path, drawings: Path) -> str:
    """The README's part on one data set; writes its tables and figures on the way."""
    name = section.dataset
    title = name if section.listed else f"{name} (not part of this run)"
    parts = [f"\n## {title}\n"]
    if section.shows:
        parts.append(f"**{section.shows}**\n")
    if not section.listed and section.examples is None:
        parts.append(_NO_EXAMPLES)
    parts += [*(f"- {words}: {value}" for words, value in section.facts), ""]
    if figures.draw_controls(drawings / f"{name}_controls.png", section.results):
        parts.append(f"![The model of {name} between its controls](figures/{name}_controls.png)\n")
    for block in section.blocks:
        table = markdown(block, section.titles)
        told = f"\n{legend(block)}\n" if legend(block) else ""
        (tables / f"{name}_{block.name}.md").write_text(f"{block.title}\n\n{table}{told}")
        write_table(
            tables / f"{name}_{block.name}.csv",
            Result,
            [cell for _, cells in block.rows for cell in cells.values()],
        )
        parts += [f"### {block.title}\n", table + told]
    for known in published():
        if known.dataset == name:
            parts.append(known.markdown())
    if section.examples and figures.draw_examples(
        drawings / f"{name}_examples.png", section.examples_folder, section.examples
    ):
        parts.append(f"![Examples of {name}](figures/{name}_examples.png)\n")
    parts += _adherence(section, drawings)
    for curve_name, curves in section.curves.items():
        if figures.draw_curves(
            drawings / f"{name}_{curve_name}.png", curves, f"{name}: {curve_name}"
        ):
            parts.append(
                f"![Training curves of the {curve_name} of"
                f" {name}](figures/{name}_{curve_name}.png)\n"
            )
    return "\n".join(parts)


LADDER = (
    "The same conditions and the same noise, under rising guidance: each step's log-probabilities"
    " go so many times the way from those without a condition to those with it. 0 does not know"
    " the condition, 1 is the model as it was trained; above, more of what was asked for is there,"
    " and less of what real data have beside."
)
GUIDED = (
    "What it buys and what it costs, on validation: vanilla, in the steps and order of the study's"
    " grid and not always those of the model above, mean ± standard deviation over"
    " training seeds."
)


def _adherence(section: Section, drawings: Path) -> list[str]:
    """What a stronger adherence does: the ladder and the study's figures beside it."""
    picture = f"{section.dataset}_ladder.png"
    parts = []
    if section.ladder and figures.draw_examples(
        drawings / picture, section.examples_folder, section.ladder
    ):
        alt = f"The same conditions of {section.dataset} under rising guidance"
        parts += [f"{LADDER}\n", f"![{alt}](figures/{picture})\n"]
    if section.guidance:
        told = (
            f"{GUIDED} All settings: [study](study/README.md#{section.dataset}); what they show,"
            " and which to use: [results](../docs/results.md).\n"
        )
        parts += [told, markdown_table(*section.guidance)]
    return ["### What a stronger adherence does\n", *parts] if parts else []


def _costs(sections: list[Section], tables: Path) -> str:
    """What every model cost, in the shape of the paper's Table 8; times are left out, for they
    depend on the machine.
    """
    columns = ["parameters", "training steps", "batch", "diffusion steps T", "sampling steps"]
    known = {section.dataset: dict(section.facts) for section in sections}
    table = markdown_table(
        ["", *columns],
        [[name, *(facts.get(c, "–") for c in columns)] for name, facts in known.items()],
    )
    (tables / "costs.md").write_text(table)
    return f"\n## Cost: the shape of the paper's Table 8\n\n{table}"


def _published_page() -> str:
    """All published blocks, one after the other."""
    head = (
        "# Published figures\n\nFrom the literature, not measured here; each table has its own"
        " protocol.\n"
    )
    return "\n".join([head, *(block.markdown() for block in published())])
