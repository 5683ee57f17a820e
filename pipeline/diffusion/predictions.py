"""One pass of the network for a batch and its negatives, and the losses of every sequence it is
judged by.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.diffusion.contrast import Term
from pipeline.diffusion.losses import HeadTerms, Targets, head_terms
from pipeline.diffusion.process import MaskAndReplace

Same = TypeVar("Same")


@runtime_checkable
class Condition(Protocol):
    """An encoded condition, one row a sample."""

    def __len__(self) -> int: ...

    def repeat(self: Same, n: int) -> Same:
        """Each row n times, the copies side by side."""
        ...

    def rows(self: Same, index: Tensor) -> Same:
        """The rows of the given numbers [n]."""
        ...

    def null(self: Same, mask: Tensor) -> Same:
        """The rows where mask [B] is true replaced by the learned null."""
        ...


C = TypeVar("C", bound=Condition)


@runtime_checkable
class Network(Protocol[C]):
    """What losses and sampler need of a network; logits are output(features) [B, L, K]."""

    @property
    def output(self) -> nn.Linear:
        """The last layer."""
        ...

    def encode(self, inputs: dict[str, Tensor]) -> C:
        """The condition of a batch, with gradients."""
        ...

    def prepare(self, condition: C) -> C:
        """The same condition with all that does not depend on x_t computed."""
        ...

    def features(self, x_t: Tensor, t: Tensor, condition: C, at: Tensor | None = None) -> Tensor:
        """Hidden states [B, L, D] at x_t [B, L] in 0..K (K = mask), t [B] in 1..T; [B, m, D] for
        positions `at` [B, m].
        """
        ...


@dataclass(frozen=True)
class Noised:
    """A batch after the forward process: the positives, the negatives judged at the positives' x_t,
    and those with their own.

    All losses of a sample stand in columns: the positive in column 0, then every negative.
    `conditions` says under which rows' condition each sequence of a sample is predicted, where that
    is not its own.
    """

    t: Int[Tensor, " B"]
    x_t: Int[Tensor, "B L"]
    shared: Int[Tensor, "B n L"]  # x_0, then negatives
    chains_0: Int[Tensor, "B c L"]  # negatives with a chain of their own
    chains_t: Int[Tensor, "B c L"]  # and where it has come to at t
    columns: dict[Term, slice]
    conditions: Int[Tensor, "B c1"] | None = None

    @property
    def n_columns(self) -> int:
        """One and the number of negatives."""
        return self.shared.shape[1] + self.chains_0.shape[1]

    def of(self, term: Term, costs: HeadTerms) -> Tensor:
        """The losses [B, 1 + m] of one contrast: the positive's, then its negatives'."""
        losses = getattr(costs, term.loss)
        return torch.cat([losses[:, :1], losses[:, self.columns[term]]], dim=1)

    def predict(self, network: Network[C], condition: C) -> "Predictions":
        """The network's hidden states for positives and chains, in one call."""
        n_chains = self.chains_0.shape[1]
        if n_chains == 0:
            return Predictions(self, network.features(self.x_t, self.t, condition), None)
        rows = torch.cat([self.x_t[:, None], self.chains_t], dim=1).flatten(0, 1)
        # Prepared first, then repeated: what the blocks read of a condition is computed once, not
        # once a chain.
        condition = network.prepare(condition)
        if self.conditions is None:
            condition = condition.repeat(1 + n_chains)
        else:
            condition = condition.rows(self.conditions.flatten())
        hidden = network.features(rows, self.t.repeat_interleave(1 + n_chains), condition)
        hidden = hidden.unflatten(0, (-1, 1 + n_chains))
        return Predictions(self, hidden[:, 0], hidden[:, 1:].flatten(0, 1))


def noise(
    process: MaskAndReplace,
    x_0: Int[Tensor, "B L"],
    x_t: Int[Tensor, "B L"],
    t: Int[Tensor, " B"],
    negatives: dict[Term, Tensor],
    parallel: bool,
    generator: torch.Generator,
) -> Noised:
    """The positives [B, L] at t with their negatives [B, m, L]; step-wise ones get a z_t^j of their
    own if `parallel`.
    """
    chained = [term for term in negatives if term.loss == "step" and parallel]
    shared = [term for term in negatives if term not in chained]
    chains_0 = torch.cat([x_0[:, None][:, :0], *(negatives[term] for term in chained)], dim=1)
    columns, first = {}, 1
    for term in [*shared, *chained]:
        columns[term] = slice(first, first + negatives[term].shape[1])
        first = columns[term].stop
    return Noised(
        t=t,
        x_t=x_t,
        shared=torch.cat([x_0[:, None], *(negatives[term] for term in shared)], dim=1),
        chains_0=chains_0,
        chains_t=process.q_sample(chains_0.flatten(1), t, generator).view_as(chains_0),
        columns=columns,
    )


@dataclass(frozen=True)
class Predictions:
    """Hidden states of a noised batch: [B, L, D] at the positives' x_t, [B c, L, D] on the
    chains.
    """

    noised: Noised
    hidden: Float[Tensor, "B L D"]
    hidden_chains: Float[Tensor, "Bc L D"] | None

    def losses(
        self,
        output: nn.Linear,
        process: MaskAndReplace,
        step: Float[Tensor, "B columns"],
        sample: Float[Tensor, "B columns"],
        cap: float | None,
    ) -> HeadTerms:
        """The losses [B, columns] in nats, and their differentiable sum under the weights `step`
        and `sample` [B, columns].

        A negative's loss stops at `cap` nats a token.
        """
        noised, n_shared = self.noised, self.noised.shared.shape[1]
        limit = torch.full(
            (n_shared,), float("inf") if cap is None else cap, device=self.hidden.device
        )
        chain_limit = limit.new_full((1,), float("inf") if cap is None else cap)
        limit[0] = float("inf")
        targets = Targets(noised.shared, step[:, :n_shared], sample[:, :n_shared], limit)
        result = head_terms(self.hidden, output, process, noised.x_t, noised.t, targets)
        if self.hidden_chains is None:
            return result

        z_0, z_t, own_t = noised.chains_0.flatten(0, 1), noised.chains_t.flatten(0, 1), noised.t
        own_t = own_t.repeat_interleave(noised.chains_0.shape[1])
        targets = Targets(
            z_0[:, None],
            step[:, n_shared:].reshape(-1, 1),
            sample[:, n_shared:].reshape(-1, 1),
            chain_limit,
        )
        chains = head_terms(self.hidden_chains, output, process, z_t, own_t, targets)
        batch = len(noised.t)
        return HeadTerms(
            result.total + chains.total,
            torch.cat([result.step, chains.step.view(batch, -1)], dim=1),
            torch.cat([result.sample, chains.sample.view(batch, -1)], dim=1),
        )

    @torch.no_grad()
    def costs(self, output: nn.Linear, process: MaskAndReplace, cap: float | None) -> HeadTerms:
        """The losses [B, columns] alone."""
        nothing = torch.zeros(len(self.hidden), self.noised.n_columns, device=self.hidden.device)
        return self.losses(output, process, nothing, nothing, cap)
