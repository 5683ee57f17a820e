"""What the difference form can do, from its optimum (docs/method.md, section 10)."""

import pytest
import torch

from pipeline.diffusion.truncation import kept
from pipeline.runtime.seeds import torch_generator
from tests.helpers.tabular import Tabular, at_the_full_mask, descend, opening, sequence

PLUS, MINUS = [8, 5, 3, 2, 1, 1], [1, 2, 4, 4, 3, 6]
Q_PLUS = torch.tensor(PLUS, dtype=torch.float64) / sum(PLUS)
Q_MINUS = torch.tensor(MINUS, dtype=torch.float64) / sum(MINUS)


def optimum(plus, minus, strength):
    """p proportional to max(0, q+ - lambda q-)."""
    p = (plus - strength * minus).clamp(min=0)
    return p / p.sum()


def population(objective, network):
    """The loss over all of q+, each row with all of q- for negatives."""
    tokens = sequence(PLUS)[:, None]
    negatives = {"inter": sequence(MINUS).expand(len(tokens), -1)[:, :, None]}
    labels = {"label": torch.zeros(len(tokens), dtype=torch.int64)}
    draws = torch_generator(0)
    return objective(network, tokens, labels, draws, negatives).total


@pytest.mark.parametrize(
    ("setting", "n_steps", "auxiliary", "strength"),
    [
        ("sample_inter", 2, 0.0, 0.1),
        ("sample_inter", 11, 0.0, 0.012),
        ("sample_inter", 101, 0.0, 0.0015),
        ("sample_inter", 11, 0.3, 0.05),
        ("step_inter", 11, 0.0, 0.15),
    ],
)
def test_the_shipped_loss_has_its_optimum_at_the_closed_form(setting, n_steps, auxiliary, strength):
    """lambda counts against the weight of -log p in the bound: 1 / (T - 1) at the full mask for the
    sample-wise loss, the same on both sides for the step-wise one.
    """
    contrast = {"inter_weight": strength, "scale": "mean"}
    objective = at_the_full_mask(6, n_steps, setting, contrast, auxiliary)
    network = Tabular(1, 6)
    descend(network, lambda: population(objective, network))
    weight = opening(n_steps) + auxiliary
    push = strength if setting == "sample_inter" else strength * opening(n_steps)
    expected = optimum(Q_PLUS, Q_MINUS, push / weight)
    assert torch.allclose(network.table[0], expected, atol=2e-4)
    assert (network.table[0] - Q_PLUS).abs().max() > 0.01


def test_what_lambda_outweighs_goes_to_zero_and_only_the_cap_ends_it():
    objective = at_the_full_mask(6, 2, "sample_inter", {"inter_weight": 0.4, "cap": 9.0})
    network = Tabular(1, 6)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(500):
        optimiser.zero_grad()
        population(objective, network).backward()
        optimiser.step()
    expected = optimum(Q_PLUS, Q_MINUS, 0.4)
    assert (expected == 0).tolist() == [False, False, False, False, True, True]
    assert torch.allclose(network.table[0], expected, atol=2e-3)


@pytest.mark.parametrize("strength", [5e-5, 0.01, 0.1, 0.5])
def test_no_probability_rises_beyond_one_over_one_minus_lambda(strength):
    draws = torch_generator(3)
    for _ in range(50):
        plus, minus = (3 * torch.randn(2, 64, generator=draws).double()).softmax(1)
        assert (optimum(plus, minus, strength) / plus).max() <= 1 / (1 - strength) + 1e-12


def test_against_uniform_negatives_it_is_a_truncation_and_a_shift():
    plus = (2 * torch.randn(64, generator=torch_generator(5)).double()).softmax(0)
    uniform = torch.full_like(plus, 1 / 64)
    for strength in (0.1, 0.5, 0.9):
        p = optimum(plus, uniform, strength)
        mass = float(plus[p > 0].sum())
        assert torch.equal(p > 0, kept(plus, mass - 1e-9))
        assert torch.equal(p > 0, plus > strength / 64)
        shift = plus[p > 0] - p[p > 0] * float((plus - strength / 64).clamp(min=0).sum())
        assert torch.allclose(shift, torch.full_like(shift, strength / 64))
