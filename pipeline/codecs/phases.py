"""The phases that magnitudes do not tell: fast Griffin-Lim."""

import torch
from torch import Tensor

from pipeline.codecs.transform_layers import Frames

MOMENTUM = 0.99  # of Perraudin, Balazs and Sondergaard, "A fast Griffin-Lim algorithm", 2013
SILENT = 1e-8  # magnitudes below it have no phase


def griffin_lim(magnitude: Tensor, frames: Frames, iterations: int) -> Tensor:
    """Waveforms [B, L * hop] whose frames have nearly the given magnitudes [B, L, bins].

    Frames overlap by three quarters, so magnitudes hold almost all that there is to hear: with 32
    iterations the true ones give back sounds whose spectral convergence is about 0.1. Phases begin
    at zero, so the answer depends on the magnitudes alone.
    """
    spectrum = torch.polar(magnitude, torch.zeros_like(magnitude))
    before = None
    for _ in range(iterations):
        consistent = frames(frames.inverse(spectrum))
        onward = consistent
        if before is not None:
            onward = consistent + MOMENTUM * (consistent - before)
        before = consistent
        spectrum = onward * (magnitude / onward.abs().clamp_min(SILENT))
    return frames.inverse(spectrum)
