"""Draws from truncated distributions (VQ-Diffusion's "top r"), exactly, and mostly without
sorting.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PROPOSALS = 3  # draws tried before sorting; each is accepted with probability about r or more
N_NOISE = PROPOSALS + 1  # uniform numbers used up for each position


def kept(p: Float[Tensor, "*M K"], r: float) -> Bool[Tensor, "*M K"]:
    """Which entries of p [..., K] (summing to one) remain: those with less than r of the mass
    ranked strictly before them.
    """
    ranked, order = p.sort(dim=-1, descending=True)
    before = ranked.cumsum(-1) - ranked
    before[..., 0] = 0.0
    return torch.zeros_like(p, dtype=torch.bool).scatter(-1, order, before < r)


def truncate(p: Float[Tensor, "*M K"], r: float) -> Float[Tensor, "*M K"]:
    """P [..., K] with all but the kept entries at zero, summing to one again; r >= 1 keeps
    everything.
    """
    if r >= 1:
        return p
    p = p.masked_fill(~kept(p, r), 0.0)
    return p / p.sum(-1, keepdim=True)


def draw(p: Float[Tensor, "M K"], noise: Float[Tensor, " M"]) -> Int[Tensor, " M"]:
    """One entry [M] of each row of p [M, K], which need not sum to one, in proportion to it; noise
    [M] in [0, 1).
    """
    return _locate(p.cumsum(-1), noise)


def _locate(cumulative: Tensor, noise: Tensor) -> Tensor:
    """The entry [M] in which the share `noise` of each row's mass falls; never one without mass."""
    total = cumulative[:, -1:]
    point = torch.minimum(
        noise[:, None].to(total) * total, torch.nextafter(total, torch.zeros_like(total))
    )
    return torch.searchsorted(cumulative, point, right=True)[:, 0].clamp(
        max=cumulative.shape[1] - 1
    )


def above(p: Float[Tensor, "M K"], entry: Int[Tensor, " M"]) -> Float[Tensor, " M"]:
    """The mass [M] of all entries of p [M, K] strictly likelier than the given one [M]; below r,
    that one is kept.
    """
    return p.masked_fill(p <= p.gather(1, entry[:, None]), 0.0).sum(1)


def draw_truncated(
    p: Float[Tensor, "M K"], r: float, noise: Float[Tensor, "M n"]
) -> Int[Tensor, " M"]:
    """One entry [M] of each row of truncate(p, r) [M, K]; noise [M, N_NOISE] in [0, 1).

    An entry proposed from p itself is accepted when the mass of all likelier ones is below r, which
    needs a sum, not a sort. Rows that no proposal satisfied are sorted after all, so the result has
    exactly the truncated distribution.
    """
    cumulative = p.cumsum(-1)
    chosen = _locate(cumulative, noise[:, 0])
    if r >= 1:
        return chosen
    left = (above(p, chosen) >= r).nonzero()[:, 0]
    for trial in range(1, PROPOSALS):
        chosen[left] = _locate(cumulative[left], noise[left, trial])
        left = left[above(p[left], chosen[left]) >= r]
    chosen[left] = draw(truncate(p[left], r), noise[left, PROPOSALS])
    return chosen
