"""The textbook formulation, plainly written: log one-hot vectors [B, K + 1, L] everywhere, as
papers and most code state it.

It is the yardstick of the benchmarks and nothing else: every formula is written as it stands, as in
the code that VQ-Diffusion and the paper were published with, so that it goes over [B, K, L] about
as often as that code does (the benchmarks count it). Its network holds the same weights as the
denoiser it is made from.
"""

import math

import torch
from torch import Tensor, nn

from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.denoiser import ClassBlock, Denoiser


class Attention(nn.Module):
    """Softmax attention with the scores written out; key and value are computed at every call."""

    def __init__(
        self, query: tuple[Tensor, Tensor], key, value, proj: nn.Linear, heads: int
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (_linear(*part) for part in (query, key, value))
        self.proj = _linear(proj.weight, proj.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """What x [B, L, n] takes from the context [B, S, C]."""
        projected = self.query(x), self.key(context), self.value(context)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projected)
        scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(k.shape[-1]))
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class AdaNorm(nn.Module):
    """LayerNorm, then scale and shift from a table row."""

    def __init__(self, source) -> None:
        super().__init__()
        self.emb = nn.Embedding.from_pretrained(source.emb.weight.detach().clone(), freeze=False)
        self.linear = _linear(source.linear.weight, source.linear.bias)

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        """The normalised x [B, L, n] for rows [B]."""
        scale, shift = self.linear(nn.functional.silu(self.emb(row)))[:, None].chunk(2, -1)
        return nn.functional.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift


