"""The loss terms of a block of logits and their gradient, in closed form (docs/method.md, sections
4 and 5).

No posterior is ever built: a block of logits [m, K] becomes its masses, then the densities keep p_j
+ blur S, and these turn in place into the gradient.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.diffusion.process import FLOOR, Positions, Summary, posterior_kl


@dataclass(frozen=True)
class Rows:
    """Everything about the rows of a batch except their logits; [M] or [M, n], M = B L."""

    at: Positions  # the constants of step max(t, 2): at t = 1 the cross-entropy stands in
    is_first: Bool[Tensor, "M 1"]
    target: Int[Tensor, "M n"]
    step_weight: Float[Tensor, "M n"]
    sample_weight: Float[Tensor, "M n"]
    limit: Float[Tensor, " n"]

    def __getitem__(self, index: slice) -> "Rows":
        return Rows(
            at=self.at[index],
            is_first=self.is_first[index],
            target=self.target[index],
            step_weight=self.step_weight[index],
            sample_weight=self.sample_weight[index],
            limit=self.limit,
        )


@dataclass(frozen=True)
class Block:
    """The predictions of m rows, as the terms and their gradient read them."""

    mass: Float[Tensor, "m K"]  # p without its denominator
    total: Float[Tensor, "m 1"]  # that denominator
    density: Float[Tensor, "m K"]  # keep p_j + blur S
    background: Float[Tensor, "m 1"]  # blur S
    p: Summary  # [m, 1], of the target [m, n]
    is_code: Bool[Tensor, "m n"]  # the target is x_t
    cost: Float[Tensor, "m n"]  # -log p(x_0 = target | x_t)


def block_terms(
    logits: Float[Tensor, "m K"], rows: Rows, wants_grad: bool
) -> tuple[Float[Tensor, "m n"], Float[Tensor, "m n"], Float[Tensor, "m K"] | None]:
    """Step and sample terms [m, n] of a block of logits [m, K], and the gradient of their weighted
    sum; `logits` is used up.
    """
    at = rows.at[:, None]
    block = _read(logits, at, rows.target)
    divergence = posterior_kl(at, rows.target, block.p)

    sample_limit = rows.limit.clamp(max=-FLOOR)
    sample = torch.minimum(block.cost, sample_limit)
    step = torch.where(rows.is_first, sample, torch.minimum(divergence, rows.limit))
    if not wants_grad:
        return step, sample, None

    # a term beyond its limit has no gradient; at t = 1 the step term is the sample term
    live = block.cost < sample_limit
    on_divergence = (rows.step_weight * (divergence < rows.limit)).masked_fill(rows.is_first, 0.0)
    on_cost = rows.sample_weight * live
    on_cost = on_cost + (rows.step_weight * live).masked_fill(~rows.is_first, 0.0)
    return step, sample, _gradient(block, at, rows.target, on_divergence, on_cost)


def _read(logits: Tensor, at: Positions, target: Tensor) -> Block:
    """The block of `logits` [m, K], which turn into its masses in place."""
    target_logit = logits.gather(1, target)
    top = logits.amax(1, keepdim=True)
    mass = logits.sub_(top).exp_()

    # The mass of all codes but x_t's is summed, not subtracted: 1 - p_i keeps its precision when
    # p_i is nearly one.
    of_code = mass.gather(1, at.code)
    others = mass.scatter_(1, at.code, 0.0).sum(1, keepdim=True)
    mass.scatter_(1, at.code, of_code)
    total = others + of_code
    p_code, p_others = at.split(of_code, others)
    is_code = (target == at.code) & ~at.is_mask
    cost = torch.where(is_code, torch.log1p(others / of_code), total.log() + top - target_logit)

    background = at.blur * at.spread(p_code, p_others)
    density = torch.addcmul(background, mass, at.keep / total)
    log_sum = density.log().sum(1, keepdim=True)
    p = Summary(logits.shape[1], p_code, p_others, (-cost).exp(), log_sum)
    return Block(mass, total, density, background, p, is_code, cost)


@dataclass(frozen=True)
class _Slopes:
    """g, the gradient of the weighted sum by p_j, without a number for each j; docs/method.md,
    section 5.
    """

    shared: Tensor  # g_j = -shared keep / (keep p_j + blur S) for a code of the crowd [m, 1]
    pull: Tensor  # what a target that is not x_t has on top of it, negative [m, n]
    code: Tensor  # g_i, what S and p_i bring; 0 at a mask [m, 1]
    others: Tensor  # the sum over j != i of p_j g_j [m, 1]


def _gradient(
    block: Block, at: Positions, target: Tensor, on_divergence: Tensor, on_cost: Tensor
) -> Tensor:
    """The gradient with respect to the logits, p_k (g_k - sum_j g_j p_j) with g the gradient with
    respect to p; the block is used up.
    """
    inverse = block.density.reciprocal_()
    g, p = _slopes(block, at, inverse, on_divergence), block.p
    level = _over_targets(on_cost) - p.code * g.code - g.others
    slope = -g.shared * at.keep / block.total
    grad = torch.addcmul(level / block.total, inverse, slope, out=inverse).mul_(block.mass)

    # x_t's code and the targets differ from the crowd
    toward_code = p.code * (g.code * p.others - g.others)
    toward_code = toward_code + _over_targets(
        on_cost * torch.where(block.is_code, -p.others, p.code)
    )
    grad.scatter_(1, at.code, torch.where(at.is_mask, grad.gather(1, at.code), toward_code))
    toward_target = g.pull * at.keep * p.target + on_cost
    return grad.scatter_add_(1, target, -toward_target.masked_fill(block.is_code, 0.0))


def _slopes(block: Block, at: Positions, inverse: Tensor, weight: Tensor) -> _Slopes:
    """The slopes of sum over targets of weight [m, n] times divergence; `inverse` is 1 / density.

    1 / bbar, about a million times K, never appears: it was cancelled in `scale`, `own` and `rest`.
    """
    p, background = block.p, block.background
    of_code = (1 / (at.keep * p.code + background)).masked_fill(at.is_mask, 0.0)
    crowd = inverse.sum(1, keepdim=True) - of_code
    n_crowd = p.n_codes - 1 + at.is_mask.to(inverse)
    shared = _over_targets(weight * at.scale * at.blur * torch.where(block.is_code, at.odds, 1.0))
    pull = weight * at.scale * at.keep / (at.keep * p.target + background)
    pull = pull.masked_fill(block.is_code, 0.0)

    rise = at.own + at.rest * at.odds - at.rest  # of the probability of staying, with p_i
    kept = _over_targets(weight * (at.rest + block.is_code * rise))
    unmoved = at.unmoved(p.code, at.spread(p.code, p.others)).masked_fill(at.is_mask, 1.0)
    by_spread = (1 - at.odds) * at.blur * (shared * crowd + _over_targets(pull))
    return _Slopes(
        shared=shared,
        pull=pull,
        code=(by_spread - kept * rise / unmoved).masked_fill(at.is_mask, 0.0),
        others=-shared * (n_crowd - background * crowd) - _over_targets(pull * at.keep * p.target),
    )


def _over_targets(value: Tensor) -> Tensor:
    """The sum over the n targets of each row."""
    return value.sum(1, keepdim=True)
