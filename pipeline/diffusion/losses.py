"""The output head and the diffusion losses as one operation: logits, terms and gradients, a few
rows at a time.

No tensor of [B, L, K] ever exists: a block of rows runs through the output layer, yields its terms,
and (where a gradient is wanted) its logits turn in place into their own gradient, which leaves
again through the output layer. The weights of the terms are known before, so that nothing has to be
computed twice.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.diffusion.process import FLOOR, MaskAndReplace, Positions, posterior_kl
from pipeline.runtime.products import products

BLOCK = {
    "cpu": 1 << 20,
    "cuda": 1 << 26,
}  # numbers in a block of logits: what the caches hold, or what keeps a GPU busy


@dataclass(frozen=True)
class Targets:
    """What to compare the prediction at x_t with: n sequences a sample, the positive and negatives
    alike.

    `step_weight` and `sample_weight` [B, n] say how much of each term the total holds (negative:
    pushed away). A target's term stops at `limit` [n] nats a token (infinite: no cap); beyond it
    there is no gradient either.
    """

    tokens: Tensor  # [B, n, L] in 0..K-1
    step_weight: Tensor
    sample_weight: Tensor
    limit: Tensor

    def __post_init__(self) -> None:
        assert self.tokens.shape[:2] == self.step_weight.shape == self.sample_weight.shape, (
            "a weight for each target"
        )


@dataclass(frozen=True)
class HeadTerms:
    """`total` is differentiable; `step` and `sample` [B, n] are the terms of each target in nats,
    summed over L.
    """

    total: Tensor  # sum of weight times term
    step: Tensor  # KL of the posteriors at t; at t = 1 -log p(x_0 | x_1)
    sample: Tensor  # -log p(x_0 = target | x_t)


def head_terms(
    hidden: Tensor,
    output: nn.Linear,
    process: MaskAndReplace,
    x_t: Tensor,
    t: Tensor,
    targets: Targets,
    block: int | None = None,
) -> HeadTerms:
    """The losses of what `output` predicts from `hidden` [B, L, D] at x_t [B, L], t [B], and their
    gradients.

    Under autocast the three matrix products run in the low precision; everything between them stays
    in float32. `block` bounds how many logits exist at once.
    """
    kind = hidden.device.type
    low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else output.weight.dtype
    per_block = block or BLOCK.get(kind, BLOCK["cuda"])
    wants_grad = torch.is_grad_enabled() and (hidden.requires_grad or output.weight.requires_grad)
    total, step, sample = _Head.apply(
        hidden,
        output.weight,
        output.bias,
        process,
        x_t,
        t,
        targets,
        low,
        max(1, per_block // process.n_codes),
        wants_grad,
    )
    return HeadTerms(total, step, sample)


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, process, x_t, t, targets, low, rows, wants_grad):
        with torch.autocast(hidden.device.type, enabled=False):
            exact = torch.promote_types(low, torch.float32)
            flat, low_weight = hidden.reshape(-1, hidden.shape[-1]), weight.to(low)
            low_bias = None if bias is None else bias.to(low)
            batch = _Batch.make(process, x_t, t, targets, exact)
            length, count = x_t.shape[1], targets.tokens.shape[1]
            step, sample = (
                torch.empty(len(flat), count, dtype=exact, device=flat.device) for _ in range(2)
            )
            grad_hidden = torch.empty_like(flat) if wants_grad else None
            grad_weight = torch.zeros_like(weight, dtype=exact) if wants_grad else None
            grad_bias = (
                torch.zeros_like(bias, dtype=exact) if wants_grad and bias is not None else None
            )
            for start in range(0, len(flat), rows):
                here = slice(start, start + rows)
                h = flat[here].to(low)
                logits = products.linear(h, low_weight, low_bias).to(exact)
                step[here], sample[here], grad = block_terms(logits, batch[here], wants_grad)
                if wants_grad:
                    grad_hidden[here], of_weight = products.linear_gradients(
                        grad.to(low), h, low_weight
                    )
                    grad_weight += of_weight
                    if grad_bias is not None:
                        grad_bias += grad.sum(0)
            total = (batch.step_weight * step).sum() + (batch.sample_weight * sample).sum()
            step, sample = (term.reshape(-1, length, count).sum(1) for term in (step, sample))
        ctx.mark_non_differentiable(step, sample)
        if wants_grad:
            ctx.save_for_backward(
                grad_hidden.view_as(hidden),
                grad_weight.to(weight.dtype),
                None if bias is None else grad_bias.to(bias.dtype),
            )
        return total, step, sample

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, *_):
        grads = [
            None if grad is None else grad * upstream.to(grad.dtype) for grad in ctx.saved_tensors
        ]
        return *grads, *(None,) * 7


@dataclass(frozen=True)
class _Batch:
    """Everything about the rows of a batch except their logits; [M] or [M, n], M = B L."""

    at: Positions  # the constants of step max(t, 2): at t = 1 the cross-entropy stands in
    is_first: Tensor
    target: Tensor
    step_weight: Tensor
    sample_weight: Tensor
    limit: Tensor

    @staticmethod
    def make(
        process: MaskAndReplace, x_t: Tensor, t: Tensor, targets: Targets, dtype: torch.dtype
    ) -> "_Batch":
        length = x_t.shape[1]
        return _Batch(
            at=process.positions(x_t, t.clamp(min=2), dtype=dtype).flat(),
            is_first=(t == 1).repeat_interleave(length)[:, None],
            target=targets.tokens.transpose(1, 2).reshape(-1, targets.tokens.shape[1]),
            step_weight=targets.step_weight.to(dtype).repeat_interleave(length, 0),
            sample_weight=targets.sample_weight.to(dtype).repeat_interleave(length, 0),
            limit=targets.limit.to(x_t.device, dtype),
        )

    def __getitem__(self, index: slice) -> "_Batch":
        parts = (self.at, self.is_first, self.target, self.step_weight, self.sample_weight)
        return _Batch(*(part[index] for part in parts), self.limit)


def block_terms(
    logits: Tensor, batch: _Batch, wants_grad: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Step and sample terms [m, n] of a block of logits [m, K], and the gradient of their weighted
    sum; `logits` is used up.
    """
    at, target, n_codes = batch.at[:, None], batch.target, logits.shape[1]
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
    p_target = (-cost).exp()

    background = at.blur * (p_others + p_code * at.odds)
    density = torch.addcmul(background, mass, at.keep / total)  # keep p_j + blur S
    log_sum = density.log().sum(1, keepdim=True)
    divergence = posterior_kl(at, n_codes, target, p_code, p_others, p_target, log_sum)

    sample_limit = batch.limit.clamp(max=-FLOOR)
    sample = torch.minimum(cost, sample_limit)
    step = torch.where(batch.is_first, sample, torch.minimum(divergence, batch.limit))
    if not wants_grad:
        return step, sample, None
    live = cost < sample_limit
    step_weight = (batch.step_weight * (divergence < batch.limit)).masked_fill(batch.is_first, 0.0)
    sample_weight = batch.sample_weight * live + (batch.step_weight * live).masked_fill(
        ~batch.is_first, 0.0
    )
    weights = step_weight, sample_weight
    grad = _gradient(
        mass, density, background, total, at, is_code, target, p_code, p_others, p_target, *weights
    )
    return step, sample, grad


