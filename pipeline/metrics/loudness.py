"""Integrated loudness of mono sound by ITU-R BS.1770-4: K-weighting, and gated blocks of 400 ms."""

import numpy as np

from pipeline.runtime.errors import UserError

BLOCK_S, STEP_S = 0.4, 0.1
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
_OFFSET = -0.691


def loudness_lufs(audio: np.ndarray, sample_rate: int) -> float:
    """The integrated loudness of a clip [T] in LUFS: a full-scale sine of 997 Hz has -3.01.

    NaN when no block is louder than -70 LUFS (silence); a clip shorter than a block is one block.
    Raises UserError when the clip holds NaN or infinite numbers.
    """
    from scipy.signal import lfilter

    audio = np.asarray(audio, dtype=np.float64).reshape(-1)
    if not np.isfinite(audio).all():
        raise UserError(
            "A clip of audio holds NaN or infinite numbers; decode or generate it again."
        )
    if not len(audio):
        return float("nan")
    for b, a in k_weighting(sample_rate):
        audio = np.asarray(lfilter(b, a, audio))
    power = _block_power(audio**2, sample_rate)
    level = _OFFSET + 10 * np.log10(np.maximum(power, 1e-30))
    heard = level > ABSOLUTE_GATE
    if not heard.any():
        return float("nan")
    gate = _OFFSET + 10 * np.log10(power[heard].mean()) + RELATIVE_GATE
    return float(_OFFSET + 10 * np.log10(power[heard & (level > gate)].mean()))


def _block_power(squares: np.ndarray, sample_rate: int) -> np.ndarray:
    """The mean of each block of 400 ms, a block every 100 ms."""
    size, step = round(BLOCK_S * sample_rate), round(STEP_S * sample_rate)
    if len(squares) <= size:
        return np.array([squares.mean()])
    total = np.concatenate([[0.0], np.cumsum(squares)])
    starts = np.arange(0, len(squares) - size + 1, step)
    return (total[starts + size] - total[starts]) / size


def k_weighting(sample_rate: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two filters (b, a) of K-weighting at any rate: a shelf of 4 dB above 1.7 kHz (the head),
    and a high pass at 38 Hz; at 48 kHz they are the standard's.
    """
    shelf_hz, gain, shelf_q = 1681.974450955533, 10 ** (3.999843853973347 / 20), 0.7071752369554196
    middle = gain**0.4996667741545416
    k = np.tan(np.pi * shelf_hz / sample_rate)
    norm = 1 + k / shelf_q + k * k
    head = (
        np.array([gain + middle * k / shelf_q + k * k, 2 * (k * k - gain)]),
        np.array([1.0, 2 * (k * k - 1) / norm, (1 - k / shelf_q + k * k) / norm]),
    )
    head = (np.append(head[0], gain - middle * k / shelf_q + k * k) / norm, head[1])
    pass_hz, pass_q = 38.13547087602444, 0.5003270373238773
    k = np.tan(np.pi * pass_hz / sample_rate)
    norm = 1 + k / pass_q + k * k
    low = np.array([1.0, 2 * (k * k - 1) / norm, (1 - k / pass_q + k * k) / norm])
    return [head, (np.array([1.0, -2.0, 1.0]), low)]
