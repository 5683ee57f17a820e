"""Large matrices of a file in eight bits: whole numbers from -127 to 127, and a scale for each row.

The error of a number is at most half a step, 1/254 of the largest of its row; where a bundle is
rounded to bfloat16 as well, so are the scales.
"""

import torch
from torch import Tensor

SCALE = ":scale"
LEAST_NUMBERS = 4096  # of a tensor that is worth it


def in_eight_bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by name, those large ones that have rows as int8 [rows, ...] beside NAME:scale
    [rows] in float32.
    """
    packed = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() >= LEAST_NUMBERS:
            scale = tensor.float().flatten(1).abs().amax(1).clamp_min(1e-12) / 127
            steps = tensor.float() / _along_rows(scale, tensor)
            packed |= {name: steps.round().to(torch.int8), name + SCALE: scale}
        else:
            packed[name] = tensor
    return packed


def from_eight_bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they were before `in_eight_bits`, in float32 where they were rounded."""
    return {
        name: tensor.float() * _along_rows(tensors[name + SCALE], tensor)
        if name + SCALE in tensors
        else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE)
    }


def _along_rows(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (tensor.ndim - 1))
