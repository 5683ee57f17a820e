from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from pipeline.diffusion.order import halton_path
from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.sampler import Sampling, sample
from pipeline.diffusion.truncation import N_NOISE, draw, draw_truncated, kept, truncate
from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import torch_generator
from tests.helpers.diffusion_twins import TinyNetwork, bayes, noisy_schedule

ORDERS = ["random", "purity", "confidence", "halton"]


def section(**changes) -> Sampling:
    return Sampling(
        **{
            "steps": 6,
            "truncation": 1.0,
            "temperature": 1.0,
            "guidance": 1.0,
            "order": "random",
            "choice_temperature": 1.0,
            **changes,
        }
    )


def generators(count, seed=0):
    return [torch_generator(seed, row) for row in range(count)]


def condition_of(network, batch, seed=0):
    return network.encode(
        {"c": torch.randn(batch, 3, generator=torch.Generator().manual_seed(seed))}
    )


class Recorder(TinyNetwork):
    """Remembers what it was shown and how many positions the head ran on."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.shown, self.headed, self.prepared = [], 0, 0
        self.output.register_forward_hook(lambda module, inputs, output: self.count(len(output)))

    def count(self, rows):
        self.headed += rows

    def prepare(self, condition):
        self.prepared += 1
        return condition

    def features(self, x_t, t, condition, at=None):
        self.shown.append((int(t[0]), x_t.clone()))
        return super().features(x_t, t, condition, at)


@dataclass(frozen=True)
class Answer:
    tokens: Tensor

    def __len__(self):
        return len(self.tokens)

    def repeat(self, n):
        return Answer(self.tokens.repeat_interleave(n, 0))

    def rows(self, index):
        return Answer(self.tokens[index])

    def null(self, mask):
        return self


class Oracle(nn.Module):
    """Knows x_0: the condition is the answer."""

    def __init__(self, n_codes):
        super().__init__()
        self.n_codes, self.output = n_codes, nn.Linear(n_codes, n_codes, bias=False)
        nn.init.eye_(self.output.weight)

    def encode(self, inputs):
        return Answer(inputs["tokens"])

    def prepare(self, condition):
        return condition

    def features(self, x_t, t, condition, at):
        return 60.0 * nn.functional.one_hot(condition.tokens.gather(1, at), self.n_codes)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "changes", [{}, {"steps": 3}, {"truncation": 0.86}, {"guidance": 2.0, "temperature": 0.5}]
)
def test_with_an_oracle_the_sample_is_x_0(order, changes):
    x_0 = torch.randint(9, (3, 20), generator=torch.Generator().manual_seed(0))
    process = MaskAndReplace(9, 6, noisy_schedule(6))
    got = sample(
        Oracle(9),
        process,
        Answer(x_0),
        20,
        section(order=order, **changes),
        generators(3),
        grid=(4, 5),
    )
    assert torch.equal(got, x_0)


@pytest.mark.parametrize("steps", [8, 3])
@pytest.mark.parametrize("truncation", [1.0, 0.6])
def test_samples_follow_the_exact_reverse_chain(steps, truncation):
    """Positions that ignore one another all follow one chain, whose every transition Bayes' rule
    gives.
    """
    process, network, count = (
        MaskAndReplace(4, 8, noisy_schedule(8)),
        TinyNetwork(4, 8, mixes=False, seed=3),
        60_000,
    )
    with torch.no_grad():
        network.output.weight.mul_(6)
        condition = condition_of(network, 1)
        state = torch.zeros(5, dtype=torch.float64)
        state[4] = 1
        times = [round(8 * (1 - i / steps)) for i in range(steps + 1)]
        for t, s in zip(times[:-1], times[1:]):
            moved = torch.zeros(5, dtype=torch.float64)
            for x_t in range(5):
                hidden = network.features(torch.tensor([[x_t]]), torch.tensor([t]), condition)
                p = truncate(network.output(hidden)[0, 0].double().softmax(0), truncation)
                moved += state[x_t] * bayes(process, p, x_t, t, s)
            state = moved
    tokens = sample(
        network,
        process,
        condition,
        count,
        section(steps=steps, truncation=truncation),
        generators(1),
    )
    shares = torch.bincount(tokens[0], minlength=4) / count
    assert shares.tolist() == pytest.approx(state[:4].tolist(), abs=0.011)
    assert state[4] == 0


@pytest.mark.parametrize("order", ORDERS)
def test_known_tokens_never_change_and_the_network_sees_them(order):
    process, network = MaskAndReplace(5, 6, noisy_schedule(6)), Recorder(5, 6)
    draws = torch.Generator().manual_seed(1)
    tokens, mask = (
        torch.randint(5, (3, 12), generator=draws),
        torch.rand(3, 12, generator=draws) < 0.4,
    )
    got = sample(
        network,
        process,
        condition_of(network, 3),
        12,
        section(order=order),
        generators(3),
        (tokens, mask),
        (3, 4),
    )
    assert torch.equal(got[mask], tokens[mask])
    for row in torch.cat([x_t for _, x_t in network.shown]):
        assert any(torch.equal(row[its], own[its]) for own, its in zip(tokens, mask))
    assert ((got >= 0) & (got < 5)).all()


def test_everything_known_comes_back_without_a_pass():
    process, network = MaskAndReplace(5, 6), Recorder(5, 6)
    tokens = torch.arange(5).repeat(2, 1)
    known = (tokens, torch.ones_like(tokens, dtype=torch.bool))
    assert torch.equal(
        sample(network, process, condition_of(network, 2), 5, section(), generators(2), known),
        tokens,
    )
    assert network.passes == 0


@pytest.mark.parametrize("order", ["purity", "confidence", "halton"])
def test_committed_tokens_are_never_drawn_again_and_every_step_opens_its_share(order):
    process, network = MaskAndReplace(5, 6, noisy_schedule(6)), Recorder(5, 6)
    got = sample(
        network,
        process,
        condition_of(network, 2),
        12,
        section(order=order),
        generators(2),
        grid=(3, 4),
    )
    states = [x_t for _, x_t in network.shown] + [got]
    for earlier, later in zip(states[:-1], states[1:]):
        placed = earlier < 5
        assert torch.equal(earlier[placed], later[placed])
    left = [int((x_t == 5).sum(1)[0]) for x_t in states]
    shares = (process.schedule.mask / process.schedule.mask[-1]).flip(0)
    assert left == sorted({int(12 * float(share)) for share in shares}, reverse=True), (
        "a step that opens nothing costs no pass"
    )


def test_guidance_of_one_is_no_guidance_and_one_pass():
    process = MaskAndReplace(5, 6)
    results, rows = {}, {}
    for guidance in (1.0, 1.0 + 1e-9, 4.0):
        network = Recorder(5, 6)
        config = section(guidance=guidance)
        results[guidance] = sample(
            network, process, condition_of(network, 2), 30, config, generators(2)
        )
        rows[guidance] = sum(len(x_t) for _, x_t in network.shown)
        assert network.prepared == 1, "what a condition yields is computed once a sample"
        assert network.passes == len({t for t, _ in network.shown}), (
            "condition and null pass together"
        )
    assert torch.equal(results[1.0], results[1.0 + 1e-9])
    assert not torch.equal(results[1.0], results[4.0])
    assert rows[4.0] == rows[1.0 + 1e-9] == 2 * rows[1.0]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_rows_in_which_nothing_can_change_do_not_pass(guidance):
    process, network = MaskAndReplace(5, 6), Recorder(5, 6)
    tokens = torch.randint(5, (3, 12), generator=torch.Generator().manual_seed(1))
    known = (tokens, torch.tensor([False, True, False])[:, None].expand(3, 12))
    config, condition = section(guidance=guidance), condition_of(network, 3)
    got = sample(network, process, condition, 12, config, generators(3), known)
    assert torch.equal(got[1], tokens[1])
    assert max(len(x_t) for _, x_t in network.shown) == 2 * (1 + (guidance > 1))
    alone = sample(
        network, process, condition.rows(torch.tensor([2])), 12, config, generators(3)[2:]
    )
    assert torch.equal(alone[0], got[2])


@pytest.mark.parametrize("order", ORDERS)
def test_a_row_does_not_depend_on_its_batch(order):
    process, network = MaskAndReplace(7, 6, noisy_schedule(6)), TinyNetwork(7, 6)
    condition = condition_of(network, 4)
    config = section(order=order, truncation=0.86)
    together = sample(network, process, condition, 12, config, generators(4), grid=(3, 4))
    for row, own in enumerate(generators(4)):
        alone = type(condition)(condition.value[[row]], condition.empty)
        assert torch.equal(
            sample(network, process, alone, 12, config, [own], grid=(3, 4))[0], together[row]
        )


def test_the_head_runs_only_where_a_token_may_change():
    process, length = MaskAndReplace(16, 50), 400
    for order, most in (("random", 3.1), ("halton", 1.0)):
        network = Recorder(16, 50)
        config = section(steps=50, order=order, truncation=0.86)
        sample(
            network, process, condition_of(network, 1), length, config, generators(1), grid=(20, 20)
        )
        assert network.headed <= most * length, (
            f"{order}: {network.headed} head rows for {length} tokens in 50 steps"
        )


def test_steps_are_even_distinct_and_end_at_x_0():
    for n_steps, steps in ((10, 10), (10, 7), (80, 53), (7, 1)):
        seen = []
        sample(
            TinyNetwork(4, n_steps),
            MaskAndReplace(4, n_steps),
            condition_of(TinyNetwork(4, n_steps), 1),
            3,
            section(steps=steps),
            generators(1),
            on_step=seen.append,
        )
        gaps = {a - b for a, b in zip(seen, [*seen[1:], 0])}
        assert (seen[0], len(seen)) == (n_steps, steps)
        assert max(gaps) - min(gaps) <= 1
        assert min(gaps) >= 1


def test_truncation_keeps_what_a_loop_keeps():
    p = (3 * torch.randn(50, 20, generator=torch.Generator().manual_seed(0))).softmax(-1)
    for r in (0.1, 0.5, 0.86, 0.99):
        for row, mask in zip(p, kept(p, r)):
            before = 0.0
            for code in row.argsort(descending=True).tolist():
                assert bool(mask[code]) == (before < r)
                before += float(row[code])


@pytest.mark.parametrize("r", [0.05, 0.5, 0.86, 1.0])
def test_draws_without_sorting_have_the_sorted_distribution(r):
    p = (2 * torch.randn(6, generator=torch.Generator().manual_seed(2))).softmax(-1)
    noise = torch.rand(
        60_000, N_NOISE, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    drawn = draw_truncated(p.expand(60_000, -1), r, noise)
    assert (torch.bincount(drawn, minlength=6) / 60_000).tolist() == pytest.approx(
        truncate(p, r).tolist(), abs=0.011
    )


def test_draws_never_pick_the_impossible():
    p = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0]])
    for noise in (0.0, 0.3, 1 - 2**-53):
        assert float(p[0, draw(p, torch.tensor([noise], dtype=torch.float64))[0]]) > 0


@pytest.mark.parametrize("grid", [(1, 1), (1, 13), (4, 4), (3, 7), (32, 32)])
def test_the_halton_path_visits_every_cell_once_and_spreads(grid):
    path = halton_path(*grid)
    assert sorted(path) == list(range(grid[0] * grid[1]))
    if grid == (32, 32):
        early = torch.tensor(path).view(32, 32) < 64
        counts = early.view(4, 8, 4, 8).sum((1, 3))
        assert counts.min() >= 3
        assert counts.max() <= 5


def test_what_cannot_be_sampled_is_refused():
    process, network = MaskAndReplace(4, 5), TinyNetwork(4, 5)
    condition, tokens = condition_of(network, 1), torch.zeros(1, 3, dtype=torch.int64)
    everywhere = torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(UserError, match="has 5 steps"):
        sample(network, process, condition, 3, section(steps=6), generators(1))
    with pytest.raises(UserError, match="must be \\[1, 3\\]"):
        sample(
            network,
            process,
            condition,
            3,
            section(steps=5),
            generators(1),
            (tokens[:, :2], everywhere),
        )
    with pytest.raises(UserError, match="codes in 0..3"):
        sample(
            network,
            process,
            condition,
            3,
            section(steps=5),
            generators(1),
            (tokens + 4, everywhere),
        )
    with pytest.raises(UserError, match="does not hold 3 tokens"):
        sample(
            network,
            process,
            condition,
            3,
            section(steps=5, order="halton"),
            generators(1),
            grid=(2, 2),
        )