def _gradient(
    mass,
    density,
    background,
    total,
    at,
    is_code,
    target,
    p_code,
    p_others,
    p_target,
    step_weight,
    sample_weight,
):
    """The gradient with respect to the logits, in `mass`: p_k (g_k - sum_j g_j p_j) with g the
    gradient with respect to p.

    1 / bbar, about a million times K, never appears: it was cancelled in `scale`, `own` and `rest`.
    """
    n_codes = mass.shape[1]
    inverse = density.reciprocal_()
    crowd = inverse.sum(1, keepdim=True) - (1 / (at.keep * p_code + background)).masked_fill(
        at.is_mask, 0.0
    )
    n_crowd = n_codes - 1 + at.is_mask.to(mass)

    def over_targets(value: Tensor) -> Tensor:
        return value.sum(1, keepdim=True)

    # g_j = -shared keep / (keep p_j + blur S), for a target one more such share, for x_t's code
    # what S and p_i bring.
    shared = over_targets(step_weight * at.scale * at.blur * torch.where(is_code, at.odds, 1.0))
    pull = (step_weight * at.scale * at.keep / (at.keep * p_target + background)).masked_fill(
        is_code, 0.0
    )
    rise = at.own + at.rest * at.odds - at.rest
    kept = over_targets(step_weight * (at.rest + is_code * rise))
    unmoved = (at.own * p_code + at.rest * (p_others + p_code * at.odds)).masked_fill(
        at.is_mask, 1.0
    )
    g_code = (1 - at.odds) * at.blur * (shared * crowd + over_targets(pull)) - kept * rise / unmoved
    g_code = g_code.masked_fill(at.is_mask, 0.0)
    g_others = -shared * (n_crowd - background * crowd) - over_targets(
        pull * at.keep * p_target
    )  # sum over j != i of p_j g_j

    level = over_targets(sample_weight) - p_code * g_code - g_others
    grad = torch.addcmul(level / total, inverse, -shared * at.keep / total, out=density).mul_(mass)
    toward_code = p_code * (g_code * p_others - g_others)
    toward_code = toward_code + over_targets(
        sample_weight * torch.where(is_code, -p_others, p_code)
    )
    grad.scatter_(1, at.code, torch.where(at.is_mask, grad.gather(1, at.code), toward_code))
    return grad.scatter_add_(
        1, target, -(pull * at.keep * p_target + sample_weight).masked_fill(is_code, 0.0)
    )
