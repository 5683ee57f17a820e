"""Sounds for the page: small AAC files that every browser plays, and spectrograms with the onsets
drawn.
"""

from pathlib import Path

import av
import librosa
import numpy as np

from pipeline.metrics.beats import onset_envelope, onset_times
from pipeline.reporting.style import figure
from pipeline.runtime.files import atomic

BIT_RATE = 96_000
FLOOR_DB = -70
SIZE = 4.4, 2.0  # inches
MARGIN = 0.07  # of the height, below and above, for the onsets
WINDOW_S, N_MELS, LOWEST_HZ = 0.093, 128, 30.0


def write_m4a(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Writes mono `audio` [T] in [-1, 1] as AAC, scaled down where it exceeds the range."""
    audio = np.asarray(audio, dtype=np.float32).reshape(1, -1)
    audio = audio / max(1.0, float(np.abs(audio).max(initial=0)))
    with atomic(Path(path)) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=sample_rate, layout="mono", bit_rate=BIT_RATE)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(audio), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = sample_rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def draw_spectrogram(
    path: Path, audio: np.ndarray, sample_rate: int, reference: np.ndarray | None
) -> list[float]:
    """The onsets of `audio` [T] in seconds; draws its mel spectrogram with them below and the
    `reference` music's above.
    """
    onsets = onset_times(onset_envelope(audio, sample_rate), "5hz")
    mel = _mel(audio, sample_rate)
    decibels = librosa.power_to_db(mel, ref=max(1e-4, float(mel.max(initial=0))), top_db=-FLOOR_DB)
    seconds = len(audio) / sample_rate
    with figure(path, *SIZE, colours=96, layout=None) as canvas:
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.imshow(
            decibels,
            aspect="auto",
            origin="lower",
            extent=(0, seconds, MARGIN, 1 - MARGIN),
            cmap="magma",
            interpolation="bilinear",
            vmin=FLOOR_DB,
            vmax=0,
        )
        for edge in (0, 1 - MARGIN):
            axes.axhspan(edge, edge + MARGIN, color="#000004", linewidth=0)
        axes.vlines(onsets, 0, MARGIN, color="#ffffff", linewidth=1.6)
        if reference is not None:
            axes.vlines(reference, 1 - MARGIN, 1, color="#ffffff", linewidth=1.6)
        axes.set(xlim=(0, seconds), ylim=(0, 1))
        axes.set_axis_off()
    return [round(float(onset), 3) for onset in onsets]


def _mel(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The mel power spectrogram [128, n] of a clip: windows of 93 ms (2,048 samples at 22,050 Hz),
    so that notes stand apart, sixteen times in one window's length.
    """
    n_fft = 2 ** round(np.log2(WINDOW_S * sample_rate))
    return librosa.feature.melspectrogram(
        y=np.asarray(audio),
        sr=sample_rate,
        n_fft=n_fft,
        hop_length=n_fft // 16,
        n_mels=N_MELS,
        fmin=LOWEST_HZ,
    )
