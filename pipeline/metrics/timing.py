"""How well two pieces of music agree in time, without bins: mir_eval's F-measures at 70 ms, and
tempo.

`f_measure` itself is called: mir_eval's `evaluate` trims the first five seconds, which leaves
nothing of a two-second clip.
"""

import warnings

import librosa
import numpy as np

from pipeline.metrics.beats import HOP, SAMPLE_RATE

TOLERANCE_SECONDS = 0.07


def onset_f_measure(reference: np.ndarray, generated: np.ndarray) -> float:
    """mir_eval's onset F-measure within 70 ms, in percent, of two sorted lists of seconds; 0 when
    either is empty.
    """
    import mir_eval

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return 100 * float(
            mir_eval.onset.f_measure(reference, generated, window=TOLERANCE_SECONDS)[0]
        )


def beat_f_measure(reference: np.ndarray, generated: np.ndarray) -> float:
    """mir_eval's beat F-measure within 70 ms, in percent, of two sorted lists of seconds; 0 when
    either is empty.
    """
    import mir_eval

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return 100 * float(
            mir_eval.beat.f_measure(reference, generated, f_measure_threshold=TOLERANCE_SECONDS)
        )


def track_beats(envelope: np.ndarray) -> tuple[float, np.ndarray]:
    """(tempo in beats per minute, beats in seconds) of an onset envelope; (NaN, none) in
    silence.
    """
    if not len(envelope) or not np.any(envelope > 0):
        return float("nan"), np.zeros(0)
    tempo, beats = librosa.beat.beat_track(
        onset_envelope=envelope,
        sr=SAMPLE_RATE,
        hop_length=HOP,
        units="time",
        trim=False,
        sparse=True,
    )
    return float(np.atleast_1d(tempo)[0]), np.asarray(beats)


def tempo_difference(reference: float, generated: float) -> float:
    """|difference| in beats per minute; NaN when either tempo is not defined."""
    return abs(float(generated) - float(reference))
