"""Random generators that depend on (seed, step) alone, so that resumed work draws what
uninterrupted work would have.
"""

import hashlib

import numpy as np
import torch


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


def numpy_generator(seed: int, *step: int | str) -> np.random.Generator:
    """A numpy generator for one (seed, step)."""
    return np.random.default_rng(derived_seed(seed, *step))
