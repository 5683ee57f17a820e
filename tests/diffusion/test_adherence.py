"""Adherence is the difference of the bounds with and without the condition, step by step."""

import pytest
import torch

from pipeline.diffusion.adherence import (
    NAMES,
    Gains,
    condition_gains,
    profile,
    spread_steps,
)
from pipeline.diffusion.process import MaskAndReplace
from pipeline.runtime.seeds import shared_generator, torch_generator
from tests.helpers.diffusion_twins import TinyNetwork

K, T, L, B = 5, 12, 6, 3000


def trial(condition_matters=True):
    network, process = TinyNetwork(K, T).double(), MaskAndReplace(K, T)
    draws = torch_generator(3)
    x_0 = torch.randint(K, (B, L), generator=draws)
    condition = network.encode({"c": torch.randn(B, 3, generator=draws)})
    if not condition_matters:
        condition = condition.null(torch.ones(B, dtype=torch.bool))
    return network, process, x_0, condition


def bound(network, process, x_0, condition, t):
    """The step-wise loss at t [B] of every row, by full posteriors."""
    x_t = process.q_sample(x_0, t, torch_generator(9))
    log_p = network.output(network.features(x_t, t, condition)).log_softmax(-1).transpose(1, 2)
    return process.kl(x_0, log_p, x_t, t).sum(1)


def test_it_is_the_difference_of_the_two_variational_bounds():
    network, process, x_0, condition = trial()
    null = condition.null(torch.ones(B, dtype=torch.bool))
    with torch.no_grad():
        steps = [torch.full((B,), t) for t in range(2, T + 1)]
        gap = [
            (bound(network, process, x_0, null, t) - bound(network, process, x_0, condition, t))
            for t in steps
        ]
    expected = float(sum(part.mean() for part in gap)) / L
    found = torch.zeros(4, 2, dtype=torch.float64)
    for t in steps:
        gains = condition_gains(network, process, x_0, condition, t, torch_generator(9))
        found += gains.by_part(T).sum(0)
    measured = profile(found)
    assert abs(expected) > 0.05
    assert measured["adherence"] == pytest.approx(expected, rel=0.02)
    # steps 2 and 3, 4 to 6, 7 to 9, 10 to 12: each step is worth the same
    parts = torch.tensor([measured[name] for name in NAMES])
    assert float(parts @ torch.tensor([2.0, 3.0, 3.0, 3.0])) / 11 == pytest.approx(
        measured["adherence"], rel=0.02
    )


def test_a_condition_that_is_ignored_is_worth_nothing_exactly():
    network, process, x_0, condition = trial(condition_matters=False)
    gains = condition_gains(
        network, process, x_0, condition, spread_steps(T, B, torch_generator(1)), torch_generator(2)
    )
    assert float(gains.nats.abs().max()) == 0
    assert profile(gains.by_part(T).sum(0)) == {"adherence": 0.0, **dict.fromkeys(NAMES, 0.0)}


def test_steps_are_spread_evenly_and_shared_by_processes():
    for count in (1, 5, T, 40):
        t = spread_steps(T, count, torch_generator(0))
        assert len(t) == count
        assert ((t >= 1) & (t <= T)).all()
        assert (t.double() - (torch.arange(count) + 0.5) / count * T - 0.5).abs().max() <= (
            T / count / 2 + 0.5
        )
    parts = [spread_steps(T, 4, shared_generator(rank, 2, 7)) for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), spread_steps(T, 8, torch_generator(7)))


def test_where_nothing_is_masked_nothing_is_said():
    gains = Gains(torch.tensor([1, 12]), torch.tensor([0.0, 3.0]), torch.tensor([0.0, 2.0]))
    assert profile(gains.by_part(T).sum(0)) == {"adherence": 1.5, "adherence_t100": 1.5}
