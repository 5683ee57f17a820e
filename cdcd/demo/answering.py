"""One sentence for whatever cannot be used, and a line for how far the work is."""

import sys
import traceback
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import TypeVar

from cdcd.demo.making import Made
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import is_full
from pipeline.runtime.progress import Listener, heard_by

T = TypeVar("T")


def answer(make: Callable[..., T], asked: Mapping[str, object], listener: Listener) -> T | str:
    """What `make` makes of what was asked, its progress told to `listener`; or one sentence that
    says why not, with files called as the user calls them.
    """
    try:
        with heard_by(listener):
            return make(**asked)
    except UserError as mistake:
        sentence = str(mistake)
        for value in asked.values():
            if isinstance(value, str) and Path(value).is_absolute():
                sentence = sentence.replace(value, Path(value).name)
        return sentence
    except Exception as error:  # a fault of ours must not end the page
        traceback.print_exc(file=sys.stderr)
        if is_full(error):
            return "The disk of the machine where the demo runs is full; free some space there."
        return (
            f"That went wrong and is not your mistake ({type(error).__name__}); the terminal where"
            " the demo runs says more."
        )


def sentence(text: str, kind: str = "mistake") -> str:
    """A sentence as HTML, of the `kind` mistake or done; what stands between backticks is code."""
    parts = escape(text).split("`")
    marked = [f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)]
    return f'<p class="said {kind}" role="status">{"".join(marked)}</p>'


def done(made: Made) -> str:
    """A sentence, as HTML, on how long it took, where most of the time went, and what the ticks at
    a spectrogram are.
    """
    seconds = made.timings.seconds
    most = sorted(seconds, key=lambda name: -seconds[name])[:3]
    parts = ", ".join(f"{name} {seconds[name]:.1f} s" for name in most)
    return sentence(f"Made in {sum(seconds.values()):.1f} s ({parts}). {made.note}".strip(), "done")
