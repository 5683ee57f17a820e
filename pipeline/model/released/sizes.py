"""What a published denoiser's weights say of its sizes, and what a configuration must add."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from pipeline.model.denoiser import DenoiserConfig
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import read_yaml

PUBLISHED_HEADS = 16
CLASS_GRID = (16, 16)
PUBLISHED = {  # (layers, width, feed-forward, factor) by whether the class drives the normalisation
    False: {(19, 1024, "linear", 4), (18, 192, "conv", 2)},
    True: {(24, 512, "conv", 4)},
}
SPELLINGS = {  # in our words, in the short words of research scripts, in the authors' yaml
    "heads": ("heads", "n_heads", "nh", "n_head"),
    "grid": ("grid", "sp"),
    "n_steps": ("steps", "n_steps", "T", "diffusion_step"),
    "layers": ("layers", "n_layers", "nl", "n_layer"),
    "width": ("width", "C", "n_embd"),
    "n_codes": ("codes", "n_codes", "K"),
    "length": ("length", "L", "content_seq_len"),
}


@dataclass(frozen=True)
class Sizes:
    """What the weights themselves say."""

    is_class: bool
    layers: int
    width: int
    feed_forward: Literal["linear", "conv"]
    factor: int
    n_codes: int
    n_steps: int
    table: tuple[int, int]
    condition_size: int
    """Numbers of a condition element, or classes."""
    length: int | None
    """Number of tokens, where a saved mask tells."""


def sizes_of(published: Mapping[str, Tensor], path: Path) -> Sizes:
    """The sizes of a denoiser under published names; raises UserError when a tensor that tells one
    is missing.
    """
    try:
        rows, width = published["content_emb.emb.weight"].shape
        is_class = "blocks.0.attn.query.weight" in published
        feed_forward = "conv" if "blocks.0.mlp.conv1.weight" in published else "linear"
        first = published[f"blocks.0.mlp.{'conv1' if feed_forward == 'conv' else '0'}.weight"]
        classes_or_keys = (
            published["blocks.0.ln2.emb.weight"]
            if is_class
            else published["blocks.0.attn2.key.weight"].T
        )
        mask = published.get("blocks.0.attn2.mask")
        return Sizes(
            is_class=is_class,
            layers=1
            + max(int(name.split(".")[1]) for name in published if name.startswith("blocks.")),
            width=width,
            feed_forward=feed_forward,
            factor=first.shape[0] // width,
            n_codes=rows - 1,
            n_steps=len(published["blocks.0.ln1.emb.weight"]),
            table=(
                len(published["content_emb.height_emb.weight"]),
                len(published["content_emb.width_emb.weight"]),
            ),
            condition_size=len(classes_or_keys),
            length=None if mask is None else mask.shape[-1],
        )
    except KeyError as error:
        raise UserError(
            f"{path} does not fit any denoiser of CDCD or VQ-Diffusion: {error.args[0]} is missing."
        ) from None


def settings(
    sizes: Sizes, config: Mapping | Path | None, path: Path
) -> tuple[DenoiserConfig, tuple[int, int] | None]:
    """The denoiser's configuration and grid: from `config`, or, without one, the published
    configuration of these sizes.
    """
    given = (
        {}
        if config is None
        else _given(config if isinstance(config, Mapping) else read_yaml(config))
    )
    if config is None:
        if (sizes.layers, sizes.width, sizes.feed_forward, sizes.factor) not in PUBLISHED[
            sizes.is_class
        ]:
            raise UserError(
                f"{path} ({sizes.layers} layers x {sizes.width}, {sizes.feed_forward} x"
                f" {sizes.factor}) is none of the published configurations; give config={{'heads':"
                " ..., 'grid': (rows, columns)}."
            )
        given: dict = {"heads": PUBLISHED_HEADS} | ({"grid": CLASS_GRID} if sizes.is_class else {})
    if "heads" not in given:
        raise UserError(
            f"{path}: the configuration must say `heads`, which the weights do not show."
        )
    for name in ("n_steps", "layers", "width", "n_codes", "length"):
        found = getattr(sizes, name)
        if name in given and found is not None and given[name] != found:
            raise UserError(
                f"{path} does not fit its configuration: {name} is {found} in the weights and"
                f" {given[name]} there."
            )
    denoiser = DenoiserConfig(
        layers=sizes.layers,
        width=sizes.width,
        heads=int(given["heads"]),
        feed_forward=sizes.feed_forward,
        factor=sizes.factor,
        positions="learned",
        zero_init=False,
    )
    return denoiser, _grid(sizes, given, path)


def _given(config: Mapping) -> dict:
    """The settings in our words; in the authors' yaml they stand in the section of the transformer,
    wherever that is.
    """
    sections = [
        section
        for section in _sections(config)
        if any(name in section for name in SPELLINGS["heads"])
    ]
    section = sections[0] if sections else config
    found = {
        ours: [section[name] for name in names if section.get(name) is not None]
        for ours, names in SPELLINGS.items()
    }
    return {ours: values[0] for ours, values in found.items() if values}


def _sections(config: Mapping) -> Iterator[Mapping]:
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _sections(value)


def _grid(sizes: Sizes, given: dict, path: Path) -> tuple[int, int] | None:
    """Rows and columns of the tokens: given, or square or one row for a known length, or as the
    position tables are.
    """
    length = given.get("length", sizes.length)
    if "grid" in given:
        grid = (int(given["grid"][0]), int(given["grid"][1]))
    elif length is not None:
        side = math.isqrt(length)
        grid = (side, side) if sizes.feed_forward == "conv" else (1, length)
    else:
        grid = None if sizes.is_class else sizes.table
    if grid and (length not in (None, math.prod(grid)) or math.prod(grid) > math.prod(sizes.table)):
        positions = length or math.prod(sizes.table)
        raise UserError(
            f"{path} does not fit a grid of {grid[0]} x {grid[1]}: it has {positions} positions."
        )
    return grid
