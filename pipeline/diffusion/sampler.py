"""The reverse process: tokens from pure mask, one sampler for every order, with head and truncation
only where they matter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal

import torch
from jaxtyping import Bool, Int
from pydantic import Field, model_serializer
from torch import Tensor

from pipeline.diffusion.order import first, halton_path
from pipeline.diffusion.predictions import C, Network
from pipeline.diffusion.process import MaskAndReplace, uniform
from pipeline.diffusion.truncation import N_NOISE, above, draw, draw_truncated, truncate
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Count, Positive, Section, Weight


class Sampling(Section):
    """How x_0 is drawn.

    steps: of the T steps, evenly spaced (T: all of them). truncation: the share r of the likeliest
    codes that may be drawn (paper 0.86; 1: all). temperature: of p(x_0), before truncation.
    guidance: 1 is none; above, log p moves away from the null condition's, at two network passes a
    step, and needs a model trained with null_probability above 0. guidance_schedule: `constant`, or
    with the share of masks that the schedule leaves at t: `rising` from 1 where all is masked to
    `guidance` where nothing is, `falling` from `guidance` to 1 (MAGNeT's direction). order:
    `random` is the plain reverse process; the others open a fixed number of positions a step and
    never touch one again: the purest (VQ-Diffusion 2), the most confident draws (MaskGIT), or along
    a Halton path. choice_temperature: Gumbel noise on purity (1: in proportion to it) or on
    confidence (MaskGIT 4.5, fading); 0: none.
    """

    steps: Count
    truncation: float = Field(default=0.86, strict=True, gt=0, le=1)
    temperature: Positive = 1.0
    guidance: Weight = 1.0
    guidance_schedule: Literal["constant", "rising", "falling"] = "constant"
    order: Literal["random", "purity", "confidence", "halton"] = "random"
    choice_temperature: Weight = 0.0

    @model_serializer(mode="wrap")
    def _without_the_usual(self, plain: Callable[["Sampling"], dict]) -> dict[str, object]:
        """A constant schedule is not said, so that what was written before there were others is
        written as it was.
        """
        written = plain(self)
        if self.guidance_schedule == "constant":
            del written["guidance_schedule"]
        return written

    def guidance_at(self, mask_share: float) -> float:
        """The guidance where so many of the tokens are masked."""
        match self.guidance_schedule:
            case "constant":
                return self.guidance
            case "rising":
                return 1 + (self.guidance - 1) * (1 - mask_share)
            case "falling":
                return 1 + (self.guidance - 1) * mask_share


@torch.no_grad()
def sample(
    network: Network[C],
    process: MaskAndReplace,
    condition: C,
    length: int,
    config: Sampling,
    generators: Sequence[torch.Generator],
    known: tuple[Int[Tensor, "B L"], Bool[Tensor, "..."]] | None = None,
    grid: tuple[int, int] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Int[Tensor, "B {length}"]:
    """Tokens [B, L] in 0..K-1 given the condition of B rows, one generator a row: a row's noise is
    its own, whatever its batch.

    `known` = (tokens [B, L], mask [B, L]): where the mask is true the tokens are given and stay
    (in-painting, editing). `grid` = (rows, columns) of the tokens, for the Halton order; a single
    row when None. `on_step` hears each step's t.
    """
    if config.steps > process.n_steps:
        raise UserError(
            f"sample.steps is {config.steps}, but the diffusion has {process.n_steps} steps; choose"
            " at most that."
        )
    device = network.output.weight.device
    sampler = Reverse(
        network, process, config, prepared(network, condition, config.guidance), grid or (1, length)
    )
    x, fixed = _start(process, (len(generators), length), known, device)
    n_hidden = (~fixed).sum(1)
    times = torch.linspace(process.n_steps, 0, config.steps + 1, dtype=torch.float64).round().long()
    for t, s in zip(times[:-1].tolist(), times[1:].tolist()):
        noise = torch.stack(
            [uniform((length, 2 + N_NOISE), generator, device) for generator in generators]
        )
        x = (
            sampler.random(x, t, s, noise, fixed)
            if config.order == "random"
            else sampler.ordered(x, t, s, noise, n_hidden)
        )
        if on_step is not None:
            on_step(t)
    return x


def prepared(network: Network[C], condition: C, guidance: float) -> C:
    """The condition prepared once for all steps; for guidance each row is followed by the null, so
    that one pass does both.
    """
    if guidance != 1:
        n, device = len(condition), network.output.weight.device
        condition = condition.repeat(2).null(torch.tensor([False, True], device=device).repeat(n))
    return network.prepare(condition)


def _start(process: MaskAndReplace, shape: tuple[int, int], known, device) -> tuple[Tensor, Tensor]:
    """x_T, all mask but for what is known, and which positions are."""
    x = torch.full(shape, process.n_codes, device=device)
    if known is None:
        return x, torch.zeros_like(x, dtype=torch.bool)
    tokens, fixed = (part.to(device) for part in known)
    if tokens.shape != shape or fixed.shape != shape:
        raise UserError(
            f"Known tokens and their mask must be {list(shape)}, not {list(tokens.shape)} and"
            f" {list(fixed.shape)}."
        )
    if bool(((tokens < 0) | (tokens >= process.n_codes))[fixed].any()):
        raise UserError(f"Known tokens must be codes in 0..{process.n_codes - 1}.")
    return torch.where(fixed, tokens.long(), x), fixed


@dataclass(frozen=True)
class Reverse(Generic[C]):
    """The reverse steps of one batch."""

    network: Network[C]
    process: MaskAndReplace
    config: Sampling
    condition: C  # from `prepared`
    grid: tuple[int, int]

    def probabilities(self, x_t: Tensor, t: int, where: Tensor) -> Tensor:
        """p(x_0 | x_t) [M, K] at the M positions of `where` [B, L], in row order; head and last
        block run nowhere else.

        Rows of the batch in which there is no such position do not pass the network at all.
        """
        copies = 1 if self.config.guidance == 1 else 2
        rows, condition = where.any(1).nonzero()[:, 0], self.condition
        if len(rows) < len(x_t):
            x_t, where = x_t[rows], where[rows]
            condition = condition.rows(
                (copies * rows[:, None] + torch.arange(copies, device=rows.device)).flatten()
            )
        count = where.sum(1, keepdim=True)
        wanted = where.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[
            :, : int(count.max())
        ]
        steps = torch.full((copies * len(x_t),), t, device=x_t.device)
        x_t, at = x_t.repeat_interleave(copies, 0), wanted.repeat_interleave(copies, 0)
        hidden = (
            self.network.features(x_t, steps, condition, at)
            .unflatten(0, (-1, copies))
            .transpose(1, 2)
        )
        logits = self.network.output(
            hidden[torch.arange(wanted.shape[1], device=x_t.device) < count]
        ).float()
        log_p = logits[:, 0]
        if copies == 2:
            log_p, null = logits.log_softmax(-1).unbind(1)
            masked = self.process.schedule.mask
            guidance = self.config.guidance_at(float(masked[t] / masked[-1]))
            log_p = null + guidance * (log_p - null)
        return (log_p / self.config.temperature).softmax(-1)

    def random(self, x_t: Tensor, t: int, s: int, noise: Tensor, fixed: Tensor) -> Tensor:
        """x_s drawn from the posterior.

        Whether a mask opens does not depend on the network, and how likely a token is to be
        replaced is bounded: what cannot change is decided before the head runs, and when nothing
        can, the network does not run either.
        """
        constants = {
            name: float(value) for name, value in vars(self.process.jump(*_steps(t, s))).items()
        }
        keep, blur, n_codes = constants["keep"], constants["blur"], self.process.n_codes
        is_mask, fate = x_t == n_codes, noise[..., 0]
        opens = is_mask & (fate >= constants["stay"])
        might_move = (
            ~is_mask & ~fixed & (fate < constants["scale_code"] * (keep + (n_codes - 1) * blur))
        )
        active = opens | might_move
        if not bool(active.any()):
            return x_t
        p, noise, token, at_mask = (
            self.probabilities(x_t, t, active),
            noise[active],
            x_t[active],
            is_mask[active],
        )

        # An opening mask: p(x_0) with probability keep, any code with the rest.
        of_mask, spread = noise[at_mask], n_codes * blur / (keep + n_codes * blur)
        fresh = draw_truncated(p[at_mask], self.config.truncation, of_mask[:, 2:])
        token[at_mask] = torch.where(
            of_mask[:, 1] < spread, (of_mask[:, 2] * n_codes).long(), fresh
        )
        token[~at_mask] = self._replace(p[~at_mask], token[~at_mask], noise[~at_mask], constants)
        return x_t.masked_scatter(active, token)

    def _replace(
        self, p: Tensor, token: Tensor, noise: Tensor, constants: dict[str, float]
    ) -> Tensor:
        """The placed tokens [M] after the step: the posterior of all other codes decides whether
        one goes, and to which.

        Truncation only adds to the probability of a token that it keeps, so most rows are settled
        before any is sorted.
        """
        keep, blur, odds, scale = (
            constants[name] for name in ("keep", "blur", "odds", "scale_code")
        )
        truncation, fate = self.config.truncation, noise[:, 0]
        others = 1 - p.gather(1, token[:, None])[:, 0]
        at_most = torch.where(above(p, token) < truncation, others, 1.0)
        share = scale * (
            keep * at_most + (p.shape[1] - 1) * blur * (at_most + (1 - at_most) * odds)
        )
        open_rows = (fate < share + 1e-6).nonzero()[:, 0]  # rounding must not settle a row

        p, old = truncate(p[open_rows], truncation), token[open_rows, None]
        others = p.scatter(1, old, 0.0)
        p_others = others.sum(1, keepdim=True)
        density = (keep * others + blur * (p_others + (1 - p_others) * odds)).scatter(1, old, 0.0)
        goes = fate[open_rows] < scale * density.sum(1)
        result = token.clone()
        result[open_rows] = torch.where(goes, draw(density, noise[open_rows, 1]), old[:, 0])
        return result

    def ordered(self, x_t: Tensor, t: int, s: int, noise: Tensor, n_hidden: Tensor) -> Tensor:
        """x_s with as many masks as the schedule leaves, those positions opened that the order puts
        first.
        """
        is_mask, schedule = x_t == self.process.n_codes, self.process.schedule.mask
        count = is_mask.sum(1) - (n_hidden * float(schedule[s] / schedule[-1])).floor().long()
        if not bool((count > 0).any()):
            return x_t
        if self.config.order == "halton":
            path = torch.tensor(halton_path(*self.grid), device=x_t.device)
            if len(path) != x_t.shape[1]:
                raise UserError(
                    f"A grid of {self.grid[0]} x {self.grid[1]} does not hold {x_t.shape[1]}"
                    " tokens."
                )
            opens = first(-path.expand_as(x_t).double(), is_mask, count)
            return self._place(x_t, self.probabilities(x_t, t, opens), opens, noise)
        p = self.probabilities(x_t, t, is_mask)
        filled = self._place(x_t, p, is_mask, noise)
        certainty = (
            p.amax(1)
            if self.config.order == "purity"
            else p.gather(1, filled[is_mask][:, None])[:, 0]
        )
        gumbel = -(-noise[..., 0].clamp(min=1e-12).log()).log()
        heat = self.config.choice_temperature * (
            1.0 if self.config.order == "purity" else s / self.process.n_steps
        )
        preference = (
            torch.zeros_like(gumbel).masked_scatter(is_mask, certainty.double().log())
            + heat * gumbel
        )
        return torch.where(first(preference, is_mask, count), filled, x_t)

    def _place(self, x_t: Tensor, p: Tensor, where: Tensor, noise: Tensor) -> Tensor:
        """x_t with tokens drawn from the truncated p [M, K] at `where`."""
        return x_t.masked_scatter(
            where, draw_truncated(p, self.config.truncation, noise[where][:, 2:])
        )


def _steps(t: int, s: int) -> tuple[Tensor, Tensor]:
    return torch.tensor([t]), torch.tensor([s])
