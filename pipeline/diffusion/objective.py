"""The training loss: likelihood, auxiliary and contrastive terms of one batch, from tokens to one
differentiable number.

total = mean over the batch of (main + auxiliary + contrast) / (p(t) L), nats a token: an unbiased
estimate of the sum over t of what each step loses (CDCD, Eq. 5 and Algorithm 1).
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.diffusion.contrast import (
    Contrast,
    Direction,
    Term,
    adaptive_weight,
    choose_negatives,
    information_bound,
    parse_setting,
)
from pipeline.diffusion.predictions import C, Network, Predictions, noise
from pipeline.diffusion.process import MaskAndReplace, uniform
from pipeline.diffusion.steps import ImportanceSteps, UniformSteps
from pipeline.diffusion.weights import Compared, Weights, contrast_weights, likelihood_weights
from pipeline.runtime.device import sent
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Decay, Section, Weight

PATIENCE = 100  # training steps before the balance of the terms is judged
MEMORY = 0.98  # of the running averages it is judged by


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


class Objective(nn.Module):
    """The training loss of one setting; what it learns about t is in its state_dict and belongs to
    the checkpoint.

    In train() mode conditions are dropped, `contrastive_steps` counts and statistics are updated;
    in eval() nothing changes.
    """

    balance: Tensor
    seen: Tensor

    def __init__(
        self, process: MaskAndReplace, loss: Loss, setting: str, contrast: Contrast | None = None
    ) -> None:
        super().__init__()
        self.process, self.loss, self.contrast, self.terms = (
            process,
            loss,
            contrast,
            parse_setting(setting),
        )
        if self.terms:
            _check(setting, loss, contrast, process.n_steps)
        self.steps = {"importance": ImportanceSteps, "uniform": UniformSteps}[loss.t_sampling](
            process.n_steps
        )
        self.register_buffer("balance", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._watched: Tensor | None = None

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
        chosen = self._choose(negatives or {}, generator)
        parallel = self.contrast is not None and self.contrast.chains == "parallel"
        noised = noise(self.process, x_0, x_t, t, chosen, parallel, generator)
        predictions = noised.predict(network, condition)
        compared = self._compare(network, condition, predictions, estimate_bound)

        likelihood = likelihood_weights(share, self._auxiliary(share, t), noised.n_columns)
        contrast = Weights.zeros(share, noised.n_columns)
        if chosen and negatives:
            n_stored = {kind: tokens.shape[1] for kind, tokens in negatives.items()}
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
        compared_costs = {term.name: noised.of(term, costs) / x_0.shape[1] for term in chosen}
        return LossTerms(
            total=costs.total + contrast.offset.to(costs.total),
            main=main,
            auxiliary=auxiliary,
            contrast=pushed,
            negative={name: each[:, 1:].mean() for name, each in compared_costs.items()},
            gap={name: (each[:, 1:] - each[:, :1]).mean() for name, each in compared_costs.items()},
            bound=self._bounds(compared, present) if estimate_bound else {},
            t=t,
            kl=costs.step[:, 0] / x_0.shape[1],
        )

    @property
    def _contrast(self) -> Contrast:
        assert self.contrast is not None, "a setting with terms has a contrast section"
        return self.contrast

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

    def _choose(self, negatives: dict[str, Tensor], generator) -> dict[Term, Tensor]:
        """This step's negatives [B, m, L]; none when `contrastive_steps` says to do without."""
        if not self.terms:
            return {}
        applied = self._contrast.contrastive_steps
        if (
            self.training
            and applied
            and float(uniform((), generator, "cpu")) >= applied / self.process.n_steps
        ):
            return {}
        return {
            term: choose_negatives(term, negatives, self._contrast.negatives_per_step, generator)
            for term in self.terms
        }

    def _auxiliary(self, share: Tensor, t: Tensor) -> Tensor:
        """The weight [B] of the auxiliary loss."""
        adaptive = adaptive_weight(self.loss.auxiliary_direction, t, self.process.n_steps)
        return self.loss.auxiliary_weight * share * adaptive

    def _compare(
        self,
        network: Network[C],
        condition: C,
        predictions: Predictions,
        estimate_bound: bool,
    ) -> Compared:
        """What InfoNCE and its bound compare, where they are asked for.

        A null that is never trained says nothing of p(z), so it is left out.
        """
        noised = predictions.noised
        if not noised.columns or (self._contrast.form == "difference" and not estimate_bound):
            return Compared({}, {})
        costs = predictions.costs(network.output, self.process, self._cap)
        known = {term: noised.of(term, costs) for term in noised.columns}
        if self.loss.null_probability == 0:
            return Compared(known, known)
        with torch.no_grad():
            everywhere = torch.ones(len(noised.t), dtype=torch.bool, device=noised.t.device)
            null = noised.predict(network, condition.null(everywhere)).costs(
                network.output, self.process, self._cap
            )
        return Compared(known, {term: known[term] - noised.of(term, null) for term in known})

    def _bounds(self, compared: Compared, present: Tensor) -> dict[str, Tensor]:
        """The bound of each contrast over the samples that kept their condition; empty when none
        did.
        """
        if not bool(present.any()):
            return {}
        return {
            term.name: information_bound(compared.ratios[term][present], self._contrast.temperature)
            for term in self.terms
            if term in compared.ratios
        }

    def _learn(self) -> None:
        """Takes in what the parts of a batch have shown: the losses at each t, and how likelihood
        and contrast stand to each other, the same in all processes.
        """
        steps, losses, parts = zip(*self._waiting)
        self._waiting.clear()
        self.steps.update(torch.cat(steps), torch.cat(losses))
        watched = torch.stack(parts).mean(0)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(watched)
            watched /= dist.get_world_size()
        self._watched = watched
        if self.terms and self._contrast.form != "infonce" and self._contrast.cap is None:
            self.balance.mul_(MEMORY).add_(watched.to(self.balance), alpha=1 - MEMORY)
            self.seen.add_(1)

    def check(self) -> None:
        """Raises UserError for a training that cannot go on: a loss that is not a number, or
        negatives that outweigh the likelihood. It reads from the device, which waits for it.
        """
        if self._watched is not None and not bool(torch.isfinite(self._watched).all()):
            likelihood, contrast = self._watched.cpu().tolist()
            raise UserError(
                f"The loss is no longer finite (likelihood {likelihood:g}, contrast {contrast:g});"
                " resume from the last checkpoint with a lower learning rate, a lower contrastive"
                " weight or a cap."
            )
        if int(self.seen) >= PATIENCE and float(self.balance.sum()) < 0:
            raise UserError(
                "The negative term has run away: it outweighs the likelihood, so the loss falls"
                " without end while the model unlearns; lower intra_weight / inter_weight, set a"
                " cap (12 nats a token, say) or use the form infonce."
            )


def _check(setting: str, loss: Loss, contrast: Contrast | None, n_steps: int) -> None:
    """Raises UserError when the sections cannot give what the setting asks for."""
    if contrast is None:
        raise UserError(f"The setting {setting} needs a contrast section.")
    if contrast.form == "infonce" and loss.null_probability == 0:
        raise UserError(
            "The form infonce takes p(z) from the null condition: set null_probability above 0 to"
            " have it trained."
        )
    if (contrast.contrastive_steps or 0) > n_steps:
        raise UserError(
            f"contrastive_steps is {contrast.contrastive_steps}, more than the {n_steps} steps of"
            " the diffusion."
        )
