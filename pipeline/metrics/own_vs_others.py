"""Whether music follows its own dance: its fit to the own movement against the fit of the other
clips' music to the same movement, paired clip by clip.

The fit is `pipeline.metrics.alignment`'s. A dance with many accents fits any music better than one
with few, so the two are compared clip by clip and the interval is that of their difference. Beside
the music stand the true sound track, a metronome (whose difference is 0 where the clips are equally
long: everybody gets the same), and the music moved by the one constant lag that suits all clips
best: what that gains was lost to a delay. The lag is chosen on the same clips, so its row is an
upper bound.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.metrics import controls
from pipeline.metrics.alignment import SIGMA_SECONDS, alignment, dance_accents
from pipeline.metrics.beats import harmonic_mean, onset_envelope, onset_times
from pipeline.metrics.bootstrap import draw_weights, interval, weighted_mean
from pipeline.metrics.results import ClipResult, Evaluation, Result
from pipeline.runtime.errors import UserError

PROTOCOL = "own_vs_others"
OTHERS = 100  # at most so many other clips, evenly spread, for each
LAGS_S = np.arange(-25, 26) * 0.02


@dataclass(frozen=True)
class Dances:
    """The dances that music is laid against: accents in seconds, length in seconds and group (song,
    or the clip itself) of each.
    """

    accents: list[np.ndarray]
    seconds: list[float]
    groups: list[str]

    def others(self, number: int) -> np.ndarray:
        """The numbers of up to a hundred clips of other groups, evenly spread."""
        found = np.flatnonzero(np.asarray(self.groups) != self.groups[number])
        return found[np.linspace(0, len(found) - 1, min(OTHERS, len(found))).astype(int)]


def own_and_others(dances: Dances, onsets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(fit to the own dance [n], mean fit of the other clips' music [n]) of `onsets`, a list of
    seconds a clip.

    Of two lengths the shorter counts. NaN for a dance without accents.
    """
    own = [alignment(*pair) for pair in zip(dances.accents, onsets, strict=True)]
    others = [_mean_fit(dances, number, onsets) for number in range(len(onsets))]
    return np.array(own), np.array(others)


def _mean_fit(dances: Dances, number: int, onsets: list[np.ndarray]) -> float:
    others = dances.others(number)
    length = max((len(onsets[other]) for other in others), default=0)
    times = np.full((len(others), max(1, length)), np.inf)
    for line, other in enumerate(others):
        times[line, : len(onsets[other])] = onsets[other]
    until = np.minimum(dances.seconds[number], np.asarray(dances.seconds)[others])
    times[times > until[:, None]] = np.inf
    fits = _fits(dances.accents[number], times, until)
    fits = fits[np.isfinite(fits)]
    return float(fits.mean()) if len(fits) else float("nan")


def _fits(accents: np.ndarray, times: np.ndarray, until: np.ndarray) -> np.ndarray:
    """`alignment` of accents [A] with each line of onset `times` [m, O] (inf: none), both cut
    `until` [m] seconds.
    """
    heard = np.isfinite(times)
    danced = accents[None] <= until[:, None]
    distance = np.where(
        danced[:, :, None] & heard[:, None, :],
        accents[None, :, None] - np.where(heard, times, 0.0)[:, None, :],
        np.inf,
    )
    closeness = np.exp(-(distance**2) / (2 * SIGMA_SECONDS**2))
    with np.errstate(invalid="ignore"):
        recall = np.sum(closeness.max(axis=2, initial=0.0), axis=1) / danced.sum(axis=1)
        precision = np.sum(closeness.max(axis=1, initial=0.0), axis=1) / heard.sum(axis=1)
    fits = 100 * harmonic_mean(np.where(heard.any(axis=1), precision, 0.0), recall)
    return np.where(danced.any(axis=1), fits, np.nan)


def best_lag(dances: Dances, rows: list[list[np.ndarray]]) -> float:
    """The seconds, of -0.5 to 0.5 in steps of 0.02, by which all onsets `rows` [seeds][clips] are
    moved for the best mean fit to their own dances; 0 where no lag is better.
    """

    def fit(lag: float) -> float:
        fits = [
            alignment(dances.accents[number], shifted(onsets, lag, dances.seconds[number]))
            for row in rows
            for number, onsets in enumerate(row)
            if len(dances.accents[number])
        ]
        return float(np.mean(fits)) if fits else 0.0

    return float(max(sorted(LAGS_S, key=abs), key=fit))


