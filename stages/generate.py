"""Tool `generate`: music for somebody's own dances, pictures for their words or for classes."""

import re
from pathlib import Path
from typing import Annotated

import typer

from pipeline.datasets.folder import EXTENSIONS
from pipeline.generation.dances import MOST_SECONDS, PoseSource
from pipeline.generation.music import Drawing, MusicModel
from pipeline.generation.results import Music, Pictures
from pipeline.generation.timings import Timings
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.memory import keep_memory
from stages import options
from stages.making import Job, asked_task, opened_for, sound_endings


def generate(
    videos: Annotated[
        list[Path] | None,
        typer.Argument(help="Dance videos, or folders of them.", show_default=False),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="A caption, for a picture of it; may be repeated.", show_default=False),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="A class, by name or number, for a picture of it; may be repeated.",
            show_default=False,
        ),
    ] = None,
    model: options.ModelName = None,
    rev: options.Revision = None,
    out: options.Out = Path("generated"),
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
    """Make music for your own dances, or pictures for words or classes.

    In: videos of any length from half a second on, at any frame rate, portrait or landscape, with
    sound or without (it is not listened to); or --text, or --label. Out: OUT/NAME.mp4, the dance
    under its new music, and the music alone, exactly as long; or OUT/NAME.png. Of several variants
    each has its seed in its name. Your own files are never written over, and other files that are
    there already only with --force. What cannot be used is told, and the rest is done.

    Example: cdcd generate holiday.mp4 dances/ --variants 3, or cdcd generate --text "a small red
    circle left of a large blue square", or cdcd generate --label 7
    """
    keep_memory()
    choose_products()
    task = asked_task(videos, text, label)
    endings = sound_endings(format, sound_only) if task == "dance" else [".png"]
    job = Job(out, endings, range(seed, seed + variants), force, clean, verbose)
    named = named_videos(videos) if videos else named_words(text or label or [])
    job.check(list(named), [file for file in named.values() if isinstance(file, Path)])
    timings = Timings()
    opened = opened_for(task, model, rev, timings)
    drawing = Drawing(
        steps=steps, truncation=truncation, temperature=temperature, guidance=guidance, order=order
    )

    if isinstance(opened, MusicModel) and condition != "visual":
        opened.check_pose(PoseSource(pose, weights, poses))

    def make(wanted: Path | str) -> Music | Pictures:
        if isinstance(opened, MusicModel):
            source = PoseSource(pose, weights, poses)
            told = {"condition": condition, "genre": genre, "longest_s": longest}
            return opened.generate(wanted, seeds=job.seeds, pose=source, **told, **drawing)
        said = {"text" if task == "caption" else "label": str(wanted)}
        return opened.generate(seeds=job.seeds, **said, **drawing)

    job.make(named, make, timings)


def named_videos(videos: list[Path]) -> dict[str, Path]:
    """The videos, those in folders included, by the names that their results get; raises UserError
    where a folder holds none, or two would get one name.
    """
    named: dict[str, Path] = {}
    for given in videos:
        if given.is_dir():
            files = sorted(file for file in given.rglob("*") if file.suffix.lower() in EXTENSIONS)
            if not files:
                raise UserError(f"{given} is a folder without videos ({', '.join(EXTENSIONS)}).")
            names = ["_".join(file.relative_to(given).with_suffix("").parts) for file in files]
        else:
            files, names = [given], [given.stem]
        for name, file in zip(names, files):
            if name in named:
                raise UserError(
                    f"{named[name]} and {file} would both become {name}; rename one of them, or"
                    " give them one after the other."
                )
            named[name] = file
    return named


def named_words(words: list[str]) -> dict[str, str]:
    """Captions or classes by the names that their results get: letters and digits, at most 60."""
    named = {}
    for said in words:
        name = re.sub(r"[^\w]+", "_", said).strip("_")[:60].rstrip("_") or "nothing"
        while name in named:
            name += "_"
        named[name] = said
    return named
