"""The noise schedule: how much of x_0 is kept, and how much is masked, after each step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """Cumulative probabilities after 0..T steps, float64 [T + 1]: `keep[0]` is 1, `mask[0]` is 0.

    What neither keeps nor masks is spread evenly over the K codes.
    """

    keep: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        falls, rises = bool((self.keep.diff() < 0).all()), bool((self.mask.diff() > 0).all())
        if (
            len(self.keep) < 3
            or not falls
            or not rises
            or not bool((self.keep + self.mask < 1)[1:].all())
        ):
            raise UserError(
                "A schedule needs two steps or more, keeps that fall, masks that rise, and a sum of"
                " both below one."
            )

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.keep) - 1

    def to(self, device: torch.device) -> "Schedule":
        """The same tables on a device."""
        return Schedule(self.keep.to(device), self.mask.to(device))


def linear_schedule(n_steps: int, keep=(0.99999, 0.000009), mask=(0.000009, 0.99999)) -> Schedule:
    """VQ-Diffusion's schedule: cumulative keep and mask run linearly from their values at t = 1 to
    those at t = T.

    With its constants keep + mask is 1 - 1e-6 at every step: nearly an absorbing chain.
    """

    def run(start: float, ends: tuple[float, float]) -> Tensor:
        return torch.cat(
            [
                torch.tensor([start], dtype=torch.float64),
                torch.linspace(*ends, n_steps, dtype=torch.float64),
            ]
        )

    return Schedule(keep=run(1.0, keep), mask=run(0.0, mask))


@dataclass(frozen=True)
class Jump:
    """The constants of a jump from step t back to an earlier step s, one a sample, float64.

    abar, bbar, gbar are the cumulative keep, uniform (for one code) and mask probabilities; alpha,
    beta, gamma those of s -> t.
    """

    keep: Tensor  # abar_s
    blur: Tensor  # bbar_s
    odds: Tensor  # bbar_t / (abar_t + bbar_t): how much likelier x_t = i is when x_0 = i, inverted
    own: Tensor  # abar_s (alpha + beta) / (abar_t + bbar_t)
    rest: Tensor  # (alpha + beta) bbar_s / bbar_t
    scale_code: Tensor  # beta / bbar_t
    scale_mask: Tensor  # gamma / gbar_t
    stay: Tensor  # gbar_s / gbar_t: a masked position stays masked


def jump(schedule: Schedule, n_codes: int, t: Tensor, s: Tensor) -> Jump:
    """The constants of q(x_s | x_t, x_0) for steps t [B] and s [B], 0 <= s < t, on the schedule's
    device.

    Nothing is divided by a number that becomes small: bbar_t, a millionth of 1 / K, only ever
    divides its like.
    """
    keep_t, keep_s, mask_t, mask_s = (
        schedule.keep[t],
        schedule.keep[s],
        schedule.mask[t],
        schedule.mask[s],
    )
    blur_t, blur_s = (1 - keep_t - mask_t) / n_codes, (1 - keep_s - mask_s) / n_codes * (s > 0)
    alpha = keep_t / keep_s
    gamma = 1 - (1 - mask_t) / (1 - mask_s)
    beta = (1 - alpha - gamma) / n_codes
    return Jump(
        keep=keep_s,
        blur=blur_s,
        odds=blur_t / (keep_t + blur_t),
        own=keep_s * (alpha + beta) / (keep_t + blur_t),
        rest=(alpha + beta) * blur_s / blur_t,
        scale_code=beta / blur_t,
        scale_mask=gamma / mask_t,
        stay=mask_s / mask_t,
    )