def shifted(onsets: np.ndarray, lag: float, seconds: float) -> np.ndarray:
    """The onsets `lag` seconds later, those within the clip."""
    moved = np.asarray(onsets) + lag
    return moved[(moved >= 0) & (moved <= seconds)]


def own_against_others(
    motions: list[np.ndarray],
    waveforms: list[np.ndarray],
    fps: float,
    sample_rate: int,
    generator: np.random.Generator,
    *,
    ids: list[str] | None = None,
    groups: list[str] | None = None,
    true_waveforms: list[np.ndarray] | None = None,
    draws: int = 1000,
    bpm: float = 120.0,
) -> Evaluation:
    """The table of any clips with music, and the same clip by clip: rows `model`, `model_best_lag`,
    `metronome` and, with `true_waveforms`, `ground_truth`; figures `fit_own`, `fit_others` and
    `fit_gain`, their difference, each with a 95 % bootstrap interval over groups (the clips
    themselves by default).

    `motions` are as conditions.h5 keeps them ([T, 3 J] or [T, 219]), `waveforms` [T] in [-1, 1].
    Raises UserError for fewer than two groups, or lists of different lengths.
    """
    ids = ids or [str(number) for number in range(len(motions))]
    groups = groups or ids
    lists = [motions, waveforms, groups] + ([true_waveforms] if true_waveforms else [])
    if len({len(items) for items in lists}) > 1 or len(set(groups)) < 2:
        raise UserError(
            "Own against others needs at least two clips of different groups, each with a motion"
            f" and music; got {' / '.join(str(len(items)) for items in lists)}."
        )
    seconds = [
        min(len(motion) / fps, len(wave) / sample_rate) for motion, wave in zip(motions, waveforms)
    ]
    accents = [dance_accents(motion, fps) for motion in motions]
    cut = [times[times <= until] for times, until in zip(accents, seconds)]
    dances = Dances(cut, seconds, list(groups))
    heard = {"model": _onsets(waveforms, sample_rate, seconds)}
    lag = best_lag(dances, [heard["model"]])
    heard["model_best_lag"] = [
        shifted(onsets, lag, until) for onsets, until in zip(heard["model"], seconds)
    ]
    if true_waveforms:
        heard["ground_truth"] = _onsets(true_waveforms, sample_rate, seconds)
    clicks = [controls.metronome(until, sample_rate, bpm) for until in seconds]
    heard["metronome"] = _onsets(clicks, sample_rate, seconds)
    weights = draw_weights(list(groups), draws, generator)
    results, clips = [], []
    for row, onsets in heard.items():
        own, others = own_and_others(dances, onsets)
        figures = {"fit_own": own, "fit_others": others, "fit_gain": own - others}
        results += [_line(row, *figure, weights, groups) for figure in figures.items()]
        clips += [
            ClipResult(name, row, metric, PROTOCOL, float(value))
            for metric, values in figures.items()
            for name, value in zip(ids, values)
            if np.isfinite(value)
        ]
    remarks = {
        "n_clips": len(ids),
        "best_lag_s": lag,
        "clips_without_accent": sum(not len(times) for times in cut),
    }
    return Evaluation(results, clips, remarks)


def _onsets(waveforms: list[np.ndarray], sample_rate: int, seconds: list[float]) -> list:
    times = [onset_times(onset_envelope(wave, sample_rate), "loris") for wave in waveforms]
    return [onsets[onsets <= until] for onsets, until in zip(times, seconds)]


def _line(
    row: str, metric: str, values: np.ndarray, weights: np.ndarray, groups: list[str]
) -> Result:
    defined = np.flatnonzero(np.isfinite(values))
    mean = float(values[defined].mean()) if len(defined) else float("nan")
    spread = float("nan"), *interval(weighted_mean(values, weights))
    return Result(
        row,
        metric,
        PROTOCOL,
        mean,
        *spread,
        n_clips=len(defined),
        n_songs=len({groups[number] for number in defined}),
        n_seeds=1,
    )
