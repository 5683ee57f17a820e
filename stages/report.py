"""Stage `report`: tables, figures and the page, over all data sets."""

from pipeline.reporting.page import write_page
from pipeline.reporting.report import read_section, write_tables_and_figures
from stages.config import read_params
from stages.paths import REPORTS


def report() -> None:
    """Turn the evaluations into tables, figures and a page.

    In: reports/metrics and reports/examples of the data sets that params.yaml lists, and
    reports/mos where there was a listening test. Out: reports/README.md, reports/tables,
    reports/figures, and reports/index.html, which holds all its media and opens from the file
    system.

    Example: cdcd report
    """
    names = read_params().datasets
    sections = [
        read_section(name, REPORTS / "metrics", REPORTS / "examples", REPORTS / "mos")
        for name in names
    ]
    write_tables_and_figures(sections, REPORTS)
    write_page(sections, REPORTS)
    print(f"Read {REPORTS / 'README.md'}; open {REPORTS / 'index.html'} in a browser.")
