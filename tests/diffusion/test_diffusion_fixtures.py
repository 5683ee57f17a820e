"""What the published code answers, fed its own log p(x_0)."""

import pytest
import torch

from pipeline.diffusion.losses import Targets, head_terms
from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.truncation import kept
from tests.helpers.diffusion_twins import FIXTURES

pytestmark = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason=f"the numeric fixtures are not at {FIXTURES}"
)


@pytest.fixture(params=["music", "text", "class"])
def case(request):
    fixture = torch.load(FIXTURES / f"denoiser_{request.param}.pt", weights_only=True)
    process = MaskAndReplace(fixture["config"]["K"], fixture["config"]["T"])
    return process, fixture, fixture["t_index"] + 1


@pytest.mark.parametrize("name", ["posterior", "true_posterior"])
def test_posteriors(case, name):
    process, fixture, t = case
    prediction = fixture["log_p_x0"] if name == "posterior" else fixture["x_0"]
    got, expected = getattr(process, name)(prediction, fixture["x_t"], t), fixture[name]
    likely = expected > -15
    assert torch.allclose(got[likely], expected[likely], atol=1e-4, rtol=0)
    assert torch.allclose(got[~likely].exp(), expected[~likely].exp(), atol=1e-5, rtol=0)


def test_losses_of_the_positive(case):
    process, fixture, t = case
    log_p, x_0 = fixture["log_p_x0"], fixture["x_0"]
    assert torch.allclose(process.kl(x_0, log_p, fixture["x_t"], t), fixture["kl"], rtol=1e-4)
    posterior = process.posterior(log_p, fixture["x_t"], t)
    assert torch.allclose(-posterior.gather(1, x_0[:, None])[:, 0], fixture["nll"], rtol=1e-4)
    assert torch.allclose(-log_p.gather(1, x_0[:, None])[:, 0], fixture["aux"], rtol=1e-4)


def test_losses_of_the_negatives_through_the_fused_head(case):
    process, fixture, t = case
    negatives, k = fixture["negatives"], process.n_codes
    output = torch.nn.Linear(k, k, bias=False)
    torch.nn.init.eye_(output.weight)
    nothing = torch.zeros(negatives.shape[:2])
    targets = Targets(negatives, nothing, nothing, torch.full((negatives.shape[1],), torch.inf))
    terms = head_terms(
        fixture["log_p_x0"].transpose(1, 2), output, process, fixture["x_t"], t, targets, block=200
    )
    assert torch.allclose(terms.step, fixture["step_released"], rtol=1e-4)
    assert torch.allclose(terms.sample, fixture["sample"], rtol=1e-4)
    first = t == 1
    assert torch.allclose(terms.step[first], fixture["negative_nll"][first], rtol=1e-4)


def test_truncation_keeps_the_same_codes(case):
    _, fixture, _ = case
    assert torch.equal(
        kept(fixture["log_p_x0"].exp().transpose(1, 2), 0.86).transpose(1, 2),
        fixture["kept_after_truncation"],
    )
