"""How much of each loss of a batch the total holds: the weights of likelihood and contrast, known
before the losses are, so that one pass through the output layer yields terms and gradients.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pipeline.diffusion.cca import alignment
from pipeline.diffusion.contrast import Contrast, Term, adaptive_weight, difference, infonce
from pipeline.diffusion.losses import HeadTerms
from pipeline.diffusion.predictions import Noised
from pipeline.runtime.device import sent


@dataclass(frozen=True)
class Weights:
    """The weights [B, columns] of the step-wise and of the sample-wise losses, float64: the
    positive in column 0, then every negative (see `Noised`).

    `offset` is what the part is worth beyond its weighted losses; it has no gradient.
    """

    step: Float[Tensor, "B columns"]
    sample: Float[Tensor, "B columns"]
    offset: Float[Tensor, ""]

    @staticmethod
    def zeros(share: Tensor, n_columns: int) -> "Weights":
        """No weight on anything, for the B shares."""
        step, sample = (share.new_zeros(len(share), n_columns) for _ in range(2))
        return Weights(step, sample, share.new_zeros(()))

    def by_loss(self, costs: HeadTerms) -> tuple[Tensor, Tensor]:
        """What step-wise and sample-wise losses contribute, two numbers."""
        return (self.step * costs.step).sum(), (self.sample * costs.sample).sum()

    def value(self, costs: HeadTerms) -> Tensor:
        """What the part contributes in all."""
        step, sample = self.by_loss(costs)
        return step + sample + self.offset


def likelihood_weights(
    share: Float[Tensor, " B"], auxiliary: Float[Tensor, " B"], n_columns: int
) -> Weights:
    """L_vb and the auxiliary loss of the positives; `share` [B] is 1 / (p(t) B L), `auxiliary` [B]
    the weight of the latter.
    """
    weights = Weights.zeros(share, n_columns)
    weights.step[:, 0] = share
    weights.sample[:, 0] = auxiliary
    return weights


@dataclass(frozen=True)
class Compared:
    """The losses [B, 1 + m] of each contrast, the positive first; no gradient.

    `ratios` are the same relative to the null condition, -log p(z | c) / p(z), or for CCA to the
    frozen model. Both are empty when nothing asks for them.
    """

    losses: dict[Term, Tensor]
    ratios: dict[Term, Tensor]


def contrast_weights(
    config: Contrast,
    noised: Noised,
    share: Float[Tensor, " B"],
    n_steps: int,
    n_stored: dict[str, int],
    compared: Compared,
) -> Weights:
    """The contrasts of a batch; `share` [B] is 0 for a sample that takes no part, and `n_stored`
    the N of each kind.

    InfoNCE and CCA are replaced by their tangents at the present losses, whose value is put right
    by `offset`: the same number, the same gradient. CCA's lambda weighs its negative alone.
    """
    weights, offset = Weights.zeros(share, noised.n_columns), share.new_zeros(())
    adaptive = adaptive_weight(config.direction, noised.t, n_steps)
    for term, columns in noised.columns.items():
        strength = config.intra_weight if term.kind == "intra" else config.inter_weight
        weight = (1.0 if config.form == "cca" else strength) * adaptive * share
        if config.form == "difference":
            n_drawn = columns.stop - columns.start
            slope = sent(difference(config, n_stored[term.kind], n_drawn), share.device)[None]
        else:
            ratios = compared.ratios[term]
            value, slope = (
                infonce(ratios, config.temperature)
                if config.form == "infonce"
                else alignment(ratios, config.temperature, strength, config.keep_positive)
            )
            offset += (weight * (value - (slope * compared.losses[term]).sum(1))).sum()
        of_term: Tensor = getattr(weights, term.loss)
        of_term[:, 0] += weight * slope[:, 0]
        of_term[:, columns] = weight[:, None] * slope[:, 1:]
    return Weights(weights.step, weights.sample, offset)
