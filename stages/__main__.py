"""The command line `cdcd` (the same as `python -m stages`): every stage, and the tools around them."""

import errno
import sys

import typer

from pipeline.runtime import Mistake
from stages import weights
from stages.codec import codec
from stages.compare import compare
from stages.download import download
from stages.evaluate import evaluate
from stages.extract import extract
from stages.generate import generate
from stages.judge import judge
from stages.listen import listen
from stages.mos import mos
from stages.negatives import negatives
from stages.report import report
from stages.sample import sample
from stages.tokenize import tokenize
from stages.train import train

app = typer.Typer(
    help="Discrete contrastive diffusion: music for dances, pictures for captions and classes. "
    "`dvc repro` runs the stages in their order; each command below runs one of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for stage in (download, extract, codec, tokenize, negatives, judge, train, sample, evaluate, report):
    app.command(rich_help_panel="Stages")(stage)
for tool in (generate, compare, listen, mos):
    app.command(rich_help_panel="Tools")(tool)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Runs the command line; a Mistake ends with its sentence and exit code 1, a wrong command with 2."""
    try:
        app()
    except Mistake as mistake:
        sys.exit(f"Error: {mistake}")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or "while writing"
        sys.exit(f"Error: no space left on the disk ({where}); free some, then run the command again.")


if __name__ == "__main__":
    main()
