import pytest
import torch
import torch.distributed as dist

from pipeline.diffusion.objective import Loss, Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.steps import ImportanceSteps, UniformSteps
from tests.helpers.diffusion_twins import TinyNetwork, bayes, between, noisy_schedule


def warm(n_steps, losses):
    steps = ImportanceSteps(n_steps)
    for _ in range(60):
        steps.update(torch.arange(1, n_steps + 1), losses)
    return steps


def test_importance_is_uniform_until_every_step_was_seen_often():
    steps = ImportanceSteps(4)
    for _ in range(10):
        steps.update(torch.tensor([1, 2, 3, 4, 4]), torch.tensor([1.0, 2, 3, 4, 4]))
    assert steps.probabilities().tolist() == [0.25] * 4
    steps.update(torch.tensor([1, 2, 3, 4]), torch.tensor([1.0, 2, 3, 4]))
    assert steps.probabilities()[3] > steps.probabilities()[2] > 0.25


def test_importance_follows_the_published_rule():
    steps = warm(4, torch.tensor([9.0, 2.0, 3.0, 5.0]))
    settled = 1 - 0.9**60
    weights = torch.tensor([2.0, 2.0, 3.0, 5.0]).double() * settled**0.5 + 1e-4
    assert steps.probabilities().tolist() == pytest.approx(
        (weights / weights.sum()).tolist(), rel=1e-6
    )


def test_a_batch_that_repeats_a_step_counts_each_time_in_no_order():
    one, other = ImportanceSteps(2), ImportanceSteps(2)
    one.update(torch.tensor([1, 1, 2]), torch.tensor([1.0, 3.0, 2.0]))
    other.update(torch.tensor([1, 2, 1]), torch.tensor([3.0, 2.0, 1.0]))
    assert torch.equal(one.history, other.history)
    assert one.history[0].item() == pytest.approx((1 - 0.9**2) * 5)
    assert one.count.tolist() == [2, 1]


def test_statistics_survive_in_the_state_dict():
    steps, fresh = warm(4, torch.tensor([9.0, 2.0, 3.0, 5.0])), ImportanceSteps(4)
    fresh.load_state_dict(steps.state_dict())
    assert torch.equal(fresh.probabilities(), steps.probabilities())


@pytest.mark.parametrize("steps", [UniformSteps(5), warm(5, torch.tensor([1.0, 4, 2, 1, 8]))])
def test_draws_have_the_probabilities_they_say(steps):
    t, p = steps.draw(40_000, torch.Generator().manual_seed(0))
    for step in range(1, 6):
        share = (t == step).double().mean().item()
        assert share == pytest.approx(p[t == step][0].item(), abs=0.01)


def exact_bound(process, network, x_0):
    """Sum over t of the expected loss for one token x_0, by enumeration of x_t."""
    condition, total = network.encode({"c": torch.ones(1, 3)}), 0.0
    for t in range(1, process.n_steps + 1):
        marginal = between(process, 0, t)[x_0]
        for x_t in range(process.n_codes + 1):
            state = torch.tensor([[x_t]])
            p = (
                network.output(network.features(state, torch.tensor([t]), condition))[0, 0]
                .double()
                .softmax(0)
            )
            true = bayes(
                process, torch.eye(process.n_codes, dtype=torch.float64)[x_0], x_t, t, t - 1
            )
            model = bayes(process, p, x_t, t, t - 1)
            loss = (
                -p[x_0].log()
                if t == 1
                else torch.special.xlogy(true, true / model).nan_to_num().sum()
            )
            total += (marginal[x_t] * loss).item()
    return total


@pytest.mark.parametrize("sampling", ["uniform", "importance"])
def test_the_loss_is_an_unbiased_estimate_of_the_sum_over_t(sampling):
    process, network = MaskAndReplace(3, 5, noisy_schedule(5)), TinyNetwork(3, 5)
    section = Loss(
        t_sampling=sampling, auxiliary_weight=0, auxiliary_direction="constant", null_probability=0
    )
    objective = Objective(process, section, "vanilla").eval()
    if sampling == "importance":
        objective.steps = warm(5, torch.tensor([0.3, 0.4, 1.0, 0.2, 0.6]))
    expected = exact_bound(process, network, 1)
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        got = torch.stack(
            [
                objective(
                    network, torch.ones(500, 1, dtype=torch.int64), {"c": torch.ones(500, 3)}, draws
                ).main
                for _ in range(80)
            ]
        )
    assert abs(got.mean().item() - expected) < 4 * got.std().item() / 80**0.5
    assert got.std().item() / 80**0.5 < 0.02 * expected, (
        "the test would notice a bias of a few per cent"
    )


def test_ranks_share_their_statistics(monkeypatch):
    """Both ranks see the sum of what each would have added alone."""
    mine = (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]))
    other_sums = torch.tensor([[0.0, 1, 1], [0, 16, 25]], dtype=torch.float64)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", lambda seen: seen.add_(other_sums))
    shared = ImportanceSteps(3)
    shared.update(*mine)
    monkeypatch.setattr(dist, "is_initialized", lambda: False)
    alone = ImportanceSteps(3)
    alone.update(torch.tensor([1, 2, 2, 3]), torch.tensor([1.0, 2.0, 4.0, 5.0]))
    assert torch.equal(shared.history, alone.history)
    assert torch.equal(shared.count, alone.count)
