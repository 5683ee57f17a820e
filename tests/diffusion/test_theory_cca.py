"""Where the form cca ends: guidance at its own lambda, and a difference that switches itself off
(docs/method.md, section 10).
"""

import pytest
import torch

from pipeline.runtime.seeds import torch_generator
from tests.helpers.tabular import Tabular, at_the_full_mask, descend, opening, sequence

K = 4
COUNTS = torch.tensor([[5, 3, 1, 1], [1, 1, 3, 5]])  # two classes, one the mirror of the other
Q = COUNTS.double() / 10


def trained(n_steps, **contrast):
    """The table after training, started at the truth, of which a frozen copy is the reference.

    Rows alternate between the classes: each content is judged under the other class as well.
    """
    frozen = Tabular(2, K).put(0, Q[0]).put(1, Q[1]).requires_grad_(False)
    objective = at_the_full_mask(
        K, n_steps, "sample_inter", {"form": "cca", **contrast}, 0.0, frozen
    )
    network = Tabular(2, K).put(0, Q[0]).put(1, Q[1])
    tokens = torch.stack([sequence(row.tolist()) for row in COUNTS], dim=1).reshape(-1, 1)
    labels = {"label": torch.arange(2).repeat(10)}
    descend(network, lambda: objective(network, tokens, labels, torch_generator(0)).total)
    return network.table[:2]


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_at_the_right_lambda_it_is_guidance_by_one_plus_the_temperature(temperature):
    ratio = Q / Q.flip(0)
    strength = float((Q[0] * ratio[0] ** temperature).sum()) ** (1 / temperature)
    found = trained(
        4000, keep_positive=True, inter_weight=strength, temperature=temperature
    )  # so many steps that the likelihood, 1 / 3999 of a step, hardly counts
    expected = Q * ratio**temperature
    expected = expected / expected.sum(1, keepdim=True)
    assert torch.allclose(found, expected, atol=1e-3)
    assert (found - Q).abs().max() > 0.05


@pytest.mark.parametrize("keep_positive", [False, True])
@pytest.mark.parametrize("strength", [0.2, 5.0])
def test_beside_the_likelihood_it_is_a_difference_whose_lambda_fades(keep_positive, strength):
    """p is proportional to q+ (1 + a) - b q-, with a and b that depend on how far p has come."""
    temperature, weight = 2.0, opening(11)
    found = trained(
        11, keep_positive=keep_positive, inter_weight=strength * weight, temperature=temperature
    )
    gone = (found.log() - Q.log()) / temperature  # r of each code
    pull = keep_positive * torch.sigmoid(-gone) / temperature / weight
    push = strength * torch.sigmoid(gone) / temperature
    expected = Q * (1 + pull) - push * Q.flip(0)
    # the rest is `blur`, which nearly cancelled differences of small numbers feel
    assert torch.allclose(found, expected / expected.sum(1, keepdim=True), atol=1e-3)
    assert (expected > 0).all()
    assert (found - Q).abs().max() > 0.003
    assert (push <= strength / temperature).all()
