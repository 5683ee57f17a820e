"""Tokens drawn by a finished network: one row at a time, so that a seed gives the same bytes alone
and among others.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.sampler import Sampling
from pipeline.diffusion.sampler import sample as draw
from pipeline.model.condition import Condition
from pipeline.model.network import Network
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError

FREE = -1  # in place of a token: it is to be drawn


@torch.no_grad()
def encoded(network: Network, inputs: dict[str, Tensor]) -> Condition:
    """The condition of one clip, caption or class, encoded."""
    return network.encode({name: value.to(device()) for name, value in inputs.items()})


def drawn(
    network: Network,
    condition: Condition,
    sampling: Sampling,
    generator: torch.Generator,
    tokens: np.ndarray,
    on_step: Callable[[], None],
) -> np.ndarray:
    """`tokens` [L] with those that are FREE drawn under the condition; the others stay. `on_step`
    is called after each of the sampling's steps.
    """
    given = torch.from_numpy(tokens)[None]
    row = draw(
        network,
        MaskAndReplace(network.n_codes, network.n_steps),
        condition,
        len(tokens),
        sampling,
        [generator],
        known=(given.clamp_min(0), given != FREE),
        grid=network.grid,
        on_step=lambda _t: on_step(),
    )
    return row[0].cpu().numpy()


def loosened(
    tokens: np.ndarray, region: np.ndarray, strength: float, generator: np.random.Generator
) -> np.ndarray:
    """`tokens` [L] of which the share `strength` (at least one) of those in `region` [L], chosen at
    random, is FREE.
    """
    places = np.flatnonzero(region)
    result = tokens.copy()
    result[generator.permutation(places)[: max(1, round(strength * len(places)))]] = FREE
    return result


def checked_strength(strength: float) -> float:
    """The strength of a variation; raises UserError unless it is above 0 and at most 1."""
    if not 0 < strength <= 1:
        raise UserError(f"strength is {strength:g}; it is a share above 0, at most 1.")
    return strength
