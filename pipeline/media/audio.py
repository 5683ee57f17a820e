"""Sound: any file's sound track as mono float32 at a given rate, and wav files.

Peaks: a stretch whose peak passes 1 after decoding or resampling (lossy tracks do) is scaled down
to a peak of 1 as a whole. Nothing is ever clipped, and nothing quieter is touched.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import numpy as np
import soundfile
import soxr

from pipeline.media.container import open_media, origin_s
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

SILENCE_DB = -50.0
WRITTEN = {".wav": ("WAV", "PCM_16"), ".mp3": ("MP3", None), ".flac": ("FLAC", "PCM_16")}
_MP3_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
MOST_CHANNELS = 8  # beyond them FFmpeg keeps planes where PyAV does not look: it would crash
_MARGIN_S = 0.5


def read_audio(
    path: Path, sample_rate: int, start_s: float = 0.0, duration_s: float | None = None
) -> np.ndarray:
    """The sound from `start_s` on as mono float32 [T] with peak <= 1; T = round(duration_s *
    sample_rate) exactly.

    Channels are averaged; resampling is soxr's high quality. Before its first and after its last
    sample a sound track is zero. Without `duration_s`: to the end. Raises UserError when the file
    cannot be decoded or has no sound track.
    """
    margin = (
        round(_MARGIN_S * sample_rate) if start_s > 0 else 0
    )  # what the resampling filter sees before the stretch
    wanted = None if duration_s is None else duration_s + margin / sample_rate + _MARGIN_S
    native, native_rate = _decode(Path(path), start_s - margin / sample_rate, wanted)
    waveform = (
        soxr.resample(native, native_rate, sample_rate) if native_rate != sample_rate else native
    )
    waveform = waveform[margin:]
    if duration_s is not None:
        length = round(duration_s * sample_rate)
        waveform = np.pad(waveform[:length], (0, max(0, length - len(waveform))))
    return limit_peak(waveform)


def _decode(path: Path, start_s: float, duration_s: float | None) -> tuple[np.ndarray, int]:
    """Mono float32 samples at the file's own rate from exactly `start_s`, at most `duration_s` of
    them, and the rate.
    """
    with open_media(path) as container:
        if not container.streams.audio:
            raise UserError(f"{path} has no sound track; it can only be used for inference.")
        stream = container.streams.audio[0]
        rate = getattr(stream, "sample_rate", 0)  # none where no decoder knows the sound
        if not rate or stream.codec_context.channels > MOST_CHANNELS:
            raise UserError(f"{path} cannot be decoded: its sound is damaged or of no known kind.")
        if start_s > 0:
            container.seek(round((start_s - _MARGIN_S + origin_s(container)) * av.time_base))
        blocks, first, end = [], None, None
        for time_s, block in _blocks(container, stream):
            first = time_s if first is None else first
            end = round((start_s + duration_s - first) * rate) if duration_s is not None else None
            blocks.append(block)
            if end is not None and sum(map(len, blocks)) >= end:
                break
    if first is None:
        return np.zeros(0, np.float32), rate
    samples = np.concatenate(blocks)[:end]
    skip = round((start_s - first) * rate)
    return (samples[skip:] if skip >= 0 else np.pad(samples, (-skip, 0))), rate


def _blocks(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[tuple[float, np.ndarray]]:
    """The stream's decoded blocks: start time in seconds, mono float32 samples."""
    to_float = av.AudioResampler(format="fltp")
    origin = origin_s(container)
    for frame in container.decode(stream):
        time_s = (frame.time or 0.0) - origin
        for part in to_float.resample(frame):
            yield time_s, part.to_ndarray().mean(axis=0, dtype=np.float32)


def limit_peak(waveform: np.ndarray) -> np.ndarray:
    """The waveform as float32, scaled as a whole to a peak of 1 when its peak passes 1."""
    return (waveform / max(1.0, peak(waveform))).astype(np.float32)


def peak(waveform: np.ndarray) -> float:
    """The largest absolute sample; 0 for an empty waveform."""
    return float(np.max(np.abs(waveform), initial=0.0))


def rms_db(waveform: np.ndarray) -> float:
    """The root-mean-square level in dB relative to full scale, -inf for digital silence."""
    power = float(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    return 10 * np.log10(power) if power > 0 else -np.inf


def is_silent(waveform: np.ndarray, threshold_db: float = SILENCE_DB) -> bool:
    """Whether the level lies below `threshold_db`: no music to learn from."""
    return rms_db(waveform) < threshold_db


def write_wav(path: Path, waveform: np.ndarray, sample_rate: int) -> None:
    """Writes a mono 16-bit wav file atomically; peaks above 1 are scaled down, never clipped."""
    _write(Path(path), waveform, sample_rate, *WRITTEN[".wav"])


def write_sound(path: Path, waveform: np.ndarray, sample_rate: int) -> None:
    """Writes a mono file of the kind that the ending of `path` names (wav and flac in 16 bits,
    mp3), as `write_wav` does; raises UserError for any other ending.

    An mp3 knows some sample rates only: sound of another goes to the next higher one.
    """
    kind = WRITTEN.get(Path(path).suffix.lower())
    if kind is None:
        raise UserError(f"{path}: sound is written as {', '.join(WRITTEN)}; end the name with one.")
    if kind[0] == "MP3" and sample_rate not in _MP3_RATES:
        rate = next((rate for rate in _MP3_RATES if rate > sample_rate), _MP3_RATES[-1])
        waveform, sample_rate = soxr.resample(waveform, sample_rate, rate), rate
    _write(Path(path), waveform, sample_rate, *kind)


def _write(
    path: Path, waveform: np.ndarray, sample_rate: int, kind: str, subtype: str | None
) -> None:
    content = io.BytesIO()  # libsndfile says of a full disk only "System error"
    soundfile.write(content, limit_peak(waveform), sample_rate, format=kind, subtype=subtype)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def reduce_noise(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """The waveform after spectral gating (noisereduce, its defaults), as the published evaluation
    applies it; float32 [T].
    """
    import noisereduce

    if peak(waveform) == 0:
        return waveform.astype(np.float32)
    return noisereduce.reduce_noise(y=waveform, sr=sample_rate).astype(np.float32)
