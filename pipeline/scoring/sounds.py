"""Sound tracks of outputs as an evaluation hears them: mono, of one rate, one length and, where
asked, one peak.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.media.audio import is_silent, read_audio, reduce_noise
from pipeline.media.container import open_media
from pipeline.media.content import AudioClips
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import Clip, Manifest

SLACK_S = 0.06  # two frames of AAC: sound tracks end that much early or late


@dataclass(frozen=True)
class Sounds:
    """How files are heard: at `sample_rate`, `seconds` long, brought to `level` at their peak
    (None: as they are), with or without spectral gating.
    """

    sample_rate: int
    seconds: float
    level: float | None = None
    noise_reduce: bool = False

    def read(self, file: Path) -> np.ndarray:
        """The waveform [T] of a file: resampled, cut or padded with silence."""
        manifest = Manifest((Clip(file.stem, file.name, "infer"),), file.parent)
        clips = AudioClips(manifest, self.sample_rate, self.seconds, self.level)
        waveform = clips.read([0])[0].numpy()
        return reduce_noise(waveform, self.sample_rate) if self.noise_reduce else waveform

    def check(self, file: Path) -> str | None:
        """What a reader of the figures should know of a file; raises UserError when it cannot be
        heard.
        """
        rate, seconds = rate_and_length(file)
        waveform = self.read(file)
        if not np.isfinite(waveform).all():
            raise UserError(f"{file} holds NaN or infinite numbers; write it again.")
        said = []
        if rate != self.sample_rate:
            said.append(f"are resampled from {rate} to {self.sample_rate} Hz")
        if abs(seconds - self.seconds) > SLACK_S:
            done = "longer and cut" if seconds > self.seconds else "shorter and padded with silence"
            said.append(f"are not {self.seconds:g} s long: {done}")
        if is_silent(waveform):
            said.append("are silent, and measured so")
        return "; ".join(said)


def rate_and_length(file: Path) -> tuple[int, float]:
    """The sample rate and the seconds of a file's sound track; raises UserError where there is
    none.
    """
    with open_media(file) as container:
        stream = next(iter(container.streams.audio), None)
        rate = getattr(stream, "sample_rate", 0)
        if stream is None or not rate:
            raise UserError(f"{file} has no sound track that can be decoded.")
        if stream.duration is not None and stream.time_base is not None:
            return rate, float(stream.duration * stream.time_base)
    return rate, len(read_audio(file, rate)) / rate
