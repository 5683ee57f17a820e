"""Outputs for captions or classes as the rows of a table, between the real pictures and controls.

Every figure is `pipeline.metrics.image_figures`'s, summed up as an evaluation sums it up.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from pipeline.media.content import Images
from pipeline.media.image import load_rgb
from pipeline.metrics.bootstrap import draw_weights
from pipeline.metrics.controls import partners
from pipeline.metrics.fid import Reference
from pipeline.metrics.image_figures import by_picture, distance_line, measure, stack, summarise
from pipeline.metrics.images import (
    BATCH,
    MEAN_OF,
    EvaluateImages,
    ImageData,
    describe,
    nearest_training_pictures,
)
from pipeline.metrics.results import Evaluation
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.scoring.outputs import Outputs
from pipeline.storage.manifest import Clip, Manifest

_AT_DISTANCE_0 = ("ground_truth", "shuffled_pairs")  # made of the test pictures
Row = tuple[str, list[Iterator[Tensor]]]


def score_pictures(data: ImageData, settings: EvaluateImages, rows: list[Outputs]) -> Evaluation:
    """The lines of every row: the outputs first, then the controls."""
    wanted = describe(data, settings)
    weights = draw_weights(
        wanted.ids, settings.bootstrap_draws, numpy_generator(settings.seed, "bootstrap")
    )
    references = {
        split: Reference(map(data.judge.features, data.real(data.manifest.of(split))))
        for split in settings.references
    }
    n_seeds = max(len(outputs.sets) for outputs in rows)
    results, lines = [], []
    for row, sets in chain(_outputs(data, rows), _controls(data, settings, n_seeds)):
        batches = -(-len(wanted.ids) // BATCH)
        seen = [
            measure(wanted, data.judge, progress(one, f"{row}, {number}", batches))
            for number, one in enumerate(sets, start=1)
        ]
        figures = stack(seen)
        results += summarise(row, figures, weights)
        lines += by_picture(row, figures, wanted)
        for split, reference in references.items():
            if split == "test" and row in _AT_DISTANCE_0:
                continue
            generator = numpy_generator(settings.seed, "fid", row, split)
            protocol = f"{data.judge.features_name}, {split}"
            features = [one.features for one in seen]
            results.append(
                distance_line(
                    row, protocol, reference, features, generator, settings.bootstrap_draws
                )
            )
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


def _outputs(data: ImageData, rows: list[Outputs]) -> Iterator[Row]:
    for outputs in rows:
        yield outputs.row, [read_pictures(files, data.pictures.size) for files in outputs.sets]


def _controls(data: ImageData, settings: EvaluateImages, n_seeds: int) -> Iterator[Row]:
    """The control rows, made as the evaluation makes them."""
    numbers, training = data.numbers, data.manifest.of("train")
    yield "ground_truth", [data.real(numbers)]
    kinds = [data.caption(number) for number in numbers]
    if len(set(kinds)) > 1:
        generators = [numpy_generator(settings.seed, "pairs", seed) for seed in range(n_seeds)]
        pairs = [partners(kinds, generator) for generator in generators]
        yield (
            "shuffled_pairs",
            [data.real([numbers[other] for other in pair]) for pair in pairs],
        )
    if training:
        nearest = nearest_training_pictures(data, numbers, settings.seed)
        yield "nearest_neighbour", [data.real(nearest)]
        chosen = training[:: -(-len(training) // MEAN_OF)]
        sums = [batch.sum(0) for batch in data.real(chosen)]
        mean = torch.as_tensor(sum(sums)) / len(chosen)
        sizes = [min(BATCH, len(numbers) - at) for at in range(0, len(numbers), BATCH)]
        yield "mean_image", [iter([mean.expand(size, -1, -1, -1) for size in sizes])]
