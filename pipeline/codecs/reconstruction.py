"""How well a codec gives back what it was given, and how much of its codebook it uses."""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pipeline.codecs.quantisers import perplexity
from pipeline.codecs.sound import AnySoundCodec
from pipeline.codecs.spectral_distances import JUKEBOX_RESOLUTIONS, Spectra, SpectralDistance
from pipeline.codecs.transform import TransformCodec
from pipeline.codecs.vqgan import VQGAN
from pipeline.runtime.errors import UserError

ROWS_AT_ONCE = 16


@runtime_checkable
class Content(Protocol):
    """Reads the waveforms [B, T] or the pictures [B, 3, H, W] of rows."""

    def read(self, rows: list[int]) -> Tensor:
        """The examples at `rows`."""
        ...


def reconstruction_scores(
    codec: AnySoundCodec | VQGAN, content: Content, rows: Sequence[int]
) -> dict[str, float]:
    """The reconstruction scores of some rows, read a few at a time."""
    if not rows:
        raise UserError("A codec cannot be judged without examples: its split is empty.")
    batches = (
        content.read(list(rows[start : start + ROWS_AT_ONCE]))
        for start in range(0, len(rows), ROWS_AT_ONCE)
    )
    return (
        audio_reconstruction_scores(codec, batches)
        if not isinstance(codec, VQGAN)
        else image_reconstruction_scores(codec, batches)
    )


@torch.no_grad()
def audio_reconstruction_scores(
    codec: AnySoundCodec, batches: Iterable[Tensor]
) -> dict[str, float]:
    """Mean squared error, signal-to-noise ratio in dB, spectral convergence and codebook use for
    waveforms [B, T].

    Spectral convergence is ||S - S'|| / ||S|| of the magnitude spectra, averaged over Jukebox's
    three resolutions and over clips that are not silent (0 is perfect, silence in place of music
    gives 1). The first two are left out for a transform codec, which finds phases of its own.
    """
    device = codec.quantiser.table.device
    spectra = SpectralDistance(Spectra(resolutions=JUKEBOX_RESOLUTIONS, scale="magnitude")).to(
        device
    )
    histogram = torch.zeros(codec.n_codes, dtype=torch.long, device=device)
    error = energy = samples = 0.0
    convergence: list[float] = []
    for batch in batches:
        codes = codec.encode(batch.to(device))
        output = codec.decode(codes)[:, : batch.shape[1]]
        target = batch.to(device)[:, : output.shape[1]]
        histogram += torch.bincount(codes.flatten(), minlength=codec.n_codes)
        error, energy = (
            error + float((output - target).square().sum()),
            energy + float(target.square().sum()),
        )
        samples += target.numel()
        heard = target.square().mean(1) > 1e-8
        if heard.any():
            ratios = [
                (a - b).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1)
                for a, b in zip(spectra.spectra(target[heard]), spectra.spectra(output[heard]))
            ]
            convergence += torch.stack(ratios).mean(0).tolist()
    figures = {"mse": error / samples, "snr_db": _decibels(energy, error)}
    if isinstance(codec, TransformCodec):
        figures = {}  # phases of its own: samples are not comparable one by one
    if convergence:
        figures["spectral_convergence"] = sum(convergence) / len(convergence)
    return figures | _codebook_use(histogram)


@torch.no_grad()
def image_reconstruction_scores(codec: VQGAN, batches: Iterable[Tensor]) -> dict[str, float]:
    """Mean squared error, peak signal-to-noise ratio in dB and codebook use for pictures [B, 3, H,
    W] in [0, 1].
    """
    device = codec.quantiser.table.device
    histogram = torch.zeros(codec.n_codes, dtype=torch.long, device=device)
    error = pixels = 0.0
    for batch in batches:
        target = batch.to(device)
        tokens = codec.encode(target)
        output = codec.decode(
            tokens, (target.shape[2] // codec.factor, target.shape[3] // codec.factor)
        )
        histogram += torch.bincount(tokens.flatten(), minlength=codec.n_codes)
        error, pixels = error + float((output - target).square().sum()), pixels + target.numel()
    return {"mse": error / pixels, "psnr_db": _decibels(pixels, error)} | _codebook_use(histogram)


def _decibels(signal: float, noise: float) -> float:
    return 10 * math.log10(max(signal, 1e-20) / max(noise, 1e-20))


def _codebook_use(histogram: Tensor) -> dict[str, float]:
    """Codes that occur, their perplexity, and the perplexity as a share of the codebook."""
    effective = perplexity(histogram)
    return {
        "codes": len(histogram),
        "used_codes": int((histogram > 0).sum()),
        "perplexity": effective,
        "perplexity_share": effective / len(histogram),
    }
