"""How well a clip agrees with the score of its true music: key, chords, drum strokes, notes, beats
and downbeats, in percent.

Times in the first and last 50 ms of a clip are left out on both sides: there, what sounded before
begins, and nothing can be struck. A figure whose truth is empty (no snare in these two seconds) is
NaN: undefined, and left out of means.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from pipeline.media.midi import Score, drum_class
from pipeline.metrics.harmony import key_heard, triads_heard
from pipeline.metrics.timing import beat_f_measure
from pipeline.metrics.transcript import STROKES, Transcript

ONSET_SECONDS = 0.05
EDGE_SECONDS = 0.05
TOGETHER_SECONDS = 0.03


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

    heard = key_heard(chroma)
    if heard is None:
        return 0.0
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
    names = triads_heard(heard.chroma, times)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right = mir_eval.chord.majmin(
            [truth.chord_names[at[n]] for n in known], [names[n] for n in known]
        )
    judged = right >= 0
    return 100 * float(right[judged].mean()) if judged.any() else float("nan")
