"""Names in published checkpoints and in our denoisers, and the published layout that a denoiser
stands for.
"""

import re

import torch
from torch import Tensor

from pipeline.model.denoiser import ClassBlock, Denoiser

RENAMED = (
    (r"^codes\.", "content_emb.emb."),
    (r"^positions\.rows\.", "content_emb.height_emb."),
    (r"^positions\.columns\.", "content_emb.width_emb."),
    (r"\.norm1\.", ".ln1."),
    (r"\.norm_cross\.", ".ln1_1."),
    (r"\.norm2\.", ".ln2."),
    (r"\.cross\.", ".attn2."),
    (r"\.feed_forward\.", ".mlp."),
    (r"^norm\.", "to_logits.0."),
    (r"^output\.", "to_logits.1."),
)
FUSED = {".qkv.": (".query.", ".key.", ".value."), ".kv.": (".key.", ".value.")}


def published_names(name: str, denoiser: Denoiser) -> tuple[str, ...]:
    """The published tensors that make up our tensor `name`, in the order in which they are
    stacked.
    """
    is_class = isinstance(denoiser.blocks[0], ClassBlock)
    for ours, theirs in (*RENAMED, (r"\.attention\.", ".attn." if is_class else ".attn1.")):
        name = re.sub(ours, theirs, name)
    for ours, theirs in FUSED.items():
        if ours in name:
            return tuple(name.replace(ours, part) for part in theirs)
    return (name,)


def released_layout(denoiser: Denoiser) -> dict[str, tuple[int, ...]]:
    """Name and shape of every published parameter of this denoiser (buffers apart)."""
    layout = {}
    for name, tensor in denoiser.state_dict().items():
        names = published_names(name, denoiser)
        layout |= dict.fromkeys(names, (tensor.shape[0] // len(names), *tensor.shape[1:]))
    return layout


def translated(denoiser: Denoiser, published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict in float32, copied from published tensors that fit `released_layout`."""
    return {
        name: torch.cat([published[part].float() for part in published_names(name, denoiser)])
        for name in denoiser.state_dict()
    }
