"""Adherence: how much likelier the condition makes true content, and at which steps; no gradient.

At a step t it is A(t) = E[log p(x_0 | x_t, c) - log p(x_0 | x_t, null)] over the masks of x_t, nats
a masked token; its mean over t is the difference of the two variational bounds, an estimate of
E[log p(x_0 | c) - log p(x_0 | null)] in nats a token (docs/method.md, section 9).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.diffusion.losses import BLOCK
from pipeline.diffusion.predictions import C, Network
from pipeline.diffusion.process import MaskAndReplace
from pipeline.runtime.seeds import rows_drawn

PARTS = 4  # of the T steps, in which the profile over t is told
NAMES = tuple(f"adherence_t{100 * part // PARTS}" for part in range(1, PARTS + 1))


@dataclass(frozen=True)
class Gains:
    """What the condition is worth in each of B rows: `nats`, the sum over the row's masks of
    log p(x_0 | x_t, c) - log p(x_0 | x_t, null), and how many `masks` there were at its `t`.

    Both count 1 / gbar_t times, so that every step weighs the same however many masks it leaves.
    """

    t: Int[Tensor, " B"]
    nats: Float[Tensor, " B"]
    masks: Float[Tensor, " B"]

    def by_part(self, n_steps: int) -> Float[Tensor, "B parts 2"]:
        """Nats and masks of each row, in the quarter of the steps that its t falls into."""
        part = nn.functional.one_hot((PARTS * (self.t - 1)) // n_steps, PARTS)
        return part[:, :, None] * torch.stack([self.nats, self.masks], dim=1)[:, None]


def spread_steps(n_steps: int, count: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Steps t [count] in 1..n_steps, one in each of `count` equal parts of them."""

    def drawn(shape: tuple[int, ...]) -> Tensor:
        place = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
        return (torch.arange(shape[0], device=place.device) + place) / shape[0] * n_steps

    return rows_drawn((count,), generator, drawn).long().clamp(max=n_steps - 1) + 1


@torch.no_grad()
def condition_gains(
    network: Network[C],
    process: MaskAndReplace,
    x_0: Int[Tensor, "B L"],
    condition: C,
    t: Int[Tensor, " B"],
    generator: torch.Generator,
) -> Gains:
    """What the condition of B rows is worth for their tokens x_0 [B, L], noised to t [B]."""
    x_0, t = x_0.long(), t.to(x_0.device)
    x_t = process.q_sample(x_0, t, generator)
    is_mask = x_t == process.n_codes
    null = condition.null(torch.ones(len(x_0), dtype=torch.bool, device=x_0.device))
    costs = [
        _costs(network.output, network.features(x_t, t, given)[is_mask], x_0[is_mask])
        for given in (condition, null)
    ]
    gain = torch.zeros(x_0.shape, dtype=torch.float64, device=x_0.device)
    gain[is_mask] = (costs[1] - costs[0]).double()
    # At t = 1 hardly anything is masked, and one mask must not count a hundred thousand times.
    weight = 1 / process.schedule_on(t.device).mask[t].clamp(min=1 / process.n_steps)
    return Gains(t, gain.sum(1) * weight, is_mask.sum(1) * weight)


def _costs(output: nn.Linear, hidden: Tensor, target: Tensor) -> Tensor:
    """-log p(x_0) [M] of hidden states [M, D], a block of logits at a time."""
    at_once = max(1, BLOCK.get(hidden.device.type, BLOCK["cuda"]) // output.out_features)
    blocks = zip(hidden.split(at_once), target.split(at_once))
    costs = [nn.functional.cross_entropy(output(h).float(), k, reduction="none") for h, k in blocks]
    return torch.cat(costs) if costs else hidden.new_zeros(0)


def profile(by_part: Float[Tensor, "parts 2"]) -> dict[str, float]:
    """`adherence`, nats a token, and the same in each quarter of the steps (`adherence_t25`: the
    least noised); what no mask was seen for is left out.
    """
    sums = {"adherence": by_part.sum(0), **dict(zip(NAMES, by_part))}
    return {name: float(nats / masks) for name, (nats, masks) in sums.items() if float(masks) > 0}
