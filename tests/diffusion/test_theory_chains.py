"""What the step-wise loss with chains of its own can add: pairs of two codes, true (0, 1), negative
(1, 0) (docs/method.md, section 10).
"""

import pytest
import torch
from torch import nn

from pipeline.diffusion.contrast import Contrast
from pipeline.diffusion.objective import Loss, Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.runtime.seeds import torch_generator
from tests.helpers.tabular import Numbered

ROWS, T, MASK = 3000, 6, 2


class Seeing(nn.Module):
    """A row of logits for every state (x_1, x_2) and position."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(18, 2, bias=False).double()
        nn.init.zeros_(self.output.weight)

    def encode(self, inputs):
        return Numbered(inputs["label"], 1)

    def prepare(self, condition):
        return condition

    def features(self, x_t, t, condition, at=None):
        state = 6 * x_t[:, 0] + 2 * x_t[:, 1]
        return nn.functional.one_hot(state[:, None] + torch.arange(2), 18).double()


def state(first, second, position):
    return 6 * first + 2 * second + position


def contrast_gradient(setting, chains, strength=0.1, network=None):
    """The contrast's part [18, 2] of the gradient: all of it less that of the vanilla loss."""
    network = network or Seeing()
    loss = Loss(t_sampling="uniform", auxiliary_weight=0.0, null_probability=0.0)
    section = Contrast(intra_weight=strength, inter_weight=0.0, chains=chains)
    x_0, labels = torch.tensor([[0, 1]]).repeat(ROWS, 1), {"label": torch.zeros(ROWS).long()}
    negatives = {"intra": x_0.flip(1)[:, None]}
    found = []
    for name in (setting, "vanilla"):
        objective = Objective(MaskAndReplace(2, T), loss, name, section).eval()
        total = objective(network, x_0, labels, torch_generator(4), negatives).total
        found.append(torch.autograd.grad(total, network.output.weight)[0].T)
    return found[0] - found[1]


ONLY_NEGATIVES = [state(1, MASK, 1), state(MASK, 0, 0)]  # beside the first half of a negative
SHARED = [state(MASK, MASK, 0), state(MASK, MASK, 1)]
ONLY_POSITIVES = [state(0, MASK, 1), state(MASK, 1, 0)]


@pytest.mark.parametrize(
    ("setting", "chains"), [("sample_intra", "parallel"), ("step_intra", "released")]
)
def test_at_the_positives_states_the_negatives_own_states_learn_nothing(setting, chains):
    gradient = contrast_gradient(setting, chains)
    assert gradient[ONLY_NEGATIVES].abs().max() < 1e-12
    assert (gradient[SHARED + ONLY_POSITIVES].abs().amax(1) > 1e-4).all()


def test_chains_of_their_own_teach_what_to_do_beside_a_wrong_token():
    gradient = contrast_gradient("step_intra", "parallel")
    assert (gradient[ONLY_NEGATIVES].abs().amax(1) > 1e-4).all()
    assert gradient[ONLY_POSITIVES].abs().max() < 1e-12
    # away from completing the negative: beside 1 not 0, before 0 not 1
    assert gradient[state(1, MASK, 1), 0] > 0
    assert gradient[state(MASK, 0, 0), 1] > 0


@pytest.mark.parametrize("strength", [1e-6, 0.5])
def test_there_no_lambda_bounds_the_push(strength):
    """The whole loss keeps its slope however unlikely the negative's token has become."""
    for logit in (0.0, -3.0, -8.0):
        network = Seeing()
        with torch.no_grad():
            network.output.weight[0, state(1, MASK, 1)] = logit
        gradient = contrast_gradient("step_intra", "parallel", strength, network)
        p = torch.tensor([logit, 0.0]).double().softmax(0)
        slope = float(gradient[state(1, MASK, 1), 0]) / strength / float(p[1])
        assert slope > 0.005