class Block(nn.Module):
    """One transformer block, with cross-attention or with the class in its normalisation."""

    def __init__(self, source, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.by_class = grid, isinstance(source, ClassBlock)
        qkv = zip(source.attention.qkv.weight.chunk(3), source.attention.qkv.bias.chunk(3))
        self.norm1 = AdaNorm(source.norm1)
        self.attention = Attention(*qkv, source.attention.proj, source.attention.heads)
        if self.by_class:
            self.norm2 = AdaNorm(source.norm2)
        else:
            cross = source.cross
            kv = zip(cross.kv.weight.chunk(2), cross.kv.bias.chunk(2))
            self.norm_cross, self.norm2 = (
                AdaNorm(source.norm_cross),
                nn.LayerNorm(source.norm2.normalized_shape),
            )
            self.norm2.load_state_dict(source.norm2.state_dict())
            self.cross = Attention(
                (cross.query.weight, cross.query.bias), *kv, cross.proj, cross.heads
            )
        self.layers = nn.ModuleList(
            _copy(layer) for layer in source.feed_forward.children() if list(layer.parameters())
        )

    def forward(self, x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """The block's output [B, L, n]."""
        h = self.norm1(x, step)
        x = x + self.attention(h, h)
        if not self.by_class:
            x = x + self.cross(self.norm_cross(x, step), condition)
        h = self.norm2(x, condition) if self.by_class else self.norm2(x)
        is_image = isinstance(self.layers[0], nn.Conv2d)
        if is_image:
            h = h.transpose(1, 2).unflatten(2, self.grid)
        h = self.layers[0](h)
        h = self.layers[1](h * torch.sigmoid(1.702 * h))
        return x + (h.flatten(2).transpose(1, 2) if is_image else h)


class TextbookDenoiser(nn.Module):
    """Tokens to logits [B, K, L], all of them, every time."""

    def __init__(self, source: Denoiser) -> None:
        super().__init__()
        self.codes, self.positions, self.norm = (
            _copy(source.codes),
            source.positions,
            _copy(source.norm),
        )
        self.blocks = nn.ModuleList(Block(block, source.grid) for block in source.blocks)
        self.output = _copy(source.output)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Logits [B, K, L]."""
        x = self.codes(x_t) + self.positions(x_t.shape[1])
        for block in self.blocks:
            x = block(x, t - 1, condition)
        return self.output(self.norm(x)).transpose(1, 2)


class TextbookDiffusion:
    """Posterior, losses and reverse step over log one-hot vectors, the state x_t among them."""

    def __init__(self, process: MaskAndReplace, device: torch.device) -> None:
        self.n_codes, self.n_steps, schedule = process.n_codes, process.n_steps, process.schedule
        keep, mask = schedule.keep, schedule.mask
        alpha, gamma = keep[1:] / keep[:-1], 1 - (1 - mask[1:]) / (1 - mask[:-1])
        pad = torch.zeros(1, dtype=torch.float64)

        def logs(keep: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
            uniform = ((1 - keep - mask) / self.n_codes).clamp(min=0)
            return tuple(
                part.clamp(min=1e-40).log().float().to(device)
                for part in (keep, uniform, mask, 1 - mask)
            )

        self.cumulative, self.one_step = (
            logs(keep, mask),
            logs(torch.cat([pad + 1, alpha]), torch.cat([pad, gamma])),
        )

    def log_onehot(self, tokens: Tensor) -> Tensor:
        """Log of the one-hot vectors [B, K + 1, L], zero as 1e-30."""
        return (
            nn.functional.one_hot(tokens, self.n_codes + 1)
            .permute(0, 2, 1)
            .float()
            .clamp(min=1e-30)
            .log()
        )

    def transition(self, table: tuple[Tensor, ...], log_x: Tensor, t: Tensor) -> Tensor:
        """Log probabilities after a transition of `table` at t, from log probabilities [B, K + 1,
        L].
        """
        keep, uniform, mask, not_mask = (part[t][:, None, None] for part in table)
        return torch.cat(
            [
                log_add_exp(log_x[:, :-1] + keep, uniform),
                log_add_exp(log_x[:, -1:] + not_mask, mask),
            ],
            1,
        )

    def q_sample(self, x_0: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """The log one-hot x_t by the Gumbel trick over all K + 1 states."""
        return self.gumbel(self.transition(self.cumulative, self.log_onehot(x_0), t), generator)

    def gumbel(self, log_p: Tensor, generator: torch.Generator) -> Tensor:
        """Log one-hot states drawn from log probabilities [B, K + 1, L]."""
        noise = torch.rand(log_p.shape, generator=generator, device=log_p.device)
        return self.log_onehot((log_p - (-(noise + 1e-30).log() + 1e-30).log()).argmax(1))

    def predict(self, logits: Tensor) -> Tensor:
        """Log p(x_0) [B, K + 1, L] in double precision first, the mask at -70."""
        log_p = logits.double().log_softmax(1).float()
        return torch.cat([log_p, torch.full_like(log_p[:, :1], -70)], 1).clamp(-70, 0)

    def posterior(self, log_x_0: Tensor, log_x_t: Tensor, t: Tensor) -> Tensor:
        """Log p(x_{t-1} | x_t) [B, K + 1, L]."""
        is_mask = (log_x_t.argmax(1) == self.n_codes)[:, None]
        zero = torch.zeros_like(log_x_t[:, :1])
        tiny = zero + math.log(1e-30)

        log_qt = self.transition(self.cumulative, log_x_t, t)[:, :-1]
        from_mask = self.cumulative[2][t][:, None, None].expand(-1, self.n_codes, -1)
        log_qt = ~is_mask * log_qt + is_mask * from_mask

        one_step = torch.cat([self.transition(self.one_step, log_x_t, t)[:, :-1], tiny], 1)
        from_mask = torch.cat(
            [self.one_step[2][t][:, None, None].expand(-1, self.n_codes, zero.shape[2]), zero], 1
        )
        one_step = ~is_mask * one_step + is_mask * from_mask

        u = torch.cat([log_x_0[:, :-1] - log_qt, tiny], 1)
        z = u.logsumexp(1, keepdim=True)
        return (self.transition(self.cumulative, u - z, t - 1) + one_step + z).clamp(-70, 0)

    def step_loss(self, log_z_0: Tensor, model: Tensor, log_x_t: Tensor, t: Tensor) -> Tensor:
        """The step loss [B]: KL of the posteriors, the decoder's likelihood at t = 1."""
        divergence = kl(self.posterior(log_z_0, log_x_t, t), model)
        return torch.where(t == 1, -(log_z_0.exp() * model).sum((1, 2)), divergence)

    def loss(
        self,
        logits: Tensor,
        x_0: Tensor,
        log_x_t: Tensor,
        t: Tensor,
        negatives: Tensor,
        contrast: str,
    ):
        """Losses by name: [B] of the positive, and [B, N] of negatives at the positive's x_t
        (`step` or `sample`).
        """
        log_p = self.predict(logits)
        model = self.posterior(log_p, log_x_t, t)
        log_x_0 = self.log_onehot(x_0)
        losses = {
            "step": self.step_loss(log_x_0, model, log_x_t, t),
            "sample": kl(log_x_0[:, :-1], log_p[:, :-1]),
        }
        if contrast != "vanilla":
            costs = []
            for z_0 in negatives.unbind(1):
                log_z_0 = self.log_onehot(z_0)
                by_step = contrast == "step"
                costs.append(
                    self.step_loss(log_z_0, model, log_x_t, t)
                    if by_step
                    else kl(log_z_0[:, :-1], log_p[:, :-1])
                )
            losses["negative"] = torch.stack(costs, 1)
        return losses

    def reverse(
        self,
        logits: Tensor,
        log_x_t: Tensor,
        t: Tensor,
        truncation: float,
        generator: torch.Generator,
    ) -> Tensor:
        """The log one-hot x_{t-1}: sort, truncate, posterior, Gumbel."""
        log_p = self.predict(logits)
        ranked, order = log_p.sort(dim=1, descending=True)
        keep = (ranked.exp().cumsum(1) < truncation)[:, :-1]
        keep = torch.cat([torch.ones_like(keep[:, :1]), keep], 1).gather(1, order.argsort(1))
        return self.gumbel(self.posterior(keep * log_p + ~keep * -70, log_x_t, t), generator)


def log_add_exp(a: Tensor, b: Tensor) -> Tensor:
    """Log of the sum of two exponentials, the larger taken out first."""
    top = torch.maximum(a, b)
    return top + ((a - top).exp() + (b - top).exp()).log()


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL divergences [B] of log probabilities [B, K, L], summed over positions."""
    return (log_p.exp() * (log_p - log_q)).sum((1, 2))


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _copy(layer: nn.Module) -> nn.Module:
    """A copy with contiguous weights."""
    match layer:
        case nn.Linear():
            return _linear(layer.weight, layer.bias)
        case nn.Embedding():
            return nn.Embedding.from_pretrained(layer.weight.detach().clone(), freeze=False)
        case nn.LayerNorm():
            copy = nn.LayerNorm(layer.normalized_shape, device=layer.weight.device)
        case nn.Conv2d():
            copy = nn.Conv2d(
                layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.padding
            )
            copy = copy.to(layer.weight.device)
    copy.load_state_dict(layer.state_dict())
    return copy
