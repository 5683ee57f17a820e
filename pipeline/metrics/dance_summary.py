"""The figures of the dance task summed up: means over clips and seeds, their spread, and intervals
over songs.
"""

import numpy as np

from pipeline.metrics.beats import harmonic_mean
from pipeline.metrics.bootstrap import defined_mean, interval, weighted_mean
from pipeline.metrics.dance import Clips, Figures, Heard, embeddings
from pipeline.metrics.distances import frechet_audio_distance, kernel_audio_distance
from pipeline.metrics.results import ClipResult, Result


def summarise(row: str, figures: Figures, clips: Clips, weights: np.ndarray) -> list[Result]:
    """The lines of one row. `weights` [draws, clips]: bootstrap draws of songs, shared by all rows.

    The mean is over clips, then over seeds; std is over the seeds' means; the interval is that of
    the mean over seeds.
    """
    every = np.vstack([np.ones(weights.shape[1]), weights])
    means = {
        key: np.array([weighted_mean(values, every) for values in seeds])
        for key, seeds in figures.items()
    }
    results = []
    for (metric, protocol), drawn in means.items():
        if metric == "beats_precision":
            f1 = harmonic_mean(drawn, means["beats_hit", protocol])
            results.append(_line(row, "beats_f1", protocol, f1, figures[metric, protocol], clips))
        else:
            results.append(_line(row, metric, protocol, drawn, figures[metric, protocol], clips))
        if metric in ("beats_coverage", "beats_hit") and protocol == "loris":
            spread = defined_mean([_deviation(values) for values in figures[metric, protocol]])
            results.append(
                _constant(row, f"{metric}_sd", protocol, [spread], figures[metric, protocol], clips)
            )
    return results


def distances(
    row: str, clips: Clips, true: list[Heard], rows: list[list[Heard]], gallery
) -> list[Result]:
    """KAD and FAD of each seed's clips against the true music, on embeddings in units of the true
    music's deviations.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(embeddings(true))
    reference, *sets = [np.asarray(scaler.transform(embeddings(one))) for one in (true, *rows)]
    shape = np.zeros((len(rows), len(clips.ids)))
    return [
        _constant(row, name, gallery.name, [distance(reference, one) for one in sets], shape, clips)
        for name, distance in (("kad", kernel_audio_distance), ("fad", frechet_audio_distance))
    ]


def by_clip(row: str, figures: Figures, clips: Clips) -> list[ClipResult]:
    """The figures of one row clip by clip, each the mean over seeds; undefined ones are left
    out.
    """
    lines = []
    for (metric, protocol), seeds in figures.items():
        defined = np.isfinite(seeds)
        for number in np.flatnonzero(defined.any(axis=0)):
            value = float(seeds[defined[:, number], number].mean())
            lines.append(ClipResult(clips.ids[number], row, metric, protocol, value))
    return lines


def _line(
    row: str, metric: str, protocol: str, drawn: np.ndarray, values: np.ndarray, clips: Clips
) -> Result:
    """A line from the means [seeds, 1 + draws], the first column of which is the plain estimate."""
    seeds, draws = drawn[:, 0], drawn[:, 1:]
    spread = (_deviation(seeds), *interval(draws.mean(axis=0)))
    return Result(row, metric, protocol, float(seeds.mean()), *spread, *_counted(values, clips))


def _constant(
    row: str, metric: str, protocol: str, seeds: list[float], values: np.ndarray, clips: Clips
) -> Result:
    """A line without an interval, for a figure of the whole set."""
    spread = (_deviation(np.array(seeds)), float("nan"), float("nan"))
    return Result(row, metric, protocol, float(np.mean(seeds)), *spread, *_counted(values, clips))


def _counted(values: np.ndarray, clips: Clips) -> tuple[int, int, int]:
    """(clips, songs, seeds) behind a line: the clips that have the figure under any seed."""
    defined = np.flatnonzero(np.isfinite(values).any(axis=0))
    return len(defined), len({clips.songs[number] for number in defined}), len(values)


def _deviation(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
