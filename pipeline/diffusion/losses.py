"""The output head and the diffusion losses as one operation: logits, terms and gradients, a few
rows at a time.

No tensor of [B, L, K] ever exists: a block of rows runs through the output layer, yields its terms,
and (where a gradient is wanted) its logits turn in place into their own gradient, which leaves
again through the output layer. The weights of the terms are known before, so that nothing has to be
computed twice.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.diffusion.closed_form import Rows, block_terms
from pipeline.diffusion.process import MaskAndReplace
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

    tokens: Int[Tensor, "B n L"]  # in 0..K-1
    step_weight: Float[Tensor, "B n"]
    sample_weight: Float[Tensor, "B n"]
    limit: Float[Tensor, " n"]

    def __post_init__(self) -> None:
        assert self.tokens.shape[:2] == self.step_weight.shape == self.sample_weight.shape, (
            "a weight for each target"
        )


@dataclass(frozen=True)
class HeadTerms:
    """`total` is differentiable; `step` and `sample` [B, n] are the terms of each target in nats,
    summed over L.
    """

    total: Float[Tensor, ""]  # sum of weight times term
    step: Float[Tensor, "B n"]  # KL of the posteriors at t; at t = 1 -log p(x_0 | x_1)
    sample: Float[Tensor, "B n"]  # -log p(x_0 = target | x_t)


def head_terms(
    hidden: Float[Tensor, "B L D"],
    output: nn.Linear,
    process: MaskAndReplace,
    x_t: Int[Tensor, "B L"],
    t: Int[Tensor, " B"],
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
    job = _Job(
        rows=_rows(process, x_t, t, targets, torch.promote_types(low, torch.float32)),
        length=x_t.shape[1],
        low=low,
        at_once=max(1, per_block // process.n_codes),
        wants_grad=torch.is_grad_enabled()
        and (hidden.requires_grad or output.weight.requires_grad),
    )
    return HeadTerms(*_Head.apply(hidden, output.weight, output.bias, job))


def _rows(
    process: MaskAndReplace, x_t: Tensor, t: Tensor, targets: Targets, dtype: torch.dtype
) -> Rows:
    """All that is known of the batch before its logits are, position by position."""
    length = x_t.shape[1]
    return Rows(
        at=process.positions(x_t, t.clamp(min=2), dtype=dtype).flat(),
        is_first=(t == 1).repeat_interleave(length)[:, None],
        target=targets.tokens.transpose(1, 2).reshape(-1, targets.tokens.shape[1]),
        step_weight=targets.step_weight.to(dtype).repeat_interleave(length, 0),
        sample_weight=targets.sample_weight.to(dtype).repeat_interleave(length, 0),
        limit=targets.limit.to(x_t.device, dtype),
    )


@dataclass(frozen=True)
class _Job:
    """What `_Head` does to the hidden states, and how."""

    rows: Rows
    length: int  # L
    low: torch.dtype  # of the matrix products
    at_once: int  # rows in a block
    wants_grad: bool


@dataclass(frozen=True)
class _Gradients:
    """Where the gradients of hidden states and output layer gather, block by block."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None

    @staticmethod
    def zeros(hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype) -> "_Gradients":
        no_bias = None if bias is None else torch.zeros_like(bias, dtype=dtype)
        return _Gradients(torch.empty_like(hidden), torch.zeros_like(weight, dtype=dtype), no_bias)

    def add(self, here: slice, of_logits: Tensor, h: Tensor, weight: Tensor) -> None:
        """The share of the rows `here`, whose logits are weight [K, D] times h [m, D]."""
        self.hidden[here], of_weight = products.linear_gradients(of_logits.to(h), h, weight)
        self.weight.add_(of_weight)
        if self.bias is not None:
            self.bias.add_(of_logits.sum(0))


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, job):
        with torch.autocast(hidden.device.type, enabled=False):
            rows, flat = job.rows, hidden.reshape(-1, hidden.shape[-1])
            exact, low_weight = rows.limit.dtype, weight.to(job.low)
            low_bias = None if bias is None else bias.to(job.low)
            step = torch.empty(len(flat), len(rows.limit), dtype=exact, device=flat.device)
            sample = torch.empty_like(step)
            gradients = _Gradients.zeros(flat, weight, bias, exact) if job.wants_grad else None
            for start in range(0, len(flat), job.at_once):
                here = slice(start, start + job.at_once)
                h = flat[here].to(job.low)
                logits = products.linear(h, low_weight, low_bias).to(exact)
                step[here], sample[here], grad = block_terms(logits, rows[here], job.wants_grad)
                if gradients is not None and grad is not None:
                    gradients.add(here, grad, h, low_weight)
            total = (rows.step_weight * step).sum() + (rows.sample_weight * sample).sum()
            step, sample = (term.unflatten(0, (-1, job.length)).sum(1) for term in (step, sample))
        ctx.mark_non_differentiable(step, sample)
        if gradients is not None:
            ctx.save_for_backward(
                gradients.hidden.view_as(hidden),
                gradients.weight.to(weight.dtype),
                None if bias is None or gradients.bias is None else gradients.bias.to(bias.dtype),
            )
        return total, step, sample

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        upstream = grad_outputs[0]
        grads = [
            None if grad is None else grad * upstream.to(grad.dtype) for grad in ctx.saved_tensors
        ]
        return *grads, None
