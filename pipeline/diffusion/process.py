"""The forward process of mask-and-replace diffusion and its exact posteriors (VQ-Diffusion, section
4; CDCD, section 3.1).
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.diffusion.schedule import Jump, Schedule, jump, linear_schedule
from pipeline.runtime.device import sent
from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import rows_drawn

FLOOR = -70.0  # log-probabilities are never lower, as in the published code


@dataclass(frozen=True)
class Positions:
    """The posterior q(x_s = j | x_t), position by position, for a predicted distribution p of x_0.

    With i = x_t and S = 1 - (1 - odds) p_i, a code j != i has probability scale (keep p_j + blur
    S), and i itself own p_i + rest S. At a masked position there is no i: p_i = 0, S = 1, own =
    rest = 0, so one formula serves both.
    """

    is_mask: Tensor  # bool
    code: Tensor  # x_t, with 0 in place of the mask so that it can index
    keep: Tensor
    blur: Tensor
    odds: Tensor
    own: Tensor
    rest: Tensor
    scale: Tensor

    def __getitem__(self, index) -> "Positions":
        return Positions(*(getattr(self, field.name)[index] for field in fields(self)))

    def flat(self) -> "Positions":
        """The same positions, [B, L] laid out as [B L]."""
        return Positions(*(getattr(self, field.name).reshape(-1) for field in fields(self)))

    def split(self, code_p: Tensor, others_p: Tensor) -> tuple[Tensor, Tensor]:
        """p_i and 1 - p_i from unnormalised masses: that of x_t's code, and that of all others
        (summed, not subtracted).
        """
        total = code_p + others_p
        return (code_p / total).masked_fill(self.is_mask, 0.0), (others_p / total).masked_fill(
            self.is_mask, 1.0
        )

    def spread(self, p_code: Tensor, p_others: Tensor) -> Tensor:
        """S = 1 - (1 - odds) p_i, of p_i and 1 - p_i."""
        return p_others + p_code * self.odds

    def unmoved(self, p_code: Tensor, spread: Tensor) -> Tensor:
        """The probability own p_i + rest S that a placed code i is kept; 0 at a mask."""
        return self.own * p_code + self.rest * spread


class MaskAndReplace:
    """Diffusion over `n_codes` codes and a mask (number `n_codes`) in `n_steps` steps; t runs from
    1 to n_steps.
    """

    def __init__(self, n_codes: int, n_steps: int, schedule: Schedule | None = None) -> None:
        if n_codes < 2 or n_steps < 2:
            raise UserError(
                f"Diffusion needs at least 2 codes and 2 steps, not {n_codes} and {n_steps}."
            )
        self.n_codes, self.n_steps = n_codes, n_steps
        self.schedule = schedule or linear_schedule(n_steps)
        if self.schedule.n_steps != n_steps:
            raise UserError(
                f"The schedule has {self.schedule.n_steps} steps where n_steps is {n_steps}."
            )
        self._placed = {self.schedule.keep.device: self.schedule}

    def schedule_on(self, device: torch.device) -> Schedule:
        """The schedule's tables on a device, copied there once."""
        if device not in self._placed:
            self._placed[device] = self.schedule.to(device)
        return self._placed[device]

    def jump(self, t: Int[Tensor, " B"], s: Int[Tensor, " B"] | None = None) -> Jump:
        """The constants for going from t [B] back to s [B] (t - 1 unless given)."""
        return jump(self.schedule_on(t.device), self.n_codes, t, t - 1 if s is None else s)

    def positions(
        self,
        x_t: Int[Tensor, "B L"],
        t: Int[Tensor, " B"],
        s: Int[Tensor, " B"] | None = None,
        dtype=torch.float32,
    ) -> Positions:
        """The posterior's constants at every position of x_t [B, L]."""
        constants, is_mask = self.jump(t, s), x_t == self.n_codes

        def spread(value: Tensor) -> Tensor:
            return value.to(dtype)[:, None].expand(x_t.shape)

        return Positions(
            is_mask=is_mask,
            code=x_t.masked_fill(is_mask, 0),
            keep=spread(constants.keep),
            blur=spread(constants.blur),
            odds=spread(constants.odds),
            own=spread(constants.own).masked_fill(is_mask, 0.0),
            rest=spread(constants.rest).masked_fill(is_mask, 0.0),
            scale=torch.where(is_mask, spread(constants.scale_mask), spread(constants.scale_code)),
        )

    def q_sample(
        self, x_0: Int[Tensor, "B L"], t: Int[Tensor, " B"], generator: torch.Generator
    ) -> Int[Tensor, "B L"]:
        """x_t [B, L] drawn from q(x_t | x_0): masked, replaced by a uniform code, or kept; t [B]
        may hold zeros.
        """
        schedule = self.schedule_on(t.device)
        keep, mask = schedule.keep[t, None], schedule.mask[t, None]
        fate = uniform(x_0.shape, generator, x_0.device)
        replaced = (uniform(x_0.shape, generator, x_0.device) * self.n_codes).long()
        x_t = torch.where(fate < 1 - keep, replaced, x_0)
        return torch.where(fate < mask, self.n_codes, x_t)

    def posterior(
        self,
        log_p_x0: Float[Tensor, "B K L"],
        x_t: Int[Tensor, "B L"],
        t: Int[Tensor, " B"],
        s: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B K+1 L"]:
        """Log p(x_s | x_t) [B, K + 1, L] under the predicted x_0, s = t - 1 unless given; last row
        = mask, floored at -70.

        `log_p_x0` [B, K, L] need not be normalised (a truncated one is not).
        """
        at = self.positions(x_t, t, s, log_p_x0.dtype)
        code = at.code[:, None]
        mass = (log_p_x0 - log_p_x0.amax(1, keepdim=True)).exp()
        others = mass.scatter(1, code, 0.0).sum(1)
        of_code = mass.gather(1, code)[:, 0]
        p_code, p_others = at.split(of_code, others)
        spread = at.spread(p_code, p_others)
        p = mass / (others + of_code)[:, None]
        codes = at.scale[:, None] * (at.keep[:, None] * p + (at.blur * spread)[:, None])
        unmoved = at.unmoved(p_code, spread)[:, None]
        codes = torch.where(at.is_mask[:, None], codes, codes.scatter(1, code, unmoved))
        stay = self.jump(t, s).stay.to(codes)[:, None] * at.is_mask
        return (
            torch.cat([codes, stay[:, None]], dim=1)
            .clamp(min=torch.e**FLOOR)
            .log()
            .clamp(FLOOR, 0.0)
        )

    def true_posterior(
        self,
        x_0: Int[Tensor, "B L"],
        x_t: Int[Tensor, "B L"],
        t: Int[Tensor, " B"],
        s: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B K1 L"]:
        """Log q(x_s | x_t, x_0) [B, K + 1, L], floored at -70."""
        certain = torch.full((len(x_0), self.n_codes, x_0.shape[1]), -torch.inf, device=x_0.device)
        return self.posterior(certain.scatter(1, x_0[:, None], 0.0), x_t, t, s)

    def kl(
        self,
        x_0: Int[Tensor, "B L"],
        log_p_x0: Float[Tensor, "B K L"],
        x_t: Int[Tensor, "B L"],
        t: Int[Tensor, " B"],
    ) -> Float[Tensor, "B L"]:
        """KL of the posterior under the true x_0 from that under the predicted one, nats [B, L]; at
        t = 1 -log p(x_0 | x_1).

        `log_p_x0` [B, K, L] must be normalised. Differentiable, but made for reading and checking:
        training uses `pipeline.diffusion.losses.head_terms`, which never holds [B, K, L].
        """
        at = self.positions(x_t, t.clamp(min=2), dtype=log_p_x0.dtype)
        p, code = log_p_x0.exp(), at.code[:, None]
        p_code, p_others = at.split(p.gather(1, code)[:, 0], p.scatter(1, code, 0.0).sum(1))
        log_p_target = log_p_x0.gather(1, x_0[:, None])[:, 0]
        background = at.blur * at.spread(p_code, p_others)
        log_sum = (at.keep[:, None] * p + background[:, None]).log().sum(1)
        summary = Summary(self.n_codes, p_code, p_others, log_p_target.exp(), log_sum)
        divergence = posterior_kl(at, x_0, summary)
        return torch.where(t[:, None] == 1, -log_p_target.clamp(min=FLOOR), divergence)


@dataclass(frozen=True)
class Summary:
    """All that the divergence of two posteriors reads of a predicted distribution p over the codes.

    Of the K codes only x_t's own, i, and the target k differ from the crowd (docs/method.md,
    section 4), so two gathers and one sum that all targets share stand for the whole distribution.
    """

    n_codes: int
    code: Tensor  # p_i; 0 at a mask
    others: Tensor  # 1 - p_i, summed rather than subtracted
    target: Tensor  # p_k
    log_sum: Tensor  # sum_j log(keep p_j + blur S) over all codes


def posterior_kl(at: Positions, target: Int[Tensor, "*N"], p: Summary) -> Float[Tensor, "*N"]:
    """KL(q(x_s | x_t, x_0 = target) || p(x_s | x_t)) in nats, in closed form; any shape, s > 0.

    The mask row is the same on both sides. Derived in docs/method.md, section 4.
    """
    spread = at.spread(p.code, p.others)
    background = at.blur * spread
    log_code = (at.keep * p.code + background).log()
    log_target = (at.keep * p.target + background).log()
    log_crowd = p.log_sum - log_code.masked_fill(at.is_mask, 0.0)  # the sum over all codes but x_t
    log_kept, log_left = _log_unmoved_ratios(at, p, spread)

    # the target is x_t: it stays, or moves to one of K - 1 codes that are all alike
    weight = at.scale * at.blur
    if_moved = (p.n_codes - 1) * (at.blur * at.odds).log() - log_crowd
    same = _surely(at) * log_kept + weight * at.odds * if_moved

    # the target is another code: x_t stays, moves to the target, or to one of the others
    to_target = at.scale * (at.keep + at.blur) * ((at.keep + at.blur).log() - log_target)
    n_crowd = p.n_codes - 2 + at.is_mask.to(p.log_sum)
    to_crowd = weight * (n_crowd * at.blur.log() - (log_crowd - log_target))
    other = at.rest * log_left + to_target + to_crowd
    return torch.where((target == at.code) & ~at.is_mask, same, other)


def _surely(at: Positions) -> Tensor:
    """The probability that x_t's code is kept when it is the target: `unmoved` at p_i = 1."""
    return at.own + at.rest * at.odds


def _log_unmoved_ratios(at: Positions, p: Summary, spread: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of how much likelier x_t's code is kept under the target than under p: when it
    is the target, and when another code is; 0 at a mask.

    Where p_i is nearly one, the first ratio is nearly one as well: there it is computed from how
    far it falls short.
    """
    surely = _surely(at)
    surely_or_one = surely.masked_fill(at.is_mask, 1.0)
    log_unmoved = at.unmoved(p.code, spread).masked_fill(at.is_mask, 1.0).log()
    drop = (p.others * (surely - at.rest) / surely_or_one).clamp(max=0.75)
    log_kept = torch.where(p.code > 0.5, -torch.log1p(-drop), surely_or_one.log() - log_unmoved)
    return log_kept, at.rest.masked_fill(at.is_mask, 1.0).log() - log_unmoved


def uniform(shape, generator: torch.Generator, device) -> Tensor:
    """Float64 numbers in [0, 1) on `device`, drawn where the generator lives (a CPU generator
    serves any device).
    """
    options = {"generator": generator, "device": generator.device, "dtype": torch.float64}
    drawn = rows_drawn(tuple(shape), generator, lambda all_: torch.rand(all_, **options))
    return sent(drawn, torch.device(device))
