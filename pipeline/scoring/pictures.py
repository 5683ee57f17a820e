"""Outputs for captions or classes as the rows of a table, between the real pictures and controls.

Every row is measured and summed up by `pipeline.metrics.image_rows`, as an evaluation's.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torch import Tensor

from pipeline.media.content import Images
from pipeline.media.image import load_rgb
from pipeline.metrics.image_controls import control_rows
from pipeline.metrics.image_data import EvaluateImages, ImageData
from pipeline.metrics.image_rows import BATCH, Bench, Row, measure_rows
from pipeline.metrics.images import bench_of_data
from pipeline.metrics.results import Evaluation
from pipeline.scoring.outputs import Outputs
from pipeline.storage.manifest import Clip, Manifest


@dataclass(frozen=True)
class PictureBench:
    """What outputs are laid against: how they are judged, at which `size` they are seen, and the
    control rows, given how many outputs there are of each picture.
    """

    judged: Bench
    size: int
    controls: Callable[[int], Iterable[Row]]


def pictures_of_data(data: ImageData, settings: EvaluateImages) -> PictureBench:
    """The bench of a data set's test pictures, described exactly as its evaluation does."""

    def controls(n_seeds: int) -> Iterator[Row]:
        yield "ground_truth", [data.real(data.numbers)], {}
        yield from control_rows(data, settings.seed, n_seeds)

    return PictureBench(bench_of_data(data, settings), data.pictures.size, controls)


def score_pictures(bench: PictureBench, rows: list[Outputs]) -> Evaluation:
    """The lines of every row: the outputs first, then the controls."""
    n_seeds = max(len(outputs.sets) for outputs in rows)
    ours = (
        (outputs.row, [read_pictures(files, bench.size) for files in outputs.sets], {})
        for outputs in rows
    )
    results, lines = measure_rows(bench.judged, chain(ours, bench.controls(n_seeds)))
    return Evaluation(results, lines, {})


def read_pictures(files: list[Path], size: int) -> Iterator[Tensor]:
    """The pictures [n, 3, size, size] of files in batches, as a data set's own are read."""
    clips = tuple(Clip(str(n), str(file.absolute()), "test") for n, file in enumerate(files))
    images = Images(Manifest(clips, Path("/")), size)
    for start in range(0, len(files), BATCH):
        yield images.read(list(range(start, min(start + BATCH, len(files)))))


def check_picture(file: Path, size: int) -> str | None:
    """What a reader of the figures should know of a file; raises UserError when it cannot be
    seen.
    """
    height, width = load_rgb(file).shape[:2]
    if (height, width) == (size, size):
        return None
    return f"are not {size} pixels wide and high: cut to their middle and resized"
