"""How well a clip agrees with the score of its true music: key, chords, drum strokes, notes, beats
and downbeats, in percent.

Times in the first and last 50 ms of a clip are left out on both sides: there, what sounded before
begins, and nothing can be struck. A figure whose truth is empty (no snare in these two seconds) is
NaN: undefined, and left out of means.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from pipeline.media.midi import PITCH_CLASSES, Score, drum_class
from pipeline.metrics.timing import beat_f_measure
from pipeline.metrics.transcript import STROKES, Transcript

ONSET_SECONDS = 0.05
EDGE_SECONDS = 0.05
TOGETHER_SECONDS = 0.03
CHORD_SMOOTHING_S = 0.5
# Krumhansl and Kessler's profiles: how well each pitch class fits a key on C.
_PROFILES = {
    "maj": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "min": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_TRIADS = {"maj": (0, 4, 7), "min": (0, 3, 7)}
_NAMES = [f"{root}:{quality}" for quality in ("maj", "min") for root in PITCH_CLASSES]


@dataclass(frozen=True)
class Truth:
    """What the figures need of a score: onsets of all notes and of each drum, beats, downbeats,
    chords, key.
    """

    onsets: np.ndarray
    drums: dict[str, np.ndarray]
    beats: np.ndarray
    downbeats: np.ndarray
    beats_in_bar: int
    chord_spans: np.ndarray
    chord_names: list[str]
    key: str
    duration_s: float


def truth_of(score: Score) -> Truth:
    """What of a score is compared; notes within 30 ms are one onset."""
    strokes = {
        name: [n.start_s for n in score.notes if n.is_drum and drum_class(n.pitch) == name]
        for name in STROKES
    }
    return Truth(
        _together([note.start_s for note in score.notes], score.duration_s),
        {name: _together(times, score.duration_s) for name, times in strokes.items()},
        score.beats,
        score.downbeats,
        _beats_in_bar(score),
        np.array([(c.start_s, c.end_s) for c in score.chords]).reshape(-1, 2),
        [chord.name for chord in score.chords],
        score.key,
        score.duration_s,
    )


def _together(times: list[float], duration_s: float) -> np.ndarray:
    """The times within the clip; the first of several within 30 ms stands for them."""
    kept: list[float] = []
    for time_s in _inside(np.sort(np.asarray(times, dtype=float)), duration_s):
        if not kept or time_s - kept[-1] > TOGETHER_SECONDS:
            kept.append(float(time_s))
    return np.array(kept)


def _inside(times: np.ndarray, duration_s: float) -> np.ndarray:
    return times[(times >= EDGE_SECONDS) & (times <= duration_s - EDGE_SECONDS)]


def _beats_in_bar(score: Score) -> int:
    if len(score.downbeats) < 2:
        return 4
    within = (score.beats >= score.downbeats[0] - 1e-3) & (score.beats < score.downbeats[1] - 1e-3)
    return max(1, int(within.sum()))


def agreement(truth: Truth, heard: Transcript, beats: np.ndarray) -> dict[str, float]:
    """Every figure of a clip by name, in percent, 100 the best; `beats` are the tracked ones in
    seconds.
    """
    figures = {
        "key_agreement": key_agreement(truth.key, heard.chroma),
        "chord_agreement": chord_agreement(truth, heard),
        "note_onset_f": onset_f(truth.onsets, heard.onsets, truth.duration_s),
    }
    for name, strokes in heard.drums.items():
        figures[f"{name}_f"] = onset_f(truth.drums[name], strokes, truth.duration_s)
    figures["beat_truth_f"] = _beat_f(truth.beats, beats)
    figures["downbeat_truth_f"] = _beat_f(truth.downbeats, downbeats(beats, heard, truth))
    return figures


def onset_f(reference: np.ndarray, heard: np.ndarray, duration_s: float) -> float:
    """mir_eval's onset F-measure within 50 ms, in percent; NaN when the reference has no onset, 0
    when only the other has none.
    """
    import mir_eval

    heard = _inside(heard, duration_s)
    if not len(reference):
        return float("nan")
    if not len(heard):
        return 0.0
    return 100 * float(mir_eval.onset.f_measure(reference, heard, window=ONSET_SECONDS)[0])


def _beat_f(reference: np.ndarray, heard: np.ndarray) -> float:
    return beat_f_measure(reference, heard) if len(reference) else float("nan")


def downbeats(beats: np.ndarray, heard: Transcript, truth: Truth) -> np.ndarray:
    """The tracked `beats` that begin a bar: every n-th, the phase whose beats have the most weight
    in the low band. The metre n is the score's.
    """
    if not len(beats):
        return beats
    near = np.abs(heard.weight_times[None] - beats[:, None]) <= EDGE_SECONDS
    weight = np.where(near, heard.weight[None], 0.0).max(axis=1)
    phases = range(min(truth.beats_in_bar, len(beats)))
    best = max(phases, key=lambda phase: weight[phase :: truth.beats_in_bar].mean())
    return beats[best :: truth.beats_in_bar]


def key_agreement(key: str, chroma: np.ndarray) -> float:
    """mir_eval's weighted key score in percent: 100 the key, 50 its fifth, 30 its relative, 20 its
    parallel. The key heard is the one whose profile the clip's mean chroma [12, n] correlates with
    best; 0 where nothing is heard.
    """
    import mir_eval

    mean = _scaled(chroma).mean(axis=1)
    if not np.any(mean > 0) or np.ptp(mean) <= 0:
        return 0.0
    profiles = [np.roll(_PROFILES[q], root) for q in ("maj", "min") for root in range(12)]
    fits = [np.corrcoef(mean, profile)[0, 1] for profile in profiles]
    heard = _NAMES[int(np.argmax(fits))]
    return 100 * float(mir_eval.key.weighted_score(_spoken(key), _spoken(heard)))


def _spoken(key: str) -> str:
    """`A:min` as mir_eval writes keys."""
    root, _, mode = key.partition(":")
    return f"{root} {'minor' if mode == 'min' else 'major'}"


def chord_agreement(truth: Truth, heard: Transcript) -> float:
    """The percentage of the time in which the heard triad is the score's, by mir_eval's `majmin`
    (root and third; chords that are neither major nor minor are left out).

    A frame's triad is the one of 24 nearest to the chroma's median over half a second. NaN when the
    score has no such chord, 0 where nothing is heard.
    """
    import mir_eval

    times = heard.chroma_times
    at = np.searchsorted(truth.chord_spans[:, 0], times, side="right") - 1
    known = [n for n, t in enumerate(times) if at[n] >= 0 and t < truth.chord_spans[at[n], 1]]
    if not known:
        return float("nan")
    names = _triads(heard.chroma, times)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right = mir_eval.chord.majmin(
            [truth.chord_names[at[n]] for n in known], [names[n] for n in known]
        )
    judged = right >= 0
    return 100 * float(right[judged].mean()) if judged.any() else float("nan")


def _triads(chroma: np.ndarray, times: np.ndarray) -> list[str]:
    """The name of each frame's triad, `N` where it is silent."""
    from scipy.ndimage import median_filter

    step = times[1] - times[0] if len(times) > 1 else CHORD_SMOOTHING_S
    width = 2 * round(CHORD_SMOOTHING_S / step / 2) + 1
    smooth = median_filter(_scaled(chroma), size=(1, width), mode="nearest")
    templates = np.zeros((24, 12))
    for number in range(24):
        quality = "maj" if number < 12 else "min"
        templates[number, [(number + step) % 12 for step in _TRIADS[quality]]] = 1.0
    best = (templates @ smooth).argmax(axis=0)
    return [_NAMES[n] if frame.any() else "N" for n, frame in zip(best, smooth.T)]


def _scaled(chroma: np.ndarray) -> np.ndarray:
    """Amplitudes, each frame's largest 1: loud frames do not outweigh soft ones."""
    amplitude = np.sqrt(chroma)
    return amplitude / np.maximum(amplitude.max(axis=0, initial=0.0), 1e-9)
