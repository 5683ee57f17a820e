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

BIT_RATE = 64_000
FLOOR_DB = -70


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
    hop = sample_rate // 86
    mel = librosa.feature.melspectrogram(
        y=np.asarray(audio), sr=sample_rate, n_fft=1024, hop_length=hop, n_mels=64
    )
    decibels = librosa.power_to_db(mel, ref=max(1e-4, float(mel.max(initial=0))), top_db=-FLOOR_DB)
    seconds = len(audio) / sample_rate
    with figure(path, 3.2, 1.15, colours=48, layout=None) as canvas:
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.imshow(
            decibels,
            aspect="auto",
            origin="lower",
            extent=(0, seconds, 0, 1),
            cmap="cividis",
            vmin=FLOOR_DB,
            vmax=0,
        )
        for edge in (0, 0.84):
            axes.axhspan(edge, edge + 0.16, color="#00204c", alpha=0.7, linewidth=0)
        axes.vlines(onsets, 0, 0.16, color="#ffffff", linewidth=1.6)
        if reference is not None:
            axes.vlines(reference, 0.84, 1, color="#ffb000", linewidth=1.6)
        axes.set(xlim=(0, seconds), ylim=(0, 1))
        axes.set_axis_off()
    return [round(float(onset), 3) for onset in onsets]
