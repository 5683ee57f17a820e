"""Tool `score`: anybody's outputs under the protocols, controls and intervals of an evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import torch
import typer

from pipeline.metrics.dance_rows import EvaluateDance
from pipeline.metrics.genre import load_gallery
from pipeline.metrics.images import ImageData
from pipeline.metrics.judges import load_judge
from pipeline.metrics.results import Evaluation
from pipeline.reporting.glossary import ROWS
from pipeline.reporting.tables import blocks, markdown
from pipeline.runtime.errors import UserError
from pipeline.scoring import music, pictures
from pipeline.scoring.dances import NamedRows, bench_of_data, bench_of_folders, read_folders
from pipeline.scoring.outputs import (
    PICTURES,
    SOUNDS,
    Findings,
    Outputs,
    match,
    readable,
    row_names,
    shared,
)
from pipeline.scoring.page import check_out, write_score
from pipeline.scoring.sounds import Sounds
from pipeline.storage.store import Store
from stages.config import CaptionToImage, ClassToImage, DanceToMusic, read_dataset
from stages.content import checked, open_content
from stages.fit import pose_reader
from stages.paths import Paths


@dataclass(frozen=True)
class Asked:
    """The folders that are scored, that of the command first."""

    folders: list[Path]
    findings: Findings

    def rows(
        self,
        endings: tuple[str, ...],
        known: list[str],
        check: Callable[[Path], str | None],
    ) -> list[Outputs]:
        """The outputs of each folder for the ids that all of them have."""
        names = row_names(self.folders, ROWS)
        found = [
            readable(match(folder, name, endings, known, self.findings), check, self.findings)
            for folder, name in zip(self.folders, names, strict=True)
        ]
        return shared(found, self.findings)


def score(
    outputs: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Outputs, called as the clips or pictures they were made for (docs/score.md).",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="A data set that was built here, whose test split they were made for."),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="A folder of the true music: sound files or videos.")
    ] = None,
    dances: Annotated[Path | None, typer.Option(help="A folder of the dance videos.")] = None,
    songs: Annotated[
        Path | None,
        typer.Option(
            help="A table with the columns id and song: intervals are over songs. Default: each"
            " clip is a song."
        ),
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another folder, side by side; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the page.")] = Path("scores"),
    level: Annotated[
        bool,
        typer.Option(
            "--level", help="Bring every sound to the peak of the true music before it is measured."
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(help="Length that is measured. Default: the shortest reference.", min=0.5),
    ] = None,
    rate: Annotated[
        int, typer.Option(help="Sample rate at which --references are measured.", min=8000)
    ] = 22_050,
    pose: Annotated[str, typer.Option(help="Who reads the dancers of --dances.")] = "blazepose",
    weights: Annotated[str | None, typer.Option(help="Weights of that reader.")] = None,
    draws: Annotated[int, typer.Option(help="Bootstrap draws, without --data.", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="The seed of the draws, without --data.")] = 0,
) -> None:
    """Score anybody's music or pictures as an evaluation scores a model's.

    In: a folder of files called as the clips or pictures they were made for (NAME.wav, .mp4, .png;
    NAME_seed0, NAME_seed1, ... for several of each), and what they are laid against: --data, or
    --references, --dances, or both. No model and no codec is asked. Out: OUT/README.md, index.html,
    table.csv, clips.csv, metrics.json, remarks.json. What cannot be used is told, and the rest is
    done.

    Example: cdcd score theirs --references true_music --dances videos --against ours
    """
    check_out(out)
    findings = Findings()
    asked = Asked([outputs, *(against or [])], findings)
    if data is not None:
        if references or dances or songs or seconds:
            raise UserError(
                "--data brings its own references, songs and length; leave out --references,"
                " --dances, --songs and --seconds."
            )
        evaluation, about = _of_data(data, asked, level)
    else:
        settings = EvaluateDance(bootstrap_draws=draws, seed=seed, copied_below=0.0, examples=0)
        folders = read_folders(references, dances, songs)
        length = seconds or folders.shortest()
        sounds = Sounds(rate, length, 0.95 if level else None)
        rows = asked.rows(SOUNDS, folders.ids, sounds.check)
        poses = partial(pose_reader, pose, weights)
        ids = list(rows[0].files)
        bench = bench_of_folders(folders, ids, sounds, settings, poses, findings)
        rows = [row.only(bench.clips.ids) for row in rows]
        evaluation = music.score_music(bench, rows)
        against_what = [
            f"{kind} in {at}" for kind, at in (("true music", references), ("dances", dances)) if at
        ]
        about = _about(rows, " and ".join(against_what)) | _heard(sounds, "mfcc")
    written = write_score(evaluation, about, [*findings.notes, *findings.mistakes], out)
    for block in blocks(written.results):
        titles = {row: row for row, _ in block.rows if row not in ROWS}
        print(markdown(block, titles))
    print(f"The tables are in {out}, the page is {out / 'index.html'}.")
    if findings.mistakes:
        raise UserError(f"Some files could not be used ({len(findings.mistakes)} reasons, above).")


def _about(rows: list[Outputs], against: str) -> dict[str, str]:
    return {
        "Scored": ", ".join(f"{row.row} ({row.folder})" for row in rows),
        "Against": against,
        "Items": str(len(rows[0].files)),
        "Outputs of each": ", ".join(str(len(row.sets)) for row in rows),
    }


def _heard(sounds: Sounds, embedding: str) -> dict[str, str]:
    peak = "as they are" if sounds.level is None else f"brought to {sounds.level:g}"
    cleaned = ", after spectral gating" if sounds.noise_reduce else ""
    return {
        "Heard": f"mono, {sounds.sample_rate} Hz, {sounds.seconds:g} s, peaks {peak}{cleaned}",
        "Embedding": embedding,
    }


def _of_data(name: str, asked: Asked, level: bool) -> tuple[Evaluation, dict[str, str]]:
    """The evaluation of outputs for the test split of a data set, and what it rests on."""
    settings, paths = read_dataset(name), Paths(name)
    for needed, stage in ((paths.raw, "download"), (paths.judge, "judge")):
        checked(needed, stage, name)
    if isinstance(settings, DanceToMusic):
        return _music(settings, paths, asked, level)
    return _pictures(settings, paths, asked)


def _music(
    settings: DanceToMusic, paths: Paths, asked: Asked, level: bool
) -> tuple[Evaluation, dict[str, str]]:
    checked(paths.conditions, "extract", paths.dataset)
    clips = open_content(settings, paths.manifest(settings.media_root))
    conditions = Store(paths.conditions, "conditions")
    peak = settings.codec.peak if level else None
    sounds = Sounds(clips.sample_rate, clips.seconds, peak, settings.evaluate.noise_reduce)
    usable = set(conditions.ids)
    split = "test" if clips.manifest.of("test") else "infer"
    numbers = clips.manifest.of(split)
    known = [name for n in numbers if (name := clips.manifest.clips[n].id) in usable]
    rows = asked.rows(SOUNDS, known, sounds.check)
    bench = bench_of_data(
        clips,
        conditions,
        Store(paths.tokens, "tokens") if paths.tokens.exists() else None,
        load_gallery(paths.judge),
        settings.evaluate,
        list(rows[0].files),
        peak,
    )
    evaluation = music.score_music(bench, rows)
    about = _about(rows, f"the {split} split of {paths.dataset}, {len(known)} clips")
    return evaluation, about | _heard(sounds, bench.gallery.name)


def _pictures(
    settings: CaptionToImage | ClassToImage, paths: Paths, asked: Asked
) -> tuple[Evaluation, dict[str, str]]:
    content = open_content(settings, paths.manifest(settings.media_root))
    known = [content.manifest.clips[number].id for number in content.manifest.of("test")]
    rows = asked.rows(
        PICTURES,
        known,
        lambda file: pictures.check_picture(file, content.size),
    )
    samples = cast("Store", NamedRows(list(rows[0].files)))

    def decode(tokens: torch.Tensor) -> torch.Tensor:
        raise AssertionError("outputs come as pictures; no codec is asked")

    judge = load_judge(paths.judge)
    data = ImageData(content, paths.raw, samples, samples, judge, decode)
    evaluation = pictures.score_pictures(data, settings.evaluate, rows)
    about = _about(rows, f"the test split of {paths.dataset}, {len(known)} pictures")
    return evaluation, about | {
        "Seen": f"{content.size} x {content.size} pixels",
        "Judge": judge.features_name,
    }
