"""Beats coverage, hit and F1 of generated music against reference music, in the three protocols of
the literature.

Onsets are librosa's (22,050 Hz, hop 512); every bin of fixed width that holds one is "on". With R
and G the bins on in the reference and in the generated clip, and M those on in both:

    d2m    1 s bins, wait=1, delta=.2, pre_avg=post_avg=post_max=1.          coverage = G / R (may
    exceed 1), hit = M / R loris  1 s bins, the same with pre_avg=post_avg=pre_max=post_max=3.
    coverage = M / G (precision),    hit = M / R 5hz    0.2 s bins, onsets as in loris.
    coverage = M / G (precision),    hit = M / R

All are means over clips. F1 is the harmonic mean of the *means* of precision M / G and recall M /
R, in every protocol. One-second bins saturate (a metronome scores 100 under d2m): read them beside
the control rows, and read 5hz first.

What the published code leaves open is defined here: a reference without an onset has no d2m score
(left out and counted; the published code divides by zero); under loris and 5hz an empty side scores
0, as published. A generated clip longer than the reference is cut to its length; the bins that a
shorter one does not reach are off. Silence has no onsets.
"""

from dataclasses import dataclass
from typing import Literal

import librosa
import numpy as np

from pipeline.runtime.errors import UserError

Protocol = Literal["d2m", "loris", "5hz"]
SAMPLE_RATE, HOP = 22050, 512
BIN_SECONDS = {"d2m": 1.0, "loris": 1.0, "5hz": 0.2}
PICKING_FRAMES = {"d2m": 1, "loris": 3, "5hz": 3}  # to either side, for the maximum and the mean


@dataclass(frozen=True)
class BeatScores:
    """Percentages, their standard deviations over clips (ddof=1; CSD and HSD under loris) and the
    counts behind them.

    `n_clips` were scored; `n_undefined` were left out because their reference has no onset (d2m
    alone). `f1_std` is over the clips' own F1, since the F1 of the means has no spread over clips.
    """

    coverage: float
    hit: float
    f1: float
    coverage_std: float
    hit_std: float
    f1_std: float
    n_clips: int
    n_undefined: int


def beat_scores(references, generated, sample_rate: int, protocol: Protocol = "d2m") -> BeatScores:
    """The scores of `generated` clips ([T] in [-1, 1], any lengths) against `references`, pair by
    pair, under `protocol`.

    Raises UserError when the two lists differ in length, are empty, or hold numbers that are not
    finite.
    """
    references, generated = list(references), list(generated)
    if len(references) != len(generated) or not references:
        raise UserError(
            f"Beat scores need pairs: got {len(references)} reference and {len(generated)}"
            " generated clips."
        )
    counts = np.array(
        [
            _pair_counts(*pair, sample_rate, protocol)
            for pair in zip(references, generated, strict=True)
        ]
    )
    return scores_from_counts(counts, protocol)


def onset_envelope(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The onset strength of a clip [T] at 22,050 Hz and hop 512: log-mel spectral flux, one number
    a frame.
    """
    audio = np.asarray(audio, dtype=np.float32).reshape(-1)
    if not np.isfinite(audio).all():
        raise UserError(
            "A clip of audio holds NaN or infinite numbers; decode or generate it again."
        )
    if not len(audio):
        return np.zeros(0, dtype=np.float32)
    if sample_rate != SAMPLE_RATE:
        audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=SAMPLE_RATE)
    return librosa.onset.onset_strength(y=audio, sr=SAMPLE_RATE, hop_length=HOP)


def onset_times(envelope: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The onsets in an envelope, in seconds, picked as `protocol` says; none in silence."""
    if not len(envelope):
        return np.zeros(0)
    frames = PICKING_FRAMES[protocol]
    return librosa.onset.onset_detect(
        onset_envelope=envelope,
        sr=SAMPLE_RATE,
        hop_length=HOP,
        units="time",
        wait=1,
        delta=0.2,
        pre_max=frames,
        post_max=frames,
        pre_avg=frames,
        post_avg=frames,
    )


def bin_counts(
    reference: np.ndarray, generated: np.ndarray, duration: float, protocol: Protocol
) -> tuple[int, int, int]:
    """(M, R, G) of two lists of onset times within `duration` seconds; later times are left out."""
    width = BIN_SECONDS[protocol]
    n_bins = max(1, int(np.ceil(duration / width - 1e-9)))
    on = []
    for times in (reference, generated):
        bins = np.floor(np.asarray(times) / width + 1e-9).astype(int)
        on.append(np.isin(np.arange(n_bins), bins))
    return int((on[0] & on[1]).sum()), int(on[0].sum()), int(on[1].sum())


def _pair_counts(
    reference, generated, sample_rate: int, protocol: Protocol
) -> tuple[int, int, int]:
    reference, generated = np.asarray(reference).reshape(-1), np.asarray(generated).reshape(-1)
    true, made = (
        onset_times(onset_envelope(a, sample_rate), protocol)
        for a in (reference, generated[: len(reference)])
    )
    return bin_counts(true, made, len(reference) / sample_rate, protocol)


def clip_scores(counts: np.ndarray, protocol: Protocol) -> dict[str, np.ndarray]:
    """`coverage`, `hit`, `precision` and `f1` of each clip in percent, from `counts` [n, 3] of (M,
    R, G); NaN = undefined.
    """
    matched, reference, generated = np.asarray(counts, dtype=float).reshape(-1, 3).T
    empty = np.nan if protocol == "d2m" else 0.0
    hit = _ratio(matched, reference, empty)
    precision = np.where(np.isnan(hit), np.nan, _ratio(matched, generated, 0.0))
    coverage = _ratio(generated, reference, np.nan) if protocol == "d2m" else precision
    f1 = np.where(np.isnan(hit), np.nan, harmonic_mean(precision, hit))
    return {
        "coverage": 100 * coverage,
        "hit": 100 * hit,
        "precision": 100 * precision,
        "f1": 100 * f1,
    }


def scores_from_counts(counts: np.ndarray, protocol: Protocol) -> BeatScores:
    """The scores of all clips from their `counts` [n, 3]; NaN when no clip has a defined score."""
    clips = clip_scores(counts, protocol)
    defined = np.isfinite(clips["hit"])
    values = {name: value[defined] for name, value in clips.items()}
    n_clips = int(defined.sum())
    mean = {
        name: float(value.mean()) if n_clips else float("nan") for name, value in values.items()
    }
    spread = {
        name: float(value.std(ddof=1)) if n_clips > 1 else float("nan")
        for name, value in values.items()
    }
    return BeatScores(
        coverage=mean["coverage"],
        hit=mean["hit"],
        f1=float(harmonic_mean(mean["precision"], mean["hit"])),
        coverage_std=spread["coverage"],
        hit_std=spread["hit"],
        f1_std=spread["f1"],
        n_clips=n_clips,
        n_undefined=int((~defined).sum()),
    )


def harmonic_mean(a, b):
    """2ab / (a + b), and 0 where both are 0."""
    total = np.asarray(a, dtype=float) + b
    return np.divide(
        2.0 * np.asarray(a) * b, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float) -> np.ndarray:
    return np.divide(
        numerator, denominator, out=np.full(len(numerator), empty), where=denominator > 0
    )
