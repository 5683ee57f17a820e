import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.diffusion.losses import Targets, head_terms
from pipeline.diffusion.process import MaskAndReplace
from tests.helpers.diffusion_twins import noisy_schedule, slow_terms


def problem(
    n_codes,
    n_steps,
    batch,
    length,
    n,
    seed,
    *,
    schedule=None,
    sharpness=1.0,
    cap=torch.inf,
    dtype=torch.float64,
):
    """Hidden states, output layer, noised tokens and targets, in which every kind of coincidence of
    tokens occurs.
    """
    torch.manual_seed(seed)
    process = MaskAndReplace(n_codes, n_steps, schedule and schedule(n_steps))
    t = 1 + torch.arange(batch) % n_steps
    x_0 = torch.randint(n_codes, (batch, length))
    x_t = process.q_sample(x_0, t, torch.Generator().manual_seed(seed))
    anywhere = torch.rand(batch, length) < 0.4
    x_t = torch.where(anywhere, torch.randint(n_codes + 1, (batch, length)), x_t)
    tokens = torch.cat([x_0[:, None], torch.randint(n_codes, (batch, n - 1, length))], 1)
    limit = torch.tensor([torch.inf, *[cap] * (n - 1)])
    targets = Targets(tokens, torch.randn(batch, n), torch.randn(batch, n), limit)
    hidden = (sharpness * torch.randn(batch, length, 6)).to(dtype).requires_grad_()
    return process, hidden, nn.Linear(6, n_codes).to(dtype), x_t, t, targets


def twin(process, hidden, output, x_t, t, targets):
    logits, total, steps, samples = output(hidden), 0, [], []
    for j, limit in enumerate(targets.limit.tolist()):
        step, sample = (
            term.sum(1) for term in slow_terms(process, logits, targets.tokens[:, j], x_t, t, limit)
        )
        total = (
            total + (targets.step_weight[:, j] * step + targets.sample_weight[:, j] * sample).sum()
        )
        steps, samples = [*steps, step], [*samples, sample]
    return total, torch.stack(steps, 1), torch.stack(samples, 1)


def assert_same(problem, losses=3e-6, gradients=1e-5, block=31):
    process, hidden, output, x_t, t, targets = problem
    total, step, sample = twin(*problem)
    terms = head_terms(hidden, output, process, x_t, t, targets, block=block)
    for got, expected in ((terms.step, step), (terms.sample, sample), (terms.total, total)):
        assert torch.allclose(got, expected, rtol=losses, atol=losses)
    wanted = [hidden, *output.parameters()]
    for got, expected in zip(
        torch.autograd.grad(2 * terms.total, wanted), torch.autograd.grad(2 * total, wanted)
    ):
        assert torch.linalg.norm(got - expected) <= gradients * torch.linalg.norm(expected) + 1e-12


@pytest.mark.parametrize("schedule", [None, noisy_schedule])
@pytest.mark.parametrize("cap", [torch.inf, 2.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_terms_and_gradients_equal_the_slow_twin(schedule, cap, dtype):
    assert_same(problem(7, 9, 9, 11, 4, 0, schedule=schedule, cap=cap, dtype=dtype))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 12),
    st.integers(2, 9),
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(0, 999),
    st.integers(1, 300),
)
def test_any_shape_and_block_equals_the_slow_twin(n_codes, n_steps, batch, length, n, seed, block):
    assert_same(
        problem(n_codes, n_steps, batch, length, n, seed, schedule=noisy_schedule), block=block
    )


@pytest.mark.parametrize("sharpness", [4.0, 12.0])
def test_float32_stays_near_float64_when_predictions_are_sharp(sharpness):
    grads = {}
    for dtype in (torch.float64, torch.float32):
        process, hidden, output, x_t, t, targets = problem(
            40, 20, 20, 16, 3, 1, sharpness=sharpness, dtype=dtype
        )
        terms = head_terms(hidden, output, process, x_t, t, targets)
        grads[dtype] = [
            terms.step,
            *torch.autograd.grad(terms.total, [hidden, *output.parameters()]),
        ]
    for single, double in zip(grads[torch.float32], grads[torch.float64]):
        assert torch.linalg.norm(single - double) <= 2e-5 * torch.linalg.norm(double)


def test_gradient_is_finite_where_float32_knows_no_doubt():
    process = MaskAndReplace(50, 20)
    x_0 = torch.randint(50, (20, 8), generator=torch.Generator().manual_seed(0))
    t = torch.arange(1, 21)
    targets = Targets(
        torch.stack([x_0, (x_0 + 1) % 50], 1),
        torch.ones(20, 2),
        torch.ones(20, 2),
        torch.full((2,), torch.inf),
    )
    hidden = (200.0 * nn.functional.one_hot(x_0, 50)).requires_grad_()
    output = nn.Linear(50, 50, bias=False)
    nn.init.eye_(output.weight)
    for x_t in (x_0, torch.full_like(x_0, 50), (x_0 + 1) % 50):
        terms = head_terms(hidden, output, process, x_t, t, targets)
        assert torch.isfinite(terms.total)
        assert torch.isfinite(torch.autograd.grad(terms.total, hidden)[0]).all()
    assert terms.sample[:, 1].tolist() == pytest.approx([8 * 70.0] * 20), (
        "a cost stops at the floor of -70"
    )


def test_nothing_differentiable_is_made_without_gradients():
    process, hidden, output, x_t, t, targets = problem(7, 9, 3, 5, 2, 0)
    with torch.no_grad():
        terms = head_terms(hidden, output, process, x_t, t, targets)
    assert not terms.total.requires_grad
    assert torch.allclose(
        terms.total, head_terms(hidden, output, process, x_t, t, targets).total.detach()
    )


def test_under_bf16_autocast_only_the_products_are_coarse():
    process, hidden, output, x_t, t, targets = problem(40, 10, 10, 16, 3, 0, dtype=torch.float32)
    with (
        torch.no_grad()
    ):  # values that bf16 holds exactly, so that all that remains is the products' accumulation
        for value in (hidden, *output.parameters()):
            value.copy_(value.bfloat16().float())
    logits = output(hidden).bfloat16().float().detach().requires_grad_()
    total = sum(
        (targets.step_weight[:, j, None] * step + targets.sample_weight[:, j, None] * sample).sum()
        for j in range(3)
        for step, sample in [slow_terms(process, logits, targets.tokens[:, j], x_t, t, torch.inf)]
    )
    with torch.autocast("cpu", torch.bfloat16):
        terms = head_terms(hidden, output, process, x_t, t, targets)
    assert terms.total.dtype == torch.float32
    assert terms.total.item() == pytest.approx(total.item(), rel=1e-4)
    (got,) = torch.autograd.grad(terms.total, output.bias)
    assert got.dtype == torch.float32
    assert torch.allclose(
        got, torch.autograd.grad(total, logits)[0].sum((0, 1)), rtol=1e-2, atol=1e-2
    )
