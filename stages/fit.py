"""Tool `fit`: whether the music of dance clips follows their own dances."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pipeline.datasets.folder import EXTENSIONS
from pipeline.features.pose_reader import PoseConfig, PoseReader
from pipeline.media.audio import read_audio
from pipeline.media.video import probe
from pipeline.metrics.beats import SAMPLE_RATE
from pipeline.metrics.own_vs_others import own_against_others
from pipeline.metrics.results import Evaluation, write_evaluation
from pipeline.reporting.tables import blocks, markdown
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip, Manifest

FPS = 30.0
TITLES = {
    "model": "The music",
    "model_best_lag": "The music, all moved by the best constant lag",
    "ground_truth": "The true sound",
}


def fit(
    clips: Annotated[
        Path,
        typer.Argument(
            help="A folder of clips under their music: the sound track, or NAME.wav beside.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("fit"),
    true: Annotated[
        Path | None,
        typer.Option(help="A folder with the true sound of every clip: NAME.wav or a video."),
    ] = None,
    pose: Annotated[
        str, typer.Option(help="Who reads the dancer, as in params.yaml.")
    ] = "blazepose",
    weights: Annotated[
        str | None,
        typer.Option(help="Weights of that reader: a name or a path. Default: its own name."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Bootstrap draws of clips.", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="The seed of the draws.")] = 0,
) -> None:
    """Measure the fit of music to its own dance against the other clips' music.

    In: at least two clips, such as those `cdcd generate` writes. Out: OUT/table.csv (own, others
    and their difference, paired by clip, with a 95 % interval, for the music, the music moved by
    its best constant lag, the metronome and the true sound), clips.csv, metrics.json, remarks.json.

    Example: cdcd fit generated
    """
    files = sorted(file for file in clips.glob("*") if file.suffix.lower() in EXTENSIONS)
    if len(files) < 2:
        raise UserError(
            f"{clips} must hold at least two videos ({', '.join(EXTENSIONS)}), each with music."
        )
    evaluation = measure(files, true, pose_reader(pose, weights), draws, seed)
    write_evaluation(evaluation, out)
    for block in blocks(evaluation.results):
        print(markdown(block, TITLES))
    print(f"{len(files)} clips; the tables are in {out}.")


def measure(
    files: list[Path], true: Path | None, poses: PoseReader, draws: int, seed: int
) -> Evaluation:
    """Own against others for these clips."""
    motions, waveforms, true_waveforms = [], [], []
    for file in progress(files, "reading clips", len(files)):
        seconds = probe(file).duration_s
        motion = poses.read(
            Manifest((), file.parent), Clip(file.stem, file.name, "infer", 0.0, seconds), seconds
        )
        motions.append(motion.motion())
        beside = file.with_suffix(".wav")
        waveforms.append(_sound(beside if beside.exists() else file, seconds))
        if true is not None:
            true_waveforms.append(_sound(_true_sound(true, file), seconds))
    return own_against_others(
        motions,
        waveforms,
        FPS,
        SAMPLE_RATE,
        numpy_generator(seed, "fit"),
        ids=[file.stem for file in files],
        true_waveforms=true_waveforms or None,
        draws=draws,
    )


def pose_reader(source: str, weights: str | None) -> PoseReader:
    """The reader of dancers by its name in params.yaml."""
    needed = source in ("blazepose", "movenet", "keypoint_rcnn")
    values = {
        "kind": "coco17",
        "source": source,
        "fps": FPS,
        "weights": weights or (source if needed else None),
        "file_fps": None,
        "least_seen": 0.0,
    }
    return PoseReader(PoseConfig.model_validate(values))


def _sound(file: Path, seconds: float) -> np.ndarray:
    return read_audio(file, SAMPLE_RATE, 0.0, seconds)


def _true_sound(folder: Path, clip: Path) -> Path:
    for ending in (".wav", *EXTENSIONS):
        if (folder / f"{clip.stem}{ending}").exists():
            return folder / f"{clip.stem}{ending}"
    raise UserError(
        f"{folder} has no true sound of {clip.name}: expected {clip.stem}.wav or a video of that"
        " name."
    )
