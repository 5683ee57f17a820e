"""The contrastive losses: which negatives meet which loss, in what form, and the mutual-information
bound they give.

CDCD, Eq. 2: negatives z^1..z^N of a pair (z_0, c) should be unlikely given c. The `step` loss
compares L_vb at a step t (Eq. 3), the `sample` loss -log p(z_0 | z_t, c) (Eq. 4).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import model_validator
from torch import Tensor

from pipeline.diffusion.process import uniform
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Count, Positive, Section, Weight

Direction = Literal["constant", "decreasing", "increasing"]
SETTINGS = ("vanilla", "step_intra", "step_inter", "sample_intra", "sample_inter")


class Contrast(Section):
    """How negatives enter the loss. The top-level `contrast` chooses the setting; this section says
    everything else.

    form: `difference` subtracts the negatives' losses (Algorithm 1; unbounded unless `cap` is set);
    `infonce` is the bounded log-sum-exp of Eq. 2 over -(loss given c - loss given the null
    condition) / temperature, with no gradient through the null condition; `cca` pushes the same
    content away from the condition of another sample of the batch by -lambda log sigmoid(-r), and
    with keep_positive towards its own by -log sigmoid(r), r = (the loss of the frozen model of
    `train.init` - the loss) / temperature (1 / beta), for an inter setting, whose stored negatives
    it does not read; it passes the network twice and the frozen one twice without gradient, about
    2.7 times a vanilla step. chains: `parallel` noises
    each negative to its own z_t^j, which the network sees with c (the paper's step-wise loss);
    `released` keeps the positive's x_t and changes only the target. The sample-wise loss always
    uses the positive's z_t. scale: `mean` (Algorithm 1), `sum` (Eq. 3), `log_n` (log N times the
    sum, Eq. 9g); difference only. keep_positive: whether the positive's own term is part of the
    loss (Eq. 3 and 4), or only the negatives' (Algorithm 1). intra_weight, inter_weight: lambda;
    direction: times 2 - t/T (paper: decreasing), 1 + t/T (released) or 1. negatives_per_step: how
    many of the stored N are drawn at random for each sample (null: all); difference only.
    contrastive_steps: the loss applies with probability contrastive_steps / T (Appendix E.3; null:
    always). cap: a negative's term stops at so many nats a token (null: no cap). The defaults are
    the paper's.
    """

    form: Literal["difference", "infonce", "cca"] = "difference"
    chains: Literal["parallel", "released"] = "parallel"
    scale: Literal["mean", "sum", "log_n"] = "mean"
    keep_positive: bool = False
    intra_weight: Weight
    inter_weight: Weight
    direction: Direction = "decreasing"
    temperature: Positive = 1.0
    negatives_per_step: Count | None = None
    contrastive_steps: Count | None = None
    cap: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Contrast":
        if self.form != "difference" and self.negatives_per_step is not None:
            reason = {
                "infonce": "a subset of its sum is biased",
                "cca": "its negatives are the conditions of the batch",
            }[self.form]
            raise ValueError(f"negatives_per_step must be null with the form {self.form}: {reason}")
        if self.form == "infonce" and not self.keep_positive:
            raise ValueError(
                "keep_positive must be true with the form infonce: the positive is one of its N + 1"
                " terms"
            )
        if self.form != "difference" and self.scale != "mean":
            raise ValueError(
                f"scale must be mean with the form {self.form}: it weighs its negatives itself"
            )
        return self


@dataclass(frozen=True)
class Term:
    """One contrast: the loss (`step` or `sample`) against one kind of negatives (`intra` or
    `inter`).
    """

    loss: str
    kind: str

    @property
    def name(self) -> str:
        """As in the settings."""
        return f"{self.loss}_{self.kind}"


def parse_setting(setting: str) -> tuple[Term, ...]:
    """The terms of a setting: none for `vanilla`, one for `step_intra` and its like, two for
    `step_intra+sample_inter`.
    """
    names = [] if setting == "vanilla" else setting.split("+")
    if unknown := [name for name in names if name not in SETTINGS[1:]]:
        raise UserError(
            f"contrast is {setting!r}, but {unknown[0]!r} is none of {', '.join(SETTINGS)}; "
            "an intra and an inter setting can be joined by '+'."
        )
    terms = tuple(Term(*name.split("_")) for name in names)
    if len({term.kind for term in terms}) < len(terms):
        raise UserError(
            f"contrast is {setting!r}: at most one intra and one inter setting can be joined."
        )
    return terms


def check_setting(
    setting: str,
    contrast: Contrast | None,
    null_probability: float,
    n_steps: int,
    has_reference: bool,
) -> None:
    """Raises UserError when the sections cannot give what a setting with terms asks for."""
    if contrast is None:
        raise UserError(f"The setting {setting} needs a contrast section.")
    if contrast.form == "infonce" and null_probability == 0:
        raise UserError(
            "The form infonce takes p(z) from the null condition: set null_probability above 0 to"
            " have it trained."
        )
    if contrast.form == "cca" and [term.kind for term in parse_setting(setting)] != ["inter"]:
        raise UserError(
            f"The form cca contrasts the conditions of different samples, but contrast is"
            f" {setting}; take step_inter or sample_inter."
        )
    if contrast.form == "cca" and not has_reference:
        raise UserError(
            "The form cca starts from and is compared with a trained model: name it in train.init."
        )
    if (contrast.contrastive_steps or 0) > n_steps:
        raise UserError(
            f"contrastive_steps is {contrast.contrastive_steps}, more than the {n_steps} steps of"
            " the diffusion."
        )


def choose_negatives(
    term: Term, stored: dict[str, Tensor], n_drawn: int | None, generator: torch.Generator
) -> Int[Tensor, "B m L"]:
    """The negatives [B, m, L] of a term: `n_drawn` of the stored [B, N, L] for each sample, all of
    them when None.
    """
    if term.kind not in stored:
        raise UserError(
            f"Contrast {term.name} needs {term.kind} negatives, but the batch has none; rerun the"
            " stage negatives."
        )
    tokens = stored[term.kind].long()
    if tokens.ndim != 3 or tokens.shape[1] == 0:
        raise UserError(
            f"{term.kind} negatives must be [batch, N >= 1, length], not {tuple(tokens.shape)}."
        )
    batch, n_stored, length = tokens.shape
    if n_drawn is None or n_drawn == n_stored:
        return tokens
    if n_drawn > n_stored:
        raise UserError(
            f"negatives_per_step is {n_drawn}, but only {n_stored} {term.kind} negatives are"
            " stored; lower it."
        )
    order = uniform((batch, n_stored), generator, tokens.device).argsort(1)[:, :n_drawn]
    return tokens.gather(1, order[:, :, None].expand(-1, -1, length))


def adaptive_weight(
    direction: Direction, t: Int[Tensor, " B"], n_steps: int
) -> Float[Tensor, " B"]:
    """The adaptive weight at steps t [B]: 2 - i/T, 1 + i/T or 1, with i = t - 1 counted from 0 as
    in the published code.
    """
    progress = (t - 1).double() / n_steps
    return {
        "constant": torch.ones_like(progress),
        "decreasing": 2 - progress,
        "increasing": 1 + progress,
    }[direction]


def difference(config: Contrast, n_stored: int, n_drawn: int) -> Float[Tensor, " n"]:
    """The coefficients [1 + m] of positive and negatives in [keep] positive - C sum_j negative_j;
    float64.

    C makes a drawn subset stand for all N stored negatives.
    """
    scale = {"mean": 1.0, "sum": n_stored, "log_n": n_stored * math.log(n_stored)}[config.scale]
    return torch.tensor(
        [float(config.keep_positive), *[-scale / n_drawn] * n_drawn], dtype=torch.float64
    )


def infonce(
    losses: Float[Tensor, "B n"], temperature: float
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B n"]]:
    """-log of the positive's share among exp(-loss / temperature) [B] (Eq. 2), and its derivative
    [B, 1 + m] by each loss.

    `losses` [B, 1 + m]: the positive first, each relative to the null condition's, -log p(z | c) /
    p(z).
    """
    scores = -losses / temperature
    share = torch.softmax(scores, dim=1)
    derivative = torch.cat([share[:, :1] - 1, share[:, 1:]], dim=1) / -temperature
    return torch.logsumexp(scores, dim=1) - scores[:, 0], derivative


def information_bound(losses: Float[Tensor, "B n"], temperature: float) -> Float[Tensor, ""]:
    """A lower bound on the mutual information of content and condition, log N - L_InfoNCE, nats;
    `losses` as for `infonce`.
    """
    return math.log(losses.shape[1] - 1) - infonce(losses, temperature)[0].mean()
