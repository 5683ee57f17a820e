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
    if len(magnitude) > 1 and magnitude.device.type == "cpu":  # a clip at a time stays in the cache
        rows = [griffin_lim(row, frames, iterations) for row in magnitude.split(1)]
        return torch.cat(rows)
    spectrum = torch.complex(magnitude, torch.zeros_like(magnitude))
    before = None
    for _ in range(iterations):
        consistent = torch.view_as_real(frames(frames.inverse(spectrum)))
        onward = consistent
        if before is not None:
            onward = (consistent * (1 + MOMENTUM)).sub_(before, alpha=MOMENTUM)
        before = consistent
        real, imaginary = onward.square().unbind(3)
        scale = (real + imaginary).clamp_min_(SILENT**2).rsqrt_().mul_(magnitude)
        spectrum = torch.view_as_complex(onward * scale.unsqueeze(3))
    return frames.inverse(spectrum)
