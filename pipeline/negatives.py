"""The negatives of the contrastive loss: intra (the same sample out of order), inter (another
genre, song, class, image).
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section, Seed
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip


class Negatives(Section):
    """How many negatives of each kind, and how the intra ones are made.

    `waveform` and `pixels` re-order `chunks` pieces of the signal and encode it again (the paper);
    `tokens` stores the orders and re-orders the codes themselves. `chunks` are equal stretches of
    time; of a picture, the patches of a square grid. `sequence` takes a picture's codes row by row
    for one sequence and re-orders its stretches, as the released code does.
    """

    seed: Seed = 0
    intra: Literal["waveform", "pixels", "tokens", "sequence"]
    chunks: int = Field(strict=True, ge=2, le=4096)
    n_intra: int = Field(strict=True, ge=0, le=4096)
    n_inter: int = Field(strict=True, ge=0, le=4096)


def derangements(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """[count, size] orders of `size` chunks in which no chunk stays in place (so the identity
    cannot occur).

    Drawn uniformly by rejection: about e tries each, whatever the size. Raises UserError for fewer
    than two chunks.
    """
    if size < 2:
        raise UserError(f"negatives.chunks is {size}; re-ordering needs at least 2 chunks.")
    orders = np.empty((count, size), dtype=np.int64)
    pending = np.arange(count)
    while pending.size:
        orders[pending] = rng.permuted(np.tile(np.arange(size), (pending.size, 1)), axis=1)
        pending = pending[(orders[pending] == np.arange(size)).any(axis=1)]
    return orders


def reorder_sequence(sequence: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """[..., N, L]: the sequence [..., L] cut into equal chunks and laid out in each of the orders
    [..., N, chunks].

    Chunks have floor(L / chunks) elements; a remainder at the end stays where it is.
    """
    chunks = order.shape[-1]
    size = sequence.shape[-1] // chunks
    if size == 0:
        raise UserError(
            f"negatives.chunks is {chunks}, more than the {sequence.shape[-1]} elements of the"
            " sequence; use fewer."
        )
    source = (order[..., None] * size + torch.arange(size, device=order.device)).flatten(-2)
    tail = torch.arange(chunks * size, sequence.shape[-1], device=order.device).expand(
        *source.shape[:-1], -1
    )
    source = torch.cat([source, tail], dim=-1)
    return sequence.unsqueeze(-2).expand(*source.shape[:-1], -1).gather(-1, source)


def reorder_picture(picture: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W]: the picture [C, H, W] cut into a square grid of patches and laid out in each of
    the orders [N, g * g].
    """
    side = round(order.shape[-1] ** 0.5)
    channels, height, width = picture.shape
    if side * side != order.shape[-1] or height % side or width % side:
        raise UserError(
            f"negatives.chunks is {order.shape[-1]}; it must be a square number whose root divides"
            f" {height} x {width} pixels or codes."
        )
    patches = (
        picture.reshape(channels, side, height // side, side, width // side)
        .permute(1, 3, 0, 2, 4)
        .flatten(0, 1)
    )
    moved = patches[order].unflatten(1, (side, side))
    return moved.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)


def check_chunks(config: Negatives, grid: tuple[int, int]) -> None:
    """Raises UserError where codes on a grid (rows, columns) do not divide into the chunks."""
    codes = torch.zeros(1, grid[0] * grid[1], dtype=torch.int64)
    order = torch.arange(config.chunks)
    if config.intra == "tokens" and grid[0] > 1:
        reorder_grid(codes, order[None, None], grid)
    else:
        reorder_sequence(codes[0], order[None])


def reorder_grid(codes: torch.Tensor, order: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """[B, N, L]: codes [B, L] on a grid (rows, columns), cut into a square grid of patches and laid
    out in each of the orders [B, N, g * g].
    """
    pictures = codes.unflatten(-1, tuple(grid))[:, None]
    moved = [reorder_picture(picture, own) for picture, own in zip(pictures, order)]
    return torch.stack(moved).flatten(2)


def inter_rows(clips: list[Clip], candidates: list[int], n_inter: int, seed: int) -> np.ndarray:
    """[len(candidates), n_inter] int32: for each candidate row, other candidates that differ from
    it, none twice.

    Different means of another genre; where no genre is known, of another song; of another class; or
    simply another item. Raises UserError when a row has fewer than `n_inter` such partners.
    """
    kinds = ("genre", "label", "song")
    attribute = next(
        (kind for kind in kinds if all(getattr(clips[row], kind) for row in candidates)), "id"
    )
    values = np.array([getattr(clips[row], attribute) for row in candidates])
    order = np.argsort(values, kind="stable")
    start, end = (np.searchsorted(values[order], values, side=side) for side in ("left", "right"))
    rows = np.array(candidates)
    chosen = np.empty((len(candidates), n_inter), dtype=np.int32)
    for position, own in enumerate(end - start):
        clip = clips[candidates[position]]
        if len(rows) - own < n_inter:
            raise UserError(
                f"{clip.id} has only {len(rows) - own} other items of another {attribute}, but"
                f" {n_inter} are wanted: add data, or lower negatives.n_inter (0 turns inter"
                " negatives off)."
            )
        drawn = numpy_generator(seed, "inter", clip.id).choice(
            len(rows) - own, n_inter, replace=False
        )
        chosen[position] = rows[order[np.where(drawn < start[position], drawn, drawn + own)]]
    return chosen
