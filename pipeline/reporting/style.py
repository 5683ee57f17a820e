"""The one look of all figures: small, quiet, readable in print and by colour-blind eyes (Okabe and
Ito's palette).
"""

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from pipeline.runtime.files import atomic

INK, PAPER, GRID = "#1f2328", "#ffffff", "#d8dee4"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
MODEL, CONTROL, TRUTH = COLOURS[0], "#8c959f", COLOURS[2]
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "figure.dpi": 110,
}


@contextmanager
def figure(
    path: Path,
    width: float,
    height: float,
    colours: int | None = 64,
    layout: Literal["constrained"] | None = "constrained",
):
    """A new figure of `width` x `height` inches, written to `path` when the block ends: a png of so
    many colours, or all.
    """
    with matplotlib.rc_context(_RC):
        canvas = Figure(figsize=(width, height), layout=layout)
        yield canvas
        with atomic(Path(path)) as temporary:
            canvas.savefig(temporary, format="png", metadata={"Software": None})
            image = Image.open(temporary).convert("RGB")
            if colours is not None:
                image = image.quantize(colours, dither=Image.Dither.NONE)
            image.save(temporary, format="png", optimize=True)
