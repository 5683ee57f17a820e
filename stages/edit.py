"""Tool `edit`: a part of some music under another dance, of a picture for other words or another
class; the rest stays.
"""

from math import isfinite, nan
from pathlib import Path
from typing import Annotated, Any

import typer

from cdcd.finding import Task
from pipeline.generation.dances import MOST_SECONDS, PoseSource
from pipeline.generation.music import Drawing, MusicModel
from pipeline.generation.results import Music, Pictures
from pipeline.generation.timings import Timings
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.memory import keep_memory
from stages import options
from stages.making import Job, asked_task, opened_for, sound_endings


def edit(
    file: Annotated[
        Path,
        typer.Argument(help="Music (a film with sound, too) or a picture.", show_default=False),
    ],
    dance: Annotated[
        Path | None,
        typer.Option(help="For music: the dance that the new part follows.", show_default=False),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="For a picture: what the new part shows.", show_default=False),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="For a picture: the class of the new part.", show_default=False),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(help="START:END in seconds: what is made anew.", show_default="everything"),
    ] = None,
    rectangle: Annotated[
        str | None,
        typer.Option(
            help="LEFT,TOP,WIDTH,HEIGHT in the picture's pixels: what is made anew.",
            show_default="everything",
        ),
    ] = None,
    margins: Annotated[
        str | None,
        typer.Option(
            help="LEFT,TOP,RIGHT,BOTTOM pixels to paint around the picture, which is shrunk.",
            show_default=False,
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="Share of the part's tokens that is made anew: a variation.")
    ] = 1.0,
    model: options.ModelName = None,
    rev: options.Revision = None,
    out: options.Out = Path("edited"),
    seed: options.Seed = 0,
    variants: options.Variants = 1,
    steps: options.Steps = None,
    truncation: options.Truncation = None,
    temperature: options.Temperature = None,
    guidance: options.Guidance = None,
    order: options.Order = None,
    sound_only: options.SoundOnly = False,
    format: options.Format = "wav",
    clean: options.Clean = False,
    pose: options.Pose = "blazepose",
    poses: options.Poses = None,
    weights: options.Weights = None,
    condition: options.Condition = "both",
    genre: options.Genre = None,
    longest: options.Longest = MOST_SECONDS,
    force: options.Force = False,
    verbose: options.Verbose = False,
) -> None:
    """Make a part of some music or of a picture anew, under another dance, caption or class.

    In: FILE and --dance, --text or --label. Out: OUT/NAME.mp4 (the dance under the music) and the
    music alone, or OUT/NAME.png. Outside --span or --rectangle the codes of FILE stay as they are;
    it is heard or seen through the model's codec. Where the dance is longer than the music, the
    music goes on to its end.

    Example: cdcd edit song.wav --dance krump.mp4 --span 2:4, or cdcd edit bird.png --text "a red
    bird" --rectangle 0,0,64,64, or cdcd edit bird.png --text "a bird in a tree" --margins 8,8,8,8
    """
    keep_memory()
    choose_products()
    task = asked_task(dance, text, label)
    part = the_part(task, span, rectangle, margins)
    endings = sound_endings(format, sound_only) if task == "dance" else [".png"]
    job = Job(out, endings, range(seed, seed + variants), force, clean, verbose)
    job.check([file.stem], [file])
    timings = Timings()
    opened = opened_for(task, model, rev, timings)
    drawing = Drawing(
        steps=steps, truncation=truncation, temperature=temperature, guidance=guidance, order=order
    )
    part |= {"strength": strength, "seeds": job.seeds, **drawing}

    def make(edited: Path | str) -> Music | Pictures:
        if isinstance(opened, MusicModel):
            assert dance is not None, "the task is dance"
            source = PoseSource(pose, weights, poses)
            told = {"condition": condition, "genre": genre, "longest_s": longest}
            return opened.edit(edited, dance=dance, pose=source, **told, **part)
        return opened.edit(edited, text=text, label=label, **part)

    job.make({file.stem: file}, make, timings)


def the_part(
    task: Task, span: str | None, rectangle: str | None, margins: str | None
) -> dict[str, Any]:
    """What is made anew, by the names that the models give it; raises UserError for what is not of
    this task, and for what is not the right count of numbers.
    """
    ways = {"span": (span, ":", 2), "rectangle": (rectangle, ",", 4), "margins": (margins, ",", 4)}
    mine = ("span",) if task == "dance" else ("rectangle", "margins")
    part = {}
    for name, (value, mark, count) in ways.items():
        if value is None:
            continue
        if name not in mine:
            kind = "music" if task == "dance" else "pictures"
            raise UserError(f"--{name} is not for {kind}, which is edited by --{mine[0]}.")
        numbers = tuple(map(number, value.split(mark)))
        if len(numbers) != count or not all(map(isfinite, numbers)):
            raise UserError(f"--{name} {value} is not {count} numbers with {mark!r} between them.")
        part[name] = tuple(map(round, numbers)) if name == "margins" else numbers
    return part


def number(text: str) -> float:
    """The number that a text is; NaN for one that is none."""
    try:
        return float(text)
    except ValueError:
        return nan
