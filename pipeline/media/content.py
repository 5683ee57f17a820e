"""What a data set's rows sound or look like: waveforms and pictures as tensors, as the codecs take
them.
"""

import numpy as np
import torch
from torch import Tensor

from pipeline.media.audio import peak, read_audio
from pipeline.media.image import centre_crop, load_rgb, training_crop
from pipeline.runtime.progress import in_threads
from pipeline.storage.manifest import Manifest


class AudioClips:
    """The waveforms of clips, `seconds` long each, brought to `level` at their peak (None: left as
    they are).
    """

    def __init__(self, manifest: Manifest, sample_rate: int, seconds: float, level: float | None):
        self.manifest, self.sample_rate, self.seconds, self.level = (
            manifest,
            sample_rate,
            seconds,
            level,
        )

    def read(self, rows: list[int]) -> Tensor:
        """[B, T] float32 in [-1, 1]: the clips at `rows`; a silent one stays silent."""
        return torch.from_numpy(np.stack(list(in_threads(self._read, rows))))

    def _read(self, row: int) -> np.ndarray:
        clip = self.manifest.clips[row]
        waveform = read_audio(
            self.manifest.file(clip), self.sample_rate, clip.start_s or 0.0, self.seconds
        )
        if self.level is None or peak(waveform) == 0:
            return waveform
        return (waveform * (self.level / peak(waveform))).astype(np.float32)

    def crop(self, waveforms: Tensor, size: int, generator: np.random.Generator) -> Tensor:
        """[B, size]: a random stretch of each waveform, at an amplitude drawn from 0.3 to 1 as the
        original training does.
        """
        starts = generator.integers(0, waveforms.shape[1] - size + 1, len(waveforms))
        gains = torch.from_numpy(
            generator.uniform(0.3, 1.0, (len(waveforms), 1)).astype(np.float32)
        )
        return (
            torch.stack([wave[start : start + size] for wave, start in zip(waveforms, starts)])
            * gains
        )


class Images:
    """The pictures of a data set as squares of `size` pixels."""

    def __init__(self, manifest: Manifest, size: int):
        self.manifest, self.size = manifest, size

    def read(self, rows: list[int], generator: np.random.Generator | None = None) -> Tensor:
        """[B, 3, size, size] in [0, 1]: centre crops, or random ones (reference 11.6) with a
        generator.
        """
        if generator is None:
            squares = list(in_threads(self._centre, rows))
        else:
            images = in_threads(self._load, rows)
            squares = [training_crop(image, self.size, generator) for image in images]
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255

    def _load(self, row: int) -> np.ndarray:
        return load_rgb(self.manifest.file(self.manifest.clips[row]))

    def _centre(self, row: int) -> np.ndarray:
        return centre_crop(self._load(row), self.size)
