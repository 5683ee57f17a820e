"""Random generators that depend on (seed, step) alone, so that resumed work draws what
uninterrupted work would have.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def derived_seed(seed: int, *step: int | str) -> int:
    """A 63-bit seed that depends on nothing but its arguments."""
    text = ":".join(str(part) for part in (seed, *step))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(
    seed: int, *step: int | str, device: str | torch.device = "cpu"
) -> torch.Generator:
    """A torch generator for one (seed, step): resumed work draws what uninterrupted work would have
    drawn.
    """
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *step))


class SharedGenerator(torch.Generator):
    """Process `rank`'s generator among `world` that share a batch: made of the same seed, and read
    by `rows_drawn`.
    """

    rank, world = 0, 1


def shared_generator(rank: int, world: int, seed: int, *step: int | str) -> torch.Generator:
    """A generator on the CPU for this process's rows of the batch of one (seed, step)."""
    generator = SharedGenerator()
    generator.manual_seed(derived_seed(seed, *step))
    generator.rank, generator.world = rank, world
    return generator


def rows_drawn(
    shape: tuple[int, ...], generator: torch.Generator, draw: Callable[[tuple[int, ...]], Tensor]
) -> Tensor:
    """`draw(shape)`, whose rows are samples; of a shared generator this process's rows of the draw
    for the whole batch. A single number is everyone's.
    """
    if not shape or not isinstance(generator, SharedGenerator):
        return draw(shape)
    first = generator.rank * shape[0]
    return draw((generator.world * shape[0], *shape[1:]))[first : first + shape[0]]


def numpy_generator(seed: int, *step: int | str) -> np.random.Generator:
    """A numpy generator for one (seed, step)."""
    return np.random.default_rng(derived_seed(seed, *step))
