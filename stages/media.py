"""Samples as files that people hear and see: wav and video for dances, pictures for captions and
classes.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.codecs.vqgan import VQGAN
from pipeline.media.audio import reduce_noise, write_wav
from pipeline.media.video import EXTENSIONS, write_clip
from pipeline.runtime.device import device
from pipeline.runtime.files import atomic
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import Store
from stages.config import AnyDataset
from stages.content import Codec
from stages.paths import Paths

SHORT_SIDE = 360  # pixels of the videos that people look at


def write_media(settings: AnyDataset, paths: Paths, manifest: Manifest, codec: Codec) -> int:
    """Writes the first seed's samples of the first `sample.media` rows below samples/media; returns
    how many.
    """
    store = Store(paths.samples / "samples.h5", "samples")
    clips = {clip.id: clip for clip in manifest.clips}
    count = min(settings.sample.media, len(store))
    for row in range(count):
        tokens = torch.from_numpy(store["tokens"][row][:1].astype(np.int64)).to(device())
        content = codec.decode(tokens)[0].float().cpu().numpy()
        clip, stem = clips[store.ids[row]], paths.samples / "media" / store.ids[row]
        stem.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(codec, VQGAN):
            _write_picture(stem.with_name(f"{stem.name}.png"), content)
            continue
        rate = codec.sample_rate
        waveform = reduce_noise(content, rate) if settings.sample.noise_reduce else content
        write_wav(stem.with_name(f"{stem.name}.wav"), waveform, rate)
        source = manifest.file(clip)
        if source.suffix.lower() in EXTENSIONS:  # ready features come without pictures
            film, seconds = stem.with_name(f"{stem.name}.mp4"), len(waveform) / rate
            write_clip(source, film, clip.start_s or 0.0, seconds, waveform, rate, SHORT_SIDE)
    return count


def _write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes a picture [3, H, W] in [0, 1] as png."""
    pixels = (picture.transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8)
    with atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")
