"""The figures of the dance task: what is heard in a clip, how it compares with the true music and
the dance, and the summary.

Every row is measured alike, sampling seed by sampling seed and clip by clip; `summarise` turns that
into `Result`s.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.metrics import timing
from pipeline.metrics.alignment import alignment
from pipeline.metrics.beats import (
    Protocol,
    bin_counts,
    clip_scores,
    harmonic_mean,
    onset_envelope,
    onset_times,
)
from pipeline.metrics.bootstrap import defined_mean, interval, weighted_mean
from pipeline.metrics.distances import frechet_audio_distance, kernel_audio_distance
from pipeline.metrics.results import ClipResult, Result

Figures = dict[tuple[str, str], np.ndarray]  # (metric, protocol) -> [seeds, clips], NaN = undefined


@dataclass(frozen=True)
class Heard:
    """What is heard in one clip of sound: onsets by protocol, tempo, beats (seconds), and its
    embedding [D].
    """

    onsets: dict[str, np.ndarray]
    tempo: float
    beats: np.ndarray
    embedding: np.ndarray


@dataclass(frozen=True)
class Clips:
    """The clips of an evaluation, in order, all of one length. `heard` is their true music; it and
    `genres` may be missing.
    """

    ids: list[str]
    songs: list[str]
    genres: list[str] | None
    seconds: float
    accents: list[np.ndarray]
    heard: list[Heard] | None


def listen(audio: np.ndarray, sample_rate: int, embed) -> Heard:
    """What is heard in `audio` [T]; `embed` is one of `pipeline.metrics.embeddings`."""
    envelope = onset_envelope(audio, sample_rate)
    onsets = {name: onset_times(envelope, name) for name in ("d2m", "loris", "5hz")}
    tempo, beats = timing.track_beats(envelope)
    return Heard(onsets, tempo, beats, embed(audio, sample_rate))


def measure(
    clips: Clips, rows: list[list[Heard]], protocols: Iterable[Protocol], gallery
) -> Figures:
    """The figures of one row, heard once per seed: `rows` is [seeds][clips]."""
    figures: Figures = {}
    figures["alignment", "motion"] = _each(
        rows, lambda i, heard: alignment(clips.accents[i], heard.onsets["loris"])
    )
    if clips.heard is not None:
        _compare(figures, clips, rows, protocols)
    if clips.genres is not None:
        right = [gallery.retrieve(_embeddings(heard)) == np.asarray(clips.genres) for heard in rows]
        figures["genre_accuracy", gallery.name] = 100.0 * np.array(right)
    return figures


def _compare(
    figures: Figures, clips: Clips, rows: list[list[Heard]], protocols: Iterable[Protocol]
) -> None:
    """Adds the figures that need the true music."""
    true = clips.heard
    for protocol in protocols:
        scores = [clip_scores(_counts(clips, heard, protocol), protocol) for heard in rows]
        for name in ("coverage", "hit", "precision"):
            figures[f"beats_{name}", protocol] = np.array([score[name] for score in scores])
    figures["onset_f", "70ms"] = _each(
        rows,
        lambda i, heard: timing.onset_f_measure(true[i].onsets["loris"], heard.onsets["loris"]),
    )
    figures["beat_f", "70ms"] = _each(
        rows, lambda i, heard: timing.beat_f_measure(true[i].beats, heard.beats)
    )
    figures["tempo_difference", "bpm"] = _each(
        rows, lambda i, heard: timing.tempo_difference(true[i].tempo, heard.tempo)
    )


def _counts(clips: Clips, heard: list[Heard], protocol: Protocol) -> np.ndarray:
    pairs = zip(clips.heard, heard, strict=True)
    return np.array(
        [
            bin_counts(a.onsets[protocol], b.onsets[protocol], clips.seconds, protocol)
            for a, b in pairs
        ]
    )


def _each(rows: list[list[Heard]], figure) -> np.ndarray:
    return np.array(
        [[figure(i, heard) for i, heard in enumerate(row)] for row in rows], dtype=float
    )


def _embeddings(heard: list[Heard]) -> np.ndarray:
    return np.array([one.embedding for one in heard])


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


def distances(row: str, clips: Clips, rows: list[list[Heard]], gallery) -> list[Result]:
    """KAD and FAD of each seed's clips against the true music, on embeddings in units of the true
    music's deviations.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(_embeddings(clips.heard))
    true, *sets = [scaler.transform(_embeddings(heard)) for heard in (clips.heard, *rows)]
    shape = np.zeros((len(rows), len(clips.ids)))
    return [
        _constant(row, name, gallery.name, [distance(true, one) for one in sets], shape, clips)
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
