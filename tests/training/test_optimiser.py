"""Learning rates: the same as torch's own schedulers give, one step after the other."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR

from pipeline.training.optimiser import Descent, LRSchedule, build_optimiser

STEPS = 40
WARM = {"warmup_steps": 5, "warmup_from": 1e-4}


def followed(descent, losses=None):
    """The rates and first betas of every step."""
    optimiser = build_optimiser(descent, torch.nn.Linear(1, 1))
    schedule, seen = LRSchedule(descent, optimiser, STEPS), []
    for step in range(STEPS):
        seen.append((schedule.rate, optimiser.param_groups[0]["betas"][0]))
        schedule.advance(torch.tensor(1.0 if losses is None else losses[step]))
    return seen


def warmed_up(optimiser):
    after = CosineAnnealingLR(optimiser, STEPS - 5, eta_min=5e-5)
    return SequentialLR(optimiser, [LinearLR(optimiser, 1e-4 / 5e-3, 1.0, 5), after], [5])


@pytest.mark.parametrize(
    ("descent", "torchs"),
    [
        (Descent(5e-3, "cosine", final=5e-5, **WARM), warmed_up),
        (Descent(5e-3, "cosine"), lambda o: CosineAnnealingLR(o, STEPS)),
        (Descent(5e-3, "one_cycle"), lambda o: OneCycleLR(o, 5e-3, total_steps=STEPS)),
        (Descent(5e-3, **WARM), lambda o: LinearLR(o, 1e-4 / 5e-3, 1.0, 5)),
    ],
)
def test_the_rate_is_that_of_torchs_scheduler(descent, torchs):
    optimiser = torch.optim.AdamW(torch.nn.Linear(1, 1).parameters(), lr=5e-3)
    scheduler, expected = torchs(optimiser), []
    for step in range(STEPS):
        expected.append((optimiser.param_groups[0]["lr"], optimiser.param_groups[0]["betas"][0]))
        optimiser.step()
        if step < STEPS - 1:
            scheduler.step()
    assert followed(descent) == [pytest.approx(pair, rel=1e-12) for pair in expected]


def test_a_plateau_halves_the_rate_once_the_warm_up_is_over():
    rates = [rate for rate, _ in followed(Descent(8e-3, "plateau", patience=9, **WARM))]
    assert rates[0] == 1e-4
    assert max(rates) == pytest.approx(8e-3)
    assert rates[-1] == pytest.approx(1e-3)
    falling = [0.8**step for step in range(STEPS)]
    assert followed(Descent(8e-3, "plateau", patience=9, **WARM), falling)[-1][0] == 8e-3


def test_a_warm_up_without_a_start_grows_by_equal_parts():
    rates = [rate for rate, _ in followed(Descent(1e-2, "cosine", warmup_steps=4, final=1e-3))]
    assert rates[:5] == pytest.approx([2.5e-3, 5e-3, 7.5e-3, 1e-2, 1e-2])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 1e-3 < rates[-1] < 1.1e-3


def test_a_schedule_goes_on_from_its_state():
    descent = Descent(8e-3, "plateau", patience=3, **WARM)
    whole = followed(descent)
    optimiser = build_optimiser(descent, torch.nn.Linear(1, 1))
    schedule = LRSchedule(descent, optimiser, STEPS)
    for _ in range(17):
        schedule.advance(torch.tensor(1.0))
    resumed_optimiser = build_optimiser(descent, torch.nn.Linear(1, 1))
    resumed = LRSchedule(descent, resumed_optimiser, STEPS)
    resumed_optimiser.load_state_dict(optimiser.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    rates = []
    for _ in range(17, STEPS):
        rates.append(resumed.rate)
        resumed.advance(torch.tensor(1.0))
    assert rates == [rate for rate, _ in whole[17:]]
