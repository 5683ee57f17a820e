"""The training loss: likelihood, auxiliary and contrastive terms of one batch, from tokens to one
differentiable number.

total = mean over the batch of (main + auxiliary + contrast) / (p(t) L), nats a token: an unbiased
estimate of the sum over t of what each step loses (CDCD, Eq. 5 and Algorithm 1).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.diffusion.balance import Balance
from pipeline.diffusion.cca import rolled
from pipeline.diffusion.contrast import (
    Contrast,
    Direction,
    adaptive_weight,
    check_setting,
    choose_negatives,
    information_bound,
    parse_setting,
)
from pipeline.diffusion.predictions import C, Network, Noised, Predictions, noise
from pipeline.diffusion.process import MaskAndReplace, uniform
from pipeline.diffusion.steps import ImportanceSteps, UniformSteps
from pipeline.diffusion.weights import Compared, Weights, contrast_weights, likelihood_weights
from pipeline.runtime.device import sent
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Decay, Section, Weight


class Loss(Section):
    """The likelihood part of the loss.

    t_sampling: `importance` (VQ-Diffusion) or `uniform` (Algorithm 1). auxiliary_weight: of -log
    p(x_0 | x_t) (5e-4; ImageNet 1e-3); auxiliary_direction: times 2 - t/T (published for images), 1
    + t/T (published for music) or 1. null_probability: how often a condition gives way to the
    learned null, for guidance and for `infonce`; 0: never.
    """

    t_sampling: Literal["importance", "uniform"] = "importance"
    auxiliary_weight: Weight
    auxiliary_direction: Direction = "decreasing"
    null_probability: Decay


@dataclass(frozen=True)
class LossTerms:
    """One batch's loss, scalars; all but `total` are detached, and main + auxiliary + contrast =
    total.
    """

    total: Float[Tensor, ""]  # to descend
    main: Float[Tensor, ""]  # nats a token: the variational bound, summed over t
    auxiliary: Float[Tensor, ""]  # weighted
    # weighted and signed: negative when negatives are pushed away; 0 without any
    contrast: Float[Tensor, ""]
    negative: dict[
        str, Tensor
    ]  # setting -> mean cost of a negative's token, nats, unweighted; empty without any
    gap: dict[str, Tensor]  # setting -> by how much that is above a positive's token
    bound: dict[
        str, Tensor
    ]  # setting -> log N - L_InfoNCE, nats; empty unless asked for (and there is a condition left)
    t: Int[Tensor, " B"]
    kl: Float[Tensor, " B"]  # nats a token: L_vb at t
    kept: Int[Tensor, ""]  # how many samples have kept their condition: those of the bound


class Objective(nn.Module):
    """The training loss of one setting; what it learns about t is in its state_dict and belongs to
    the checkpoint. `reference` is the frozen model of the form cca.

    In train() mode conditions are dropped, `contrastive_steps` counts and statistics are updated;
    in eval() nothing changes.
    """

    def __init__(
        self,
        process: MaskAndReplace,
        loss: Loss,
        setting: str,
        contrast: Contrast | None = None,
        reference: Network | None = None,
    ) -> None:
        super().__init__()
        self.process, self.loss, self.contrast, self.terms = (
            process,
            loss,
            contrast,
            parse_setting(setting),
        )
        # in a tuple, so that the frozen model is no part of the objective's state or parameters
        self.references: tuple[Network, ...] = () if reference is None else (reference,)
        if self.terms:
            known = reference is not None
            check_setting(setting, contrast, loss.null_probability, process.n_steps, known)
        self.steps = {"importance": ImportanceSteps, "uniform": UniformSteps}[loss.t_sampling](
            process.n_steps
        )
        self.balance = Balance()
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(
        self,
        network: Network[C],
        x_0: Int[Tensor, "B L"],
        inputs: dict[str, Tensor],
        generator: torch.Generator,
        negatives: dict[str, Tensor] | None = None,
        estimate_bound: bool = False,
        is_last: bool = True,
    ) -> LossTerms:
        """The loss of tokens x_0 [B, L] given `inputs`, with negatives {"intra": [B, N, L],
        "inter": [B, N, L]} of the setting.

        Every random number comes from `generator`: t, x_t, dropped conditions, chosen negatives.
        `estimate_bound` adds the mutual-information bound, whose p(z) costs a pass without gradient
        under the null condition (with null_probability 0 its critic is p(z | c) alone); ask for it
        now and then. A dropped condition takes no part in the contrast. What is learned about t
        waits for the last part of a batch that comes in several (`is_last`).
        """
        x_0 = x_0.long()
        t, p_t = (sent(value, x_0.device) for value in self.steps.draw(len(x_0), generator))
        share = 1 / (p_t * x_0.numel())
        condition, present = self._condition(network, inputs, generator, x_0)
        # x_t before any negative is drawn: settings can be compared pairwise
        x_t = self.process.q_sample(x_0, t, generator)
        stored = negatives or {}
        noised = self._noise(x_0, x_t, t, stored, generator)
        predictions = noised.predict(network, condition)
        compared = self._compare(network, condition, inputs, predictions, estimate_bound)

        likelihood = likelihood_weights(share, self._auxiliary(share, t), noised.n_columns)
        contrast = Weights.zeros(share, noised.n_columns)
        if noised.columns:
            n_stored = {kind: tokens.shape[1] for kind, tokens in stored.items()}
            if self._contrast.form == "cca":
                present = present & present.roll(1)
            contrast = contrast_weights(
                self._contrast, noised, share * present, self.process.n_steps, n_stored, compared
            )
        step, sample = likelihood.step + contrast.step, likelihood.sample + contrast.sample
        costs = predictions.losses(network.output, self.process, step, sample, self._cap)

        main, auxiliary = likelihood.by_loss(costs)
        pushed = contrast.value(costs)
        if self.training:
            parts = torch.stack([main + auxiliary, pushed]).detach()
            self._waiting.append((t, costs.step[:, 0], parts))
            if is_last:
                self._learn()
        by_term = {term.name: noised.of(term, costs) / x_0.shape[1] for term in noised.columns}
        return LossTerms(
            total=costs.total + contrast.offset.to(costs.total),
            main=main,
            auxiliary=auxiliary,
            contrast=pushed,
            negative={name: each[:, 1:].mean() for name, each in by_term.items()},
            gap={name: (each[:, 1:] - each[:, :1]).mean() for name, each in by_term.items()},
            bound=self._bounds(compared, present) if estimate_bound else {},
            t=t,
            kl=costs.step[:, 0] / x_0.shape[1],
            kept=present.sum(),
        )

    @property
    def _contrast(self) -> Contrast:
        assert self.contrast is not None, "a setting with terms has a contrast section"
        return self.contrast

    @property
    def _can_run_away(self) -> bool:
        """Whether the negatives could outweigh the likelihood without end."""
        return (
            self.training
            and bool(self.terms)
            and self._contrast.form == "difference"
            and self._contrast.cap is None
        )

    @property
    def _cap(self) -> float | None:
        return self._contrast.cap if self.terms else None

    def _condition(self, network: Network[C], inputs, generator, x_0) -> tuple[C, Tensor]:
        """The encoded condition, and which rows [B] have kept it."""
        condition, present = (
            network.encode(inputs),
            torch.ones(len(x_0), dtype=torch.bool, device=x_0.device),
        )
        if self.training and self.loss.null_probability > 0:
            present = uniform((len(x_0),), generator, x_0.device) >= self.loss.null_probability
            condition = condition.null(~present)
        return condition, present

    def _noise(
        self, x_0: Tensor, x_t: Tensor, t: Tensor, stored: dict[str, Tensor], generator
    ) -> Noised:
        """The batch at t with this step's negatives; with none when `contrastive_steps` says to do
        without.
        """
        if not self.terms or not self._applies(generator):
            return noise(self.process, x_0, x_t, t, {}, False, generator)
        config = self._contrast
        if config.form == "cca":
            if len(x_0) < 2:
                raise UserError(
                    "The form cca takes its negatives from the batch: batch_size must be 2 or more"
                    " for each process."
                )
            return rolled(x_0, x_t, t, self.terms[0])
        chosen = {
            term: choose_negatives(term, stored, config.negatives_per_step, generator)
            for term in self.terms
        }
        return noise(self.process, x_0, x_t, t, chosen, config.chains == "parallel", generator)

    def _applies(self, generator) -> bool:
        """Whether this step has a contrast: with probability `contrastive_steps` / T in
        training.
        """
        applied = self._contrast.contrastive_steps
        if not self.training or not applied:
            return True
        return float(uniform((), generator, "cpu")) < applied / self.process.n_steps

    def _auxiliary(self, share: Tensor, t: Tensor) -> Tensor:
        """The weight [B] of the auxiliary loss."""
        adaptive = adaptive_weight(self.loss.auxiliary_direction, t, self.process.n_steps)
        return self.loss.auxiliary_weight * share * adaptive

    def _compare(
        self,
        network: Network[C],
        condition: C,
        inputs: dict[str, Tensor],
        predictions: Predictions,
        estimate_bound: bool,
    ) -> Compared:
        """What InfoNCE, its bound and CCA compare, where they are asked for.

        A null that is never trained says nothing of p(z), so it is left out.
        """
        noised = predictions.noised
        if not noised.columns or (self._contrast.form == "difference" and not estimate_bound):
            return Compared({}, {})
        costs = predictions.costs(network.output, self.process, self._cap)
        known = {term: noised.of(term, costs) for term in noised.columns}
        if self._contrast.form != "cca" and self.loss.null_probability == 0:
            return Compared(known, known)
        with torch.no_grad():
            if self._contrast.form == "cca":
                (other,) = self.references
                found = noised.predict(other, other.encode(inputs))
            else:
                other, everywhere = network, torch.ones_like(noised.t, dtype=torch.bool)
                found = noised.predict(other, condition.null(everywhere))
            theirs = found.costs(other.output, self.process, self._cap)
        return Compared(known, {term: known[term] - noised.of(term, theirs) for term in known})

    def _bounds(self, compared: Compared, present: Tensor) -> dict[str, Tensor]:
        """The bound of each contrast over the samples that kept their condition; empty when none
        did, and for CCA, which has a single negative.
        """
        if not bool(present.any()) or (self.terms and self._contrast.form == "cca"):
            return {}
        return {
            term.name: information_bound(compared.ratios[term][present], self._contrast.temperature)
            for term in self.terms
            if term in compared.ratios
        }

    def _learn(self) -> None:
        """Takes in what the parts of a batch have shown: the losses at each t, and how likelihood
        and contrast stand to each other.
        """
        steps, losses, parts = zip(*self._waiting)
        self._waiting.clear()
        self.steps.update(torch.cat(steps), torch.cat(losses))
        self.balance.watch(torch.stack(parts).mean(0), self._can_run_away)

    def check(self) -> None:
        """Raises UserError for a training that cannot go on (`Balance.check`)."""
        self.balance.check()
