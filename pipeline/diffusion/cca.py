"""Condition contrastive alignment beside CDCD's forms: true pairs against the same content under
other samples' conditions, both compared with a frozen reference model, by bounded log-sigmoids
(after Chen et al., ICLR 2025; there for autoregressive models).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.diffusion.contrast import Term
from pipeline.diffusion.predictions import Noised


def rolled(
    x_0: Int[Tensor, "B L"], x_t: Int[Tensor, "B L"], t: Int[Tensor, " B"], term: Term
) -> Noised:
    """The noised batch, and the same once more under the condition of the row before."""
    own = torch.arange(len(x_0), device=x_0.device)
    return Noised(
        t=t,
        x_t=x_t,
        shared=x_0[:, None],
        chains_0=x_0[:, None],
        chains_t=x_t[:, None],
        columns={term: slice(1, 2)},
        conditions=torch.stack([own, own.roll(1)], dim=1),
    )


def alignment(
    excess: Float[Tensor, "B two"], temperature: float, strength: float, keep_positive: bool
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B two"]]:
    """The loss [B] of each row, [keep] -log sigmoid(r+) - strength log sigmoid(-r-), and its
    derivative [B, 2] by the row's losses under its own and under the other condition.

    `excess` [B, 2] is what these are above the reference's, -temperature r.
    """
    push = excess / temperature
    weight = torch.tensor([float(keep_positive), -strength]).to(push)
    sign = torch.tensor([1.0, -1.0]).to(push)
    value = (sign * weight * nn.functional.softplus(sign * push)).sum(1)
    return value, weight * torch.sigmoid(sign * push) / temperature
