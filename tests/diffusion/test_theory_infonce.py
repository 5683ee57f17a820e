"""InfoNCE on p(z | c) / p(z): unbiased for negatives from p(z), biased for others, and its
temperature is a guidance weight (docs/method.md, section 10).
"""

from itertools import product

import pytest
import torch

from pipeline.runtime.seeds import torch_generator
from tests.helpers.tabular import Tabular, at_the_full_mask, descend, sequence

K = 4
CLASSES = torch.tensor([[5, 3, 1, 1], [1, 2, 5, 2], [3, 1, 3, 3]])
Q = CLASSES.double() / 10
P = Q.mean(0)


def trained(negatives, n_negatives, strength, temperature):
    """The conditional of class 0 that the shipped loss ends at; the null is p(z)."""
    contrast = {
        "form": "infonce",
        "keep_positive": True,
        "inter_weight": strength,
        "temperature": temperature,
    }
    objective = at_the_full_mask(K, 5, "sample_inter", contrast)
    network = Tabular(1, K).put(1, P)
    tokens = sequence(CLASSES[0].tolist())
    rows = torch.tensor(list(product(tokens.tolist(), *[negatives.tolist()] * n_negatives)))
    labels = {"label": torch.zeros(len(rows), dtype=torch.int64)}
    stored = {"inter": rows[:, 1:, None]}

    def loss():
        draws = torch_generator(0)
        return objective(network, rows[:, :1], labels, draws, stored).total / strength

    descend(network, loss)
    return network.table[0]


def tilted(reference, temperature):
    """p(z) (q(z | c) / r(z))^temperature for negatives that follow r."""
    p = P * (Q[0] / reference) ** temperature
    return p / p.sum()


EVERYONE = sequence(CLASSES.sum(0).tolist())  # 30 tokens: p(z)
OTHERS = sequence(CLASSES[1:].sum(0).tolist())  # 20 tokens: another class


@pytest.mark.parametrize("n_negatives", [1, 2])
@pytest.mark.parametrize("strength", [1.0, 1e6])
def test_with_negatives_from_p_z_the_optimum_is_the_true_conditional(n_negatives, strength):
    found = trained(EVERYONE, n_negatives, strength, 1.0)
    assert torch.allclose(found, Q[0], atol=1e-4)


def test_with_negatives_of_other_classes_it_is_sharper_by_a_known_factor():
    found = trained(OTHERS, 1, 1e6, 1.0)
    others, share = Q[1:].mean(0), 1 / 3
    assert torch.allclose(found, tilted(others, 1.0), atol=1e-4)
    factor = 1 - share + share * Q[0] / others
    assert torch.allclose(found, Q[0] * factor / (Q[0] * factor).sum(), atol=1e-4)
    assert (found - Q[0]).abs().max() > 0.05


def test_the_bias_fades_with_the_number_of_classes():
    gaps = []
    for classes in (3, 10, 100, 1000):
        q = torch.randn(classes, 16, generator=torch_generator(2)).double().softmax(1)
        others = (q.sum(0) - q[0]) / (classes - 1)
        p = q.mean(0) * q[0] / others
        gaps.append(float((p / p.sum() - q[0]).abs().sum()))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.01 * gaps[0]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_its_temperature_is_a_weight_of_guidance_that_is_trained_in(temperature):
    found = trained(EVERYONE, 1, 1e6, temperature)
    assert torch.allclose(found, tilted(P, temperature), atol=1e-4)
    guided = (P.log() + temperature * (Q[0].log() - P.log())).softmax(0)
    assert torch.allclose(found, guided, atol=1e-4)
