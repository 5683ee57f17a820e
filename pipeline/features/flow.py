"""Optical flow by torchvision's RAFT, in the form that the flow I3D reads (reference 3.3)."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_state_dict

LARGEST = 20.0  # pixels a frame; anything faster counts as this
UPDATES = 20
_SMALLEST_SIDE, _MULTIPLE = 128, 8  # what RAFT's pyramid needs


def load_raft(path: Path) -> nn.Module:
    """RAFT-large with the weights in a file of torchvision's layout; raises UserError for any
    other. Nothing is downloaded.
    """
    from torchvision.models.optical_flow import raft_large

    network = raft_large(weights=None, progress=False)
    try:
        network.load_state_dict(read_state_dict(path, "state_dict", "model"))
    except RuntimeError:
        raise UserError(
            f"{path} is not torchvision's RAFT-large; `cdcd weights get raft` fetches it."
        ) from None
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def optical_flow(raft: nn.Module, frames: Tensor, batch_size: int = 8) -> Tensor:
    """The flow [T - 1, 2, H, W] in pixels from each of the frames [T, 3, H, W] in [-1, 1] to the
    next, 20 updates.
    """
    height, width = frames.shape[-2:]
    down, right = (_to_grid(side) - side for side in (height, width))
    frames = F.pad(
        frames, (right // 2, right - right // 2, down // 2, down - down // 2), mode="replicate"
    )
    flows = []
    for at in range(0, len(frames) - 1, batch_size):
        first, second = frames[at : at + batch_size], frames[at + 1 : at + batch_size + 1]
        flow = raft(first[: len(second)], second, num_flow_updates=UPDATES)[-1]
        flows.append(flow[..., down // 2 : down // 2 + height, right // 2 : right // 2 + width])
    return torch.cat(flows)


def _to_grid(side: int) -> int:
    """The next length that RAFT accepts."""
    return max(_SMALLEST_SIDE, -(-side // _MULTIPLE) * _MULTIPLE)


def flow_input(flow: Tensor) -> Tensor:
    """Flow in pixels as the flow I3D saw it in training: cut at 20 pixels, rounded to 8 bits,
    scaled to [-1, 1].
    """
    eight_bits = torch.round(128 + 255 / (2 * LARGEST) * flow.clamp(-LARGEST, LARGEST))
    return 2 * eight_bits / 255 - 1
