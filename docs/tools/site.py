"""What mkdocs does beside reading docs/*.md: pages written from the code, and links to files of the
checkout that are no pages.
"""

import re
from pathlib import Path

from commands_page import commands_page  # mkdocs has this folder on its path while it loads hooks
from metrics_page import metrics_tables
from mkdocs.structure.files import File
from notebook_page import notebook_page
from settings_page import settings_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"../reports/README.md": "report/README.md", "tour.ipynb": "tour.md"}
METRICS = "<!-- the tables of metrics -->"
PYTHON = """# Python

`import cdcd` costs nothing: each name is brought in when it is first used.
[use.md](../use.md#python) shows them at work.

::: cdcd.finding.load
::: cdcd.scoring.score
::: pipeline.generation.music.MusicModel
::: pipeline.generation.pictures.PictureModel
::: pipeline.generation.results.Music
::: pipeline.generation.results.Pictures
::: pipeline.generation.dances.PoseSource
::: pipeline.scoring.scores.Scores
::: pipeline.metrics.results.Result
::: pipeline.metrics.beats.beat_scores
"""


def on_files(files, config):
    """The files of the site: those of docs/, the pages made of code, and the last report."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/python.md": PYTHON,
        "tour.md": notebook_page(ROOT / "docs" / "tour.ipynb"),
        "report/README.md": (ROOT / "reports" / "README.md").read_text(),
        "report/tables/published.md": (ROOT / "reports" / "tables" / "published.md").read_text(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for picture in sorted((ROOT / "reports" / "figures").glob("*.png")):
        name = f"report/figures/{picture.name}"
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    """The page with the tables of the glossary where they belong; a link to a file of the checkout
    that is no page becomes its name.
    """
    markdown = markdown.replace(METRICS, metrics_tables() if METRICS in markdown else "")
    for file, its_page in PAGES.items():
        markdown = markdown.replace(f"]({file}", f"]({its_page}")
    if page.file.src_uri.startswith("report/"):
        return re.sub(
            r"!?\[([^]]*)\]\((?!figures/|tables/published|http|#)[^)]*\)", r"\1", markdown
        )
    if page.file.src_uri.startswith("reference/"):
        return markdown
    return re.sub(r"\[([^]]*)\]\(\.\./[^)]*\)", r"\1", markdown)
