"""Anybody's outputs under the protocols, controls and intervals of an evaluation: one function over
`pipeline.scoring`, for the command and for Python.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import torch

from pipeline.features.pose_reader import PoseReader
from pipeline.metrics.dance_rows import EvaluateDance
from pipeline.metrics.genre import load_gallery
from pipeline.metrics.image_data import ImageData
from pipeline.metrics.judge import Judge
from pipeline.metrics.judges import load_judge
from pipeline.reporting.glossary import ROWS
from pipeline.runtime.errors import UserError
from pipeline.scoring.dances import (
    Folders,
    NamedRows,
    bench_of_data,
    bench_of_folders,
    read_folders,
)
from pipeline.scoring.music import score_music
from pipeline.scoring.outputs import (
    PICTURES,
    SOUNDS,
    Findings,
    Outputs,
    files_by_name,
    holds_pictures,
    match,
    readable,
    row_names,
    shared,
)
from pipeline.scoring.picture_folders import (
    AskedPictures,
    choose_judge,
    pictures_of_folders,
    read_asked,
    smallest_side,
)
from pipeline.scoring.pictures import check_picture, pictures_of_data, score_pictures
from pipeline.scoring.scores import Scores, scores_of
from pipeline.scoring.sounds import Sounds
from pipeline.storage.store import Store
from stages.config import CaptionToImage, ClassToImage, DanceToMusic, read_dataset
from stages.content import checked, open_content
from stages.fit import pose_reader
from stages.paths import Paths


def score(
    folder: Path | str,
    *,
    data: str | None = None,
    references: Path | str | None = None,
    dances: Path | str | None = None,
    songs: Path | str | None = None,
    captions: Path | str | None = None,
    classes: Path | str | None = None,
    against: Sequence[Path | str] = (),
    level: bool = False,
    seconds: float | None = None,
    rate: int = 22_050,
    pose: str = "blazepose",
    weights: str | None = None,
    judge: Path | str | None = None,
    size: int | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Scores:
    """The outputs in `folder`, called as the clips or pictures they were made for, as a table
    beside their controls.

    They are laid against the test split of `data` (a data set that was built where this runs), or
    against folders: music against `references` (the true music), `dances`, or both; pictures
    against `captions` or `classes`, `references` (the real pictures), or both. `against`: other
    folders, side by side. docs/score.md says how files are called, and what every option does. What
    cannot be used is told and stands in `mistakes`; raises UserError where nothing can be scored.
    """
    asked = _Asked([Path(folder), *map(Path, against)])
    of_music = {"dances": dances, "songs": songs, "seconds": seconds}
    of_pictures = {"captions": captions, "classes": classes, "judge": judge, "size": size}
    if data is not None:
        brought = {"references": references, **of_music, **of_pictures}
        _refuse(brought, "--data brings all that outputs are laid against")
        return _of_data(data, asked, level)
    settings = EvaluateDance(bootstrap_draws=draws, seed=seed, copied_below=0.0, examples=0)
    if captions or classes or (references and not dances and holds_pictures(Path(references))):
        _refuse({**of_music, "level": level or None}, "these are pictures")
        wishes = read_asked(_path(captions), _path(classes), _path(references))
        return _pictures(asked, wishes, _path(judge), size, settings)
    _refuse(of_pictures, "this is music")
    folders = read_folders(_path(references), _path(dances), _path(songs))
    sounds = Sounds(rate, seconds or folders.shortest(), 0.95 if level else None)
    against_what = {"true music": references, "dances": dances}
    said = " and ".join(f"{kind} in {at}" for kind, at in against_what.items() if at)
    return _music(asked, folders, sounds, settings, partial(pose_reader, pose, weights), said)


@dataclass(frozen=True)
class _Asked:
    """The folders that are scored, that of the caller first, and what is found in them."""

    folders: list[Path]
    findings: Findings = field(default_factory=Findings)

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


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def _refuse(options: dict[str, object], why: str) -> None:
    """Raises UserError where any of the options is given."""
    if given := [f"--{name}" for name, value in options.items() if value is not None]:
        raise UserError(f"{why}; leave out {', '.join(given)}.")


def _music(
    asked: _Asked,
    folders: Folders,
    sounds: Sounds,
    settings: EvaluateDance,
    poses: Callable[[], PoseReader],
    said: str,
) -> Scores:
    """Music against anybody's folders."""
    rows = asked.rows(SOUNDS, folders.ids, sounds.check)
    ids = list(rows[0].files)
    bench = bench_of_folders(folders, ids, sounds, settings, poses, asked.findings)
    rows = [row.only(bench.clips.ids) for row in rows]
    about = _about(rows, said) | _heard(sounds, "mfcc")
    return scores_of(score_music(bench, rows), about, asked.findings)


def _pictures(
    asked: _Asked,
    wishes: AskedPictures,
    judge: Path | None,
    size: int | None,
    settings: EvaluateDance,
) -> Scores:
    """Pictures against anybody's captions, classes and real pictures."""
    networks = choose_judge(wishes, judge, asked.findings)
    size = size or smallest_side(files_by_name(asked.folders[0], PICTURES).values())
    rows = asked.rows(PICTURES, wishes.ids, partial(check_picture, size=size))
    draws, seed = settings.bootstrap_draws, settings.seed
    bench = pictures_of_folders(wishes, rows, size, networks, draws, seed)
    about = _about(rows, wishes.said) | _seen(size, networks)
    return scores_of(score_pictures(bench, rows), about, asked.findings)


def _of_data(name: str, asked: _Asked, level: bool) -> Scores:
    """Outputs against the test split of a data set."""
    settings, paths = read_dataset(name), Paths(name)
    for needed, stage in ((paths.raw, "download"), (paths.judge, "judge")):
        checked(needed, stage, name)
    if isinstance(settings, DanceToMusic):
        return _music_of_data(settings, paths, asked, level)
    _refuse({"level": level or None}, "these are pictures")
    return _pictures_of_data(settings, paths, asked)


def _music_of_data(settings: DanceToMusic, paths: Paths, asked: _Asked, level: bool) -> Scores:
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
    about = _about(rows, f"the {split} split of {paths.dataset}, {len(known)} clips")
    about |= _heard(sounds, bench.gallery.name)
    return scores_of(score_music(bench, rows), about, asked.findings)


def _pictures_of_data(
    settings: CaptionToImage | ClassToImage, paths: Paths, asked: _Asked
) -> Scores:
    content = open_content(settings, paths.manifest(settings.media_root))
    known = [content.manifest.clips[number].id for number in content.manifest.of("test")]
    rows = asked.rows(PICTURES, known, partial(check_picture, size=content.size))
    samples = cast("Store", NamedRows(list(rows[0].files)))

    def decode(tokens: torch.Tensor) -> torch.Tensor:
        raise AssertionError("outputs come as pictures; no codec is asked")

    judge = load_judge(paths.judge)
    data = ImageData(content, paths.raw, samples, samples, judge, decode)
    about = _about(rows, f"the test split of {paths.dataset}, {len(known)} pictures")
    about |= _seen(content.size, judge)
    bench = pictures_of_data(data, settings.evaluate)
    return scores_of(score_pictures(bench, rows), about, asked.findings)


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


def _seen(size: int, judge: Judge) -> dict[str, str]:
    names = (judge.features_name, judge.classifier_name if judge.logits else "")
    names += (judge.matcher_name if judge.embed_captions else "",)
    judges = ", ".join(dict.fromkeys(filter(None, names))) or "none; captions of toy_shapes exactly"
    return {"Seen": f"{size} x {size} pixels", "Judge": judges}
