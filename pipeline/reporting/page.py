"""index.html: one self-contained page of players, pictures, tables and curves, for the file system
and for phones.
"""

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pipeline.reporting.glossary import row_title
from pipeline.reporting.report import GUIDED, LADDER, Section
from pipeline.reporting.tables import cell, heading, legend, line_counts
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4a": "audio/mp4",
    ".wav": "audio/wav",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}


def environment() -> Environment:
    """The templates of this package: escaping on, undefined names an error."""
    loader = PackageLoader("pipeline.reporting", "templates")
    templates = Environment(
        loader=loader, autoescape=select_autoescape(default=True), undefined=StrictUndefined
    )
    templates.globals.update(
        row_title=row_title, cell=cell, heading=heading, legend=legend, line_counts=line_counts
    )
    templates.globals["inline"] = lambda name: Markup(loader.get_source(templates, name)[0])
    templates.trim_blocks = templates.lstrip_blocks = True
    return templates


def data_uri(path: Path) -> str:
    """A file as a data URI; raises UserError when it is missing or of a kind that pages do not
    show.
    """
    kind = MEDIA_TYPES.get(path.suffix.lower())
    if kind is None:
        raise UserError(
            f"{path} cannot be shown on a page: it is none of {', '.join(MEDIA_TYPES)}."
        )
    try:
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; run `cdcd evaluate` for its data set again."
        ) from None


def write_page(sections: list[Section], reports: Path) -> None:
    """Writes reports/index.html; the figures must have been drawn before."""
    template = environment().get_template("index.html.j2")

    def drawing(name: str) -> str | None:
        path = reports / "figures" / name
        return data_uri(path) if path.exists() else None

    with atomic(reports / "index.html") as temporary:
        temporary.write_text(
            template.render(
                sections=sections,
                data_uri=data_uri,
                drawing=drawing,
                ladder_told=LADDER,
                guided_told=GUIDED,
            )
        )
