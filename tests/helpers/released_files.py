"""Checkpoints in the published layouts at small sizes, and the published key tables, written down
from the papers' files.
"""

import torch


def block_layout(i, n, steps, factor, feed_forward, condition=None, classes=None):
    """Names and shapes of block i: `condition` numbers attended to, or `classes` that drive the
    normalisation.
    """
    p = f"blocks.{i}."

    def linear(name, rows, columns):
        return {f"{p}{name}.weight": (rows, columns), f"{p}{name}.bias": (rows,)}

    def adaptive(name, rows):
        return {f"{p}{name}.emb.weight": (rows, n)} | linear(f"{name}.linear", 2 * n, n)

    layout = adaptive("ln1", steps)
    attention = "attn" if classes else "attn1"
    for part in ("key", "query", "value", "proj"):
        layout |= linear(f"{attention}.{part}", n, n)
    if classes:
        layout |= adaptive("ln2", classes)
    else:
        layout |= adaptive("ln1_1", steps) | {f"{p}ln2.weight": (n,), f"{p}ln2.bias": (n,)}
        for part, columns in (("key", condition), ("value", condition), ("query", n), ("proj", n)):
            layout |= linear(f"attn2.{part}", n, columns)
    if feed_forward == "linear":
        return layout | linear("mlp.0", factor * n, n) | linear("mlp.2", n, factor * n)
    for name, rows, columns in (("conv1", factor * n, n), ("conv2", n, factor * n)):
        layout |= {f"{p}mlp.{name}.weight": (rows, columns, 3, 3), f"{p}mlp.{name}.bias": (rows,)}
    return layout


def denoiser_layout(layers, n, codes, steps, table, **block):
    """Names and shapes of a whole denoiser, mask buffers apart."""
    layout = {
        "content_emb.emb.weight": (codes + 1, n),
        "content_emb.height_emb.weight": (table[0], n),
        "content_emb.width_emb.weight": (table[1], n),
        "to_logits.0.weight": (n,),
        "to_logits.0.bias": (n,),
        "to_logits.1.weight": (codes, n),
        "to_logits.1.bias": (codes,),
    }
    for i in range(layers):
        layout |= block_layout(i, n, steps, **block)
    return layout


def motion_layout(frames, numbers, widths, wide=800, out=1024):
    """Names and shapes of the motion encoder."""
    layout = {
        "lin1.weight": (wide, numbers),
        "lin1.bias": (wide,),
        "lin2.weight": (out, wide - 14),
        "lin2.bias": (out,),
    }
    previous = frames
    for (convolution, kernel), width in zip(
        ((0, 6), (7, 4), (13, 4), (19, 4)), (*widths, 1), strict=True
    ):
        layout |= {
            f"model.{convolution}.weight": (width, previous, kernel),
            f"model.{convolution}.bias": (width,),
        }
        previous = width
    for first, width in zip((2, 8, 14), widths, strict=True):
        for block in range(first, first + 4):
            for part, kernel in (("block.2", 3), ("block.4", 1), ("shortcut", 1)):
                p = f"model.{block}.{part}"
                layout |= {
                    f"{p}.bias": (width,),
                    f"{p}.weight_g": (width, 1, 1),
                    f"{p}.weight_v": (width, width, kernel),
                }
    return layout


def filled(layout, seed, scale=0.2):
    """A state dict of this layout with weights drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * scale for name, shape in layout.items()}


def prefixed(prefix, state):
    """The state dict with `prefix` before every name."""
    return {prefix + name: tensor for name, tensor in state.items()}


def buffers(steps, layers, length):
    """What the diffusion wrapper and the cross-attention save beside their parameters."""
    state = {
        name: torch.zeros(steps)
        for name in ("log_at", "log_bt", "log_ct", "log_1_min_ct", "Lt_history", "Lt_count")
    }
    state |= {
        f"log_{name}": torch.zeros(steps + 1)
        for name in ("cumprod_at", "cumprod_bt", "cumprod_ct", "1_min_cumprod_ct")
    }
    masks = {
        f"transformer.blocks.{i}.attn2.mask": torch.ones(1, 1, length, length).tril()
        for i in range(layers)
    }
    return state | masks


DANCE = {
    "aist": {"numbers": 219, "widths": (4, 4, 6), "genres": 10},
    "tiktok": {"numbers": 75, "widths": (2, 4, 6), "genres": 0},
}


def dance_checkpoint(
    kind,
    seed=0,
    frames=12,
    width=32,
    codes=20,
    steps=7,
    length=18,
    layers=2,
    visual=24,
    genre_width=8,
):
    """A training checkpoint of the authors' dance model: `model`, `ema` and what lies beside
    them.
    """
    facts = DANCE[kind]
    denoiser = denoiser_layout(
        layers, width, codes, steps, (1, length), factor=4, feed_forward="linear", condition=width
    )
    fusion = {"lin1.weight": (width, width + visual + genre_width), "lin1.bias": (width,)}
    if facts["genres"]:
        fusion |= {"condition_emb.genre_embed.weight": (facts["genres"], genre_width)}
    else:
        fusion |= {"lin2.weight": (width, width + visual), "lin2.bias": (width,)}
    motion = motion_layout(frames, facts["numbers"], facts["widths"], wide=60, out=width)

    def wrapper(seed):
        return (
            prefixed("transformer.", filled(denoiser, seed))
            | filled(fusion, seed + 1)
            | buffers(steps, layers, length)
        )

    model = prefixed("transformer.", wrapper(seed)) | prefixed(
        "condition_codec_motion.", filled(motion, seed + 2)
    )
    model |= {
        "vqvae.bottleneck.level_blocks.0.k": torch.zeros(4, 2),
        "transformer.vqvae.decoders.0.out.bias": torch.zeros(1),
    }
    ema = wrapper(seed + 100)
    return {
        "last_epoch": 3,
        "last_iter": 9,
        "model": model,
        "ema": ema,
        "clip_grad_norm": {"last": 1.0},
    }
