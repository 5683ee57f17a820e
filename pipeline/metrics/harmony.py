"""Harmony by itself, from a chromagram: the key, the triads, and how clear they are."""

import numpy as np

from pipeline.media.midi import PITCH_CLASSES

SMOOTHING_S = 0.5
# Krumhansl and Kessler's profiles: how well each pitch class fits a key on C.
_PROFILES = {
    "maj": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "min": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_TRIADS = {"maj": (0, 4, 7), "min": (0, 3, 7)}
_NAMES = [f"{root}:{quality}" for quality in ("maj", "min") for root in PITCH_CLASSES]


def key_heard(chroma: np.ndarray) -> str | None:
    """The key, such as `A:min`, whose profile the mean chroma of a clip [12, n] correlates with
    best; None where nothing is heard.
    """
    mean = _scaled(np.sqrt(chroma)).mean(axis=1)
    if not np.any(mean > 0) or np.ptp(mean) <= 0:
        return None
    profiles = [np.roll(_PROFILES[q], root) for q in ("maj", "min") for root in range(12)]
    return _NAMES[int(np.argmax([np.corrcoef(mean, profile)[0, 1] for profile in profiles]))]


def triads_heard(chroma: np.ndarray, times: np.ndarray) -> list[str]:
    """The name of the triad of each frame of chroma power [12, n], such as `A:min`: the one of 24
    nearest to the median over half a second; `N` where it is silent.
    """
    smooth = _smoothed(np.sqrt(chroma), times)
    best = (_templates() @ smooth).argmax(axis=0)
    return [_NAMES[n] if frame.any() else "N" for n, frame in zip(best, smooth.T)]


def triad_share(chroma: np.ndarray, times: np.ndarray) -> float:
    """The mean percentage, over the sounding frames of chroma power [12, n], that lies in the best
    of the 24 triads, after a median over half a second.

    It asks whether there is a chord, not which. Some 72 for a triad of pure tones, as the bands of
    the pitch classes overlap, and 26 for white noise (three of twelve classes, the best of 24); NaN
    for silence.
    """
    smooth = _smoothed(chroma, times)
    total = smooth.sum(axis=0)
    if not (total > 0).any():
        return float("nan")
    best = (_templates() @ smooth).max(axis=0)
    return float(100 * (best[total > 0] / total[total > 0]).mean())


def _smoothed(chroma: np.ndarray, times: np.ndarray) -> np.ndarray:
    from scipy.ndimage import median_filter

    step = times[1] - times[0] if len(times) > 1 else SMOOTHING_S
    width = 2 * round(SMOOTHING_S / step / 2) + 1
    return median_filter(_scaled(chroma), size=(1, width), mode="nearest")


def _templates() -> np.ndarray:
    """[24, 12]: 1 for the pitch classes of each triad, in the order of `_NAMES`."""
    templates = np.zeros((24, 12))
    for number in range(24):
        quality = "maj" if number < 12 else "min"
        templates[number, [(number + step) % 12 for step in _TRIADS[quality]]] = 1.0
    return templates


def _scaled(chroma: np.ndarray) -> np.ndarray:
    """Each frame's largest 1: loud frames do not outweigh soft ones."""
    return chroma / np.maximum(chroma.max(axis=0, initial=0.0), 1e-9)
