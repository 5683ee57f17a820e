"""Rows of pictures under one judge, row by row: the figures of every picture, the summary, and the
Frechet distances to real pictures.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.metrics.bootstrap import draw_weights
from pipeline.metrics.clip_score import draw_distractors
from pipeline.metrics.fid import Features, Reference, joined
from pipeline.metrics.image_figures import (
    Figures,
    Wanted,
    by_picture,
    distance_line,
    measure,
    stack,
    summarise,
)
from pipeline.metrics.judge import Judge
from pipeline.metrics.results import ClipResult, Result
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator

BATCH = 64
Row = tuple[str, list[Iterator[Tensor]], Figures]
_SAME_AS_REFERENCE = (
    "ground_truth",
    "shuffled_pairs",
)  # made of the test pictures: at distance 0 from them by definition


@dataclass(frozen=True)
class Bench:
    """What rows of pictures are laid against: what they should show, who judges, and the real
    pictures, by the name of their split.

    `draws` of the bootstrap and their `seed`; `further` gives features of pictures that count
    beside those of a row, seed by seed.
    """

    wanted: Wanted
    judge: Judge
    references: Mapping[str, Reference]
    draws: int
    seed: int
    further: Mapping[str, Callable[[], Iterable[Features]]] = field(default_factory=dict)


def measure_rows(bench: Bench, rows: Iterable[Row]) -> tuple[list[Result], list[ClipResult]]:
    """The lines of every row (its name, its pictures in batches [seeds], and figures that are known
    of them already), as sums and picture by picture.
    """
    wanted, batches = bench.wanted, -(-len(bench.wanted.ids) // BATCH)
    weights = draw_weights(wanted.ids, bench.draws, numpy_generator(bench.seed, "bootstrap"))
    results, lines = [], []
    for row, sets, known in rows:
        seen = [
            measure(wanted, bench.judge, progress(one, f"{row}, {number}", batches))
            for number, one in enumerate(sets, start=1)
        ]
        figures = {**stack(seen), **known}
        results += summarise(row, figures, weights)
        lines += by_picture(row, figures, wanted)
        results += _distances(bench, row, [one.features for one in seen])
    return results, lines


def _distances(bench: Bench, row: str, features: list[Features]) -> Iterator[Result]:
    """The lines of a row's Frechet distances to each of the references."""
    for split, reference in bench.references.items():
        if split == "test" and row in _SAME_AS_REFERENCE:
            continue
        generator = numpy_generator(bench.seed, "fid", row, split)
        protocol = f"{bench.judge.features_name}, {split}"
        yield distance_line(row, protocol, reference, features, generator, bench.draws)
        if row in bench.further:
            every = [joined(*pair) for pair in zip(features, bench.further[row]())]
            protocol = f"{protocol}, all captions"
            yield distance_line(row, protocol, reference, every, generator, draws=0)


def read_reference(judge: Judge, batches: Iterable[Tensor], split: str, count: int) -> Reference:
    """The real pictures of a split as the judge sees them; `count` of them, for the progress."""
    told = progress(batches, f"{split} pictures", -(-count // BATCH))
    return Reference(map(judge.features, told))


def wanted_of(
    ids: list[str],
    captions: list[str] | None,
    labels: list[str] | None,
    judge: Judge,
    seed: int,
    exact: bool,
) -> Wanted:
    """What pictures called `ids` should show, as far as the judge can tell."""
    numbers = told = distractors = None
    if judge.classes is not None and labels:
        numbers = torch.tensor([judge.classes.get(label, -1) for label in labels])
    if captions and judge.embed_captions is not None:
        told = judge.embed_captions(captions)
        distractors = draw_distractors(captions, numpy_generator(seed, "distractors"))
    return Wanted(ids, captions, numbers, told, distractors, exact)
