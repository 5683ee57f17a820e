import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.schedule import linear_schedule
from pipeline.runtime.errors import UserError
from tests.helpers.diffusion_twins import bayes, between, noisy_schedule, transition

SMALL = [(3, 4), (4, 5), (5, 7), (6, 6)]
SCHEDULES = [linear_schedule, noisy_schedule]


def make(n_codes, n_steps, schedule):
    return MaskAndReplace(n_codes, n_steps, schedule(n_steps))


@pytest.mark.parametrize(("n_codes", "n_steps"), SMALL)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_transitions_are_distributions_and_compose_to_the_cumulative_ones(
    n_codes, n_steps, schedule
):
    process = make(n_codes, n_steps, schedule)
    for t in range(1, n_steps + 1):
        assert transition(process, t).sum(1) == pytest.approx(
            torch.ones(n_codes + 1, dtype=torch.float64)
        )
        product = between(process, 0, t)
        keep, mask = process.schedule.keep[t], process.schedule.mask[t]
        expected = torch.full(
            (n_codes, n_codes), float((1 - keep - mask) / n_codes), dtype=torch.float64
        )
        expected += keep * torch.eye(n_codes, dtype=torch.float64)
        assert torch.allclose(product[:-1, :-1], expected, atol=1e-14, rtol=1e-9)
        assert torch.allclose(product[:-1, -1], mask)


def test_the_schedule_has_the_published_values():
    keep, mask = linear_schedule(80).keep, linear_schedule(80).mask
    assert keep[[0, 1, 2, 79, 80]].tolist() == pytest.approx(
        [1, 0.99999, 0.98733, 0.01267, 9e-6], rel=1e-3
    )
    assert (1 - keep - mask)[1:] == pytest.approx(
        torch.full((80,), 1e-6, dtype=torch.float64), rel=1e-6
    )
    assert linear_schedule(100).keep[[2, 99]].tolist() == pytest.approx(
        [0.98989, 0.01011], rel=1e-3
    )


@pytest.mark.parametrize(("n_codes", "n_steps"), SMALL)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_posterior_is_bayes_for_every_t_and_stride(n_codes, n_steps, schedule):
    process = make(n_codes, n_steps, schedule)
    torch.manual_seed(n_codes)
    log_p = (3 * torch.randn(1, n_codes, n_codes + 1, dtype=torch.float64)).log_softmax(1)
    x_t = torch.arange(n_codes + 1)[None]  # every state, at positions with predictions of their own
    for t in range(1, n_steps + 1):
        for s in range(t):
            got = process.posterior(log_p, x_t, torch.tensor([t]), torch.tensor([s])).exp()
            for state in range(n_codes + 1):
                expected = bayes(process, log_p[0, :, state].exp(), state, t, s)
                assert torch.allclose(got[0, :, state], expected, atol=1e-12, rtol=1e-6), (
                    t,
                    s,
                    state,
                )


@pytest.mark.parametrize(("n_codes", "n_steps"), SMALL)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_true_posterior_and_kl_are_bayes_for_every_t(n_codes, n_steps, schedule):
    process = make(n_codes, n_steps, schedule)
    torch.manual_seed(n_codes)
    states = torch.cartesian_prod(torch.arange(n_codes), torch.arange(n_codes + 1))
    x_0, x_t = states[None, :, 0], states[None, :, 1]
    log_p = (3 * torch.randn(1, n_codes, len(states), dtype=torch.float64)).log_softmax(1)
    for t in range(1, n_steps + 1):
        step = torch.tensor([t])
        true, kl = (
            process.true_posterior(x_0, x_t, step)[0].exp(),
            process.kl(x_0, log_p, x_t, step)[0],
        )
        for i, (start, state) in enumerate(states.tolist()):
            q = bayes(process, torch.eye(n_codes, dtype=torch.float64)[start], state, t, t - 1)
            p = bayes(process, log_p[0, :, i].exp(), state, t, t - 1)
            assert torch.allclose(true[:, i].double(), q, atol=1e-6)
            expected = (
                -p[start].log() if t == 1 else torch.special.xlogy(q, q / p).nan_to_num().sum()
            )
            assert float(kl[i]) == pytest.approx(float(expected), rel=1e-6, abs=1e-11), (
                t,
                start,
                state,
            )


def test_kl_keeps_its_precision_where_the_prediction_is_nearly_certain():
    process = MaskAndReplace(2048, 80)
    torch.manual_seed(0)
    logits = torch.randn(1, 2048, 8, dtype=torch.float64)
    x_0 = torch.randint(2048, (1, 8))
    logits.scatter_(1, x_0[:, None], 30.0)
    x_t = torch.cat([x_0[:, :4], torch.full((1, 4), 2048)], 1)
    for t in (2, 40, 80):
        exact = process.kl(x_0, logits.log_softmax(1), x_t, torch.tensor([t]))
        single = process.kl(x_0, logits.log_softmax(1).float(), x_t, torch.tensor([t]))
        assert torch.allclose(single.double(), exact, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_samples_of_x_t_follow_the_cumulative_transition(schedule):
    process = make(4, 6, schedule)
    count, generator = 60_000, torch.Generator().manual_seed(0)
    for t in (0, 1, 3, 6):
        x_t = process.q_sample(torch.full((1, count), 2), torch.tensor([t]), generator)
        shares = torch.bincount(x_t[0], minlength=5) / count
        assert shares.tolist() == pytest.approx(between(process, 0, t)[2].tolist(), abs=0.011)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 9),
    st.integers(2, 12),
    st.integers(1, 3),
    st.integers(1, 6),
    st.floats(0.1, 40),
    st.integers(0, 999),
)
def test_posteriors_are_distributions(n_codes, n_steps, batch, length, sharpness, seed):
    process = MaskAndReplace(n_codes, n_steps)
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(1, n_steps + 1, (batch,), generator=generator)
    x_t = process.q_sample(
        torch.randint(n_codes, (batch, length), generator=generator), t, generator
    )
    log_p = (
        (sharpness * torch.randn(batch, n_codes, length, generator=generator))
        .log_softmax(1)
        .clamp(min=-70)
    )
    posterior = process.posterior(log_p, x_t, t)
    assert posterior.shape == (batch, n_codes + 1, length)
    assert torch.allclose(posterior.exp().sum(1), torch.ones(batch, length), atol=1e-5)
    assert ((posterior >= -70) & (posterior <= 0)).all()
    assert (process.kl(x_t.clamp(max=n_codes - 1), log_p, x_t, t) > -1e-5).all()


@pytest.mark.parametrize(
    ("n_codes", "n_steps", "schedule"), [(1, 5, None), (5, 1, None), (5, 5, linear_schedule(4))]
)
def test_what_cannot_be_is_refused(n_codes, n_steps, schedule):
    with pytest.raises(UserError):
        MaskAndReplace(n_codes, n_steps, schedule)


def test_a_schedule_without_replacement_is_refused():
    with pytest.raises(UserError, match="below one"):
        linear_schedule(5, keep=(0.9, 0.1), mask=(0.1, 0.9))
