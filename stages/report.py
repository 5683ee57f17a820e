"""Stage `report`: tables, figures and the page, over all data sets."""

from pipeline.reporting.page import write_page
from pipeline.reporting.report import read_sections, write_tables_and_figures
from stages.config import read_params
from stages.paths import REPORTS


def report() -> None:
    """Turn the evaluations into tables, figures and a page.

    In: reports/metrics and reports/examples, reports/mos where there was a listening test, and the
    rows of reports/study, which tell the luck of training. The data sets that params.yaml lists
    come first; those evaluated before keep their tables and figures, marked as not part of this
    run. Out: reports/README.md, reports/tables, reports/figures, and reports/index.html, which
    holds all its media and opens from the file system.

    Example: cdcd report
    """
    sections = read_sections(
        read_params().datasets,
        REPORTS / "metrics",
        REPORTS / "examples",
        REPORTS / "mos",
        REPORTS / "study",
    )
    write_tables_and_figures(sections, REPORTS)
    write_page([section for section in sections if section.listed], REPORTS)
    print(f"Read {REPORTS / 'README.md'}; open {REPORTS / 'index.html'} in a browser.")
