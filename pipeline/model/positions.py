"""Positions of elements on the time axis of the content tokens."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F


def sinusoid(positions: Shaped[Tensor, "*S"], width: int) -> Float[Tensor, "*S {width}"]:
    """The sines and cosines [..., width] of positions [...] at wavelengths from 2 pi to 20,000 pi
    (Vaswani et al., 2017).
    """
    n_waves = (width + 1) // 2
    rates = torch.exp(
        torch.arange(n_waves, device=positions.device) * (-math.log(1e4) / max(n_waves - 1, 1))
    )
    angles = positions[..., None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :width]


def resample(sequence: Float[Tensor, "B S C"], length: int) -> Float[Tensor, "B {length} C"]:
    """The sequence [B, S, C] as [B, length, C] over the same span of time, by linear interpolation
    between its centres.
    """
    if sequence.shape[1] == length:
        return sequence
    return F.interpolate(sequence.transpose(1, 2), size=length, mode="linear").transpose(1, 2)
