"""The figures of the picture tasks: what each picture shows of its caption or class, how a set is
distributed, the summary.

Every row is measured alike, sampling seed by sampling seed and picture by picture; `summarise`
turns that into `Result`s.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.metrics.accuracy import top_k_hits
from pipeline.metrics.bootstrap import interval, weighted_mean
from pipeline.metrics.clip_score import clip_scores, r_precision_hits
from pipeline.metrics.fid import Features, Reference, kept_features
from pipeline.metrics.judge import Judge
from pipeline.metrics.results import ClipResult, Result
from pipeline.metrics.shapes import score_shapes

Figures = dict[
    tuple[str, str], np.ndarray
]  # (metric, protocol) -> [seeds, pictures], NaN = undefined
FID_DRAWS = 100  # of Frechet distances between few features


@dataclass(frozen=True)
class Wanted:
    """What the measured pictures should show, in order: captions, labels (class numbers, -1:
    unknown to the judge), or both.

    `told` are the captions as the judge's unit vectors, `distractors` [n, m] the captions each is
    told apart from; `exact`: the captions are of `toy_shapes`, which can be checked without a
    judge.
    """

    ids: list[str]
    captions: list[str] | None = None
    labels: Tensor | None = None
    told: Tensor | None = None
    distractors: np.ndarray | None = None
    exact: bool = False


@dataclass(frozen=True)
class Seen:
    """One set of pictures as measured: figures [n] in percent, and the judge's features."""

    figures: dict[tuple[str, str], np.ndarray]
    features: Features


def measure(wanted: Wanted, judge: Judge, batches: Iterable[Tensor]) -> Seen:
    """The figures of one set of pictures, which come in batches [b, 3, H, W] in [0, 1] in the order
    of `wanted`.
    """
    parts, start = [], 0

    def look() -> Iterator[Tensor]:
        nonlocal start
        for images in batches:
            parts.append(_measure_batch(wanted, judge, images, slice(start, start + len(images))))
            start += len(images)
            yield judge.features(images)

    features = kept_features(look())
    if start != len(wanted.ids):
        raise ValueError(f"{start} pictures for {len(wanted.ids)} rows")
    return Seen({key: np.concatenate([part[key] for part in parts]) for key in parts[0]}, features)


def _measure_batch(
    wanted: Wanted, judge: Judge, images: Tensor, here: slice
) -> dict[tuple[str, str], np.ndarray]:
    figures = {}
    if judge.logits is not None and wanted.labels is not None:
        logits, labels = judge.logits(images), wanted.labels[here]
        for k in (1, 5):
            if k < logits.shape[1]:
                hits = 100 * top_k_hits(logits, labels, k)
                figures[f"top{k}_accuracy", judge.classifier_name] = np.where(
                    labels.numpy() >= 0, hits, np.nan
                )
    if wanted.told is not None:
        assert judge.embed_images is not None
        assert wanted.distractors is not None
        seen = judge.embed_images(images)
        hits = r_precision_hits(seen, wanted.told, wanted.distractors[here], here.start)
        figures["r_precision", judge.matcher_name] = 100 * hits
        if judge.matcher_name == "vit_b32":
            figures["clip_score", judge.matcher_name] = clip_scores(seen, wanted.told[here])
    if wanted.exact:
        assert wanted.captions is not None
        scores = score_shapes(images, wanted.captions[here])
        for name in ("attributes", "relation", "all_correct"):
            figures[name, "exact"] = 100 * getattr(scores, name)
    return figures


def stack(seeds: list[Seen]) -> Figures:
    """The figures of several seeds as [seeds, pictures]."""
    return {key: np.stack([seen.figures[key] for seen in seeds]) for key in seeds[0].figures}


def summarise(row: str, figures: Figures, weights: np.ndarray) -> list[Result]:
    """The lines of one row: mean over pictures, then seeds; std over seeds; interval over bootstrap
    `weights` [draws, n].
    """
    every = np.vstack([np.ones(weights.shape[1]), weights])
    results = []
    for (metric, protocol), seeds in figures.items():
        drawn = np.array([weighted_mean(values, every) for values in seeds])
        count = int(np.isfinite(seeds).any(axis=0).sum())
        low, high = interval(drawn[:, 1:].mean(axis=0))
        results.append(
            Result(
                row,
                metric,
                protocol,
                *_over_seeds(drawn[:, 0]),
                low,
                high,
                count,
                count,
                len(seeds),
            )
        )
    return results


def distance_line(
    row: str,
    protocol: str,
    reference: Reference,
    seeds: list[Features],
    generator: np.random.Generator,
    draws: int,
) -> Result:
    """The Frechet distance of each seed's features to the reference, as one line.

    Its bootstrap interval is shifted by the bootstrap's own bias (repeated pictures lower the rank
    of the covariance), and left out above 256 features, where hundreds of distances would take
    hours.
    """
    values = np.array([reference.distance(features) for features in seeds])
    low = high = float("nan")
    count, first = len(seeds[0]), seeds[0]
    if draws and isinstance(first, Tensor) and np.isfinite(values).all():
        chosen = [
            torch.from_numpy(generator.integers(0, count, count))
            for _ in range(min(draws, FID_DRAWS))
        ]
        drawn = np.array([reference.distance(first[rows]) for rows in chosen])
        low, high = (values.mean() + bound - drawn.mean() for bound in interval(drawn))
    return Result(
        row, "fid", protocol, *_over_seeds(values), max(0.0, low), high, count, count, len(seeds)
    )


def by_picture(row: str, figures: Figures, wanted: Wanted) -> list[ClipResult]:
    """The figures of one row picture by picture, each the mean over seeds; undefined ones are left
    out.
    """
    lines = []
    for (metric, protocol), seeds in figures.items():
        defined = np.isfinite(seeds)
        for number in np.flatnonzero(defined.any(axis=0)):
            value = float(seeds[defined[:, number], number].mean())
            lines.append(ClipResult(wanted.ids[number], row, metric, protocol, value))
    return lines


def _over_seeds(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (NaN for a single seed)."""
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")
