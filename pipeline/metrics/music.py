"""How a clip sounds beside its true music: mel distance, spectral convergence and chroma
similarity; and by itself: flatness (hiss).

Spectra are taken at the clip's own sample rate, so over all that its codec can voice. A generated
clip is cut to the frames of the reference, or is silent where it ends before. Where the reference
is silent nothing can be compared: the figure is NaN.
"""

from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np

from pipeline.runtime.errors import UserError

N_FFT, HOP, N_MELS = 1024, 256, 64
CHROMA_N_FFT, CHROMA_HOP = 4096, 1024
FLOOR_DB = 60.0
FLATNESS_FLOOR_DB = 80.0


@dataclass(frozen=True)
class Spectra:
    """What the measures read of a clip: `magnitudes` [513, n], `mel` power [64, n] (both every 256
    samples) and `chroma` power [12, m] (every 1,024 samples; row 0 is C, tuned to A = 440 Hz).
    """

    magnitudes: np.ndarray
    mel: np.ndarray
    chroma: np.ndarray


def spectra(audio: np.ndarray, sample_rate: int) -> Spectra:
    """The spectra of a clip [T] in [-1, 1]; raises UserError when it holds NaN or infinite
    numbers.
    """
    audio = np.asarray(audio, dtype=np.float32).reshape(-1)
    if not np.isfinite(audio).all():
        raise UserError(
            "A clip of audio holds NaN or infinite numbers; decode or generate it again."
        )
    audio = np.pad(audio, (0, max(0, CHROMA_N_FFT - len(audio))))
    magnitudes = np.abs(librosa.stft(audio, n_fft=N_FFT, hop_length=HOP))
    long = np.abs(librosa.stft(audio, n_fft=CHROMA_N_FFT, hop_length=CHROMA_HOP))
    return Spectra(
        magnitudes, _mel_bank(sample_rate) @ magnitudes**2, _chroma_bank(sample_rate) @ long**2
    )


@lru_cache(maxsize=8)
def _mel_bank(sample_rate: int) -> np.ndarray:
    return librosa.filters.mel(sr=sample_rate, n_fft=N_FFT, n_mels=N_MELS)


@lru_cache(maxsize=8)
def _chroma_bank(sample_rate: int) -> np.ndarray:
    return librosa.filters.chroma(sr=sample_rate, n_fft=CHROMA_N_FFT, tuning=0.0)


def mel_distance_db(reference: np.ndarray, generated: np.ndarray) -> float:
    """The mean absolute difference in dB, 0 to about 60, of two mel power spectrograms [bands, n];
    both are floored 60 dB under the reference's peak.

    0 for the same sound. NaN when the reference is silent.
    """
    peak = float(np.max(reference, initial=0.0))
    if peak <= 0:
        return float("nan")
    floor = peak * 10 ** (-FLOOR_DB / 10)
    generated = _as_long(generated, reference.shape[1])
    ratio = np.maximum(reference, floor) / np.maximum(generated, floor)
    return float(np.mean(np.abs(10 * np.log10(ratio))))


def spectral_convergence(reference: np.ndarray, generated: np.ndarray) -> float:
    """The Frobenius norm of the difference of two magnitude spectrograms [bins, n] over that of the
    reference: 0 for the same sound, 1 for silence, above for what is louder and elsewhere.

    NaN when the reference is silent.
    """
    norm = float(np.linalg.norm(reference))
    if norm <= 0:
        return float("nan")
    return float(np.linalg.norm(reference - _as_long(generated, reference.shape[1])) / norm)


def chroma_similarity(reference: np.ndarray, generated: np.ndarray) -> float:
    """The mean cosine, 0 to 1, of the frames of two chromagrams [12, n] in which the reference
    sounds; a frame in which the generated music is silent counts 0.

    1 for the same pitch classes in the same proportions. NaN when the reference is silent.
    """
    generated = _as_long(generated, reference.shape[1])
    lengths = np.linalg.norm(reference, axis=0), np.linalg.norm(generated, axis=0)
    sounding = lengths[0] > 1e-6 * np.max(lengths[0], initial=0.0)
    if not sounding.any():
        return float("nan")
    product = np.sum(reference.astype(np.float64) * generated, axis=0)
    scale = lengths[0] * lengths[1]
    cosine = np.divide(product, scale, out=np.zeros(len(product)), where=scale > 0)
    return float(cosine[sounding].mean())


def flatness_db(magnitudes: np.ndarray) -> float:
    """The mean spectral flatness in dB, -80 to 0, of the sounding frames of a magnitude spectrogram
    [bins, n]: the geometric over the arithmetic mean of the power.

    White noise has -2.5, a chord on instruments some -40 to -25. A frame sounds within 60 dB of the
    loudest; power is floored 80 dB under the clip's peak. NaN for silence.
    """
    power = magnitudes.astype(np.float64) ** 2
    energy, peak = power.mean(axis=0), float(np.max(power, initial=0.0))
    if peak <= 0:
        return float("nan")
    sounding = energy > energy.max() * 10 ** (-FLOOR_DB / 10)
    power = np.maximum(power[:, sounding], peak * 10 ** (-FLATNESS_FLOOR_DB / 10))
    flatness = np.log10(power).mean(axis=0) - np.log10(power.mean(axis=0))
    return float(10 * flatness.mean())


def likeness(reference: Spectra, generated: Spectra) -> dict[str, float]:
    """How like the true music a clip sounds: `mel_distance` (dB), `spectral_convergence`,
    `chroma_similarity`.
    """
    return {
        "mel_distance": mel_distance_db(reference.mel, generated.mel),
        "spectral_convergence": spectral_convergence(reference.magnitudes, generated.magnitudes),
        "chroma_similarity": chroma_similarity(reference.chroma, generated.chroma),
    }


def _as_long(frames: np.ndarray, n: int) -> np.ndarray:
    """The first `n` frames [., n]; what is missing is silent."""
    return np.pad(frames[:, :n], ((0, 0), (0, max(0, n - frames.shape[1]))))
