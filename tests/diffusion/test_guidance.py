"""Guidance that rises or falls with the share of masks, against what a tiny network makes exact."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.sampler import Reverse, Sampling, prepared, sample
from pipeline.runtime.seeds import torch_generator

K, T = 3, 10
GIVEN, ABSENT = torch.tensor([2.0, 0.5, 0.0]), torch.tensor([0.0, 0.4, 0.3])


@dataclass(frozen=True)
class Present:
    value: Tensor

    def __len__(self):
        return len(self.value)

    def repeat(self, n):
        return Present(self.value.repeat_interleave(n, 0))

    def rows(self, index):
        return Present(self.value[index])

    def null(self, mask):
        return replace(self, value=self.value & ~mask)


class TwoAnswers(nn.Module):
    """At a mask one distribution with the condition, another one without; a placed token stays."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(K, K, bias=False)
        nn.init.eye_(self.output.weight)

    def encode(self, inputs):
        return Present(inputs["present"])

    def prepare(self, condition):
        return condition

    def features(self, x_t, t, condition, at):
        logits = torch.where(condition.value[:, None], GIVEN, ABSENT)
        token = x_t.gather(1, at)
        sure = 60.0 * nn.functional.one_hot(token.clamp(max=K - 1), K)
        return torch.where((token == K)[:, :, None], logits[:, None], sure)


def section(schedule, guidance=4.0, **changes):
    return Sampling(
        steps=T, truncation=1.0, guidance=guidance, guidance_schedule=schedule, **changes
    )


def guided(weight):
    log_p, null = GIVEN.double().log_softmax(-1), ABSENT.double().log_softmax(-1)
    return (null + weight * (log_p - null)).softmax(-1)


WEIGHTS = {
    "constant": lambda share: 4.0,
    "rising": lambda share: 4.0 - 3.0 * share,
    "falling": lambda share: 1.0 + 3.0 * share,
}


@pytest.mark.parametrize("schedule", WEIGHTS)
def test_the_weight_follows_the_share_of_masks(schedule):
    process, network = MaskAndReplace(K, T), TwoAnswers()
    condition = prepared(network, Present(torch.tensor([True, True])), 4.0)
    reverse = Reverse(network, process, section(schedule), condition, (1, 5))
    x_t = torch.full((2, 5), K)
    for t in range(1, T + 1):
        share = float(process.schedule.mask[t] / process.schedule.mask[-1])
        found = reverse.probabilities(x_t, t, x_t == K)
        expected = guided(WEIGHTS[schedule](share))
        assert torch.allclose(found.double(), expected.expand(10, -1), atol=1e-6)


@pytest.mark.parametrize("order", ["random", "halton"])
@pytest.mark.parametrize("schedule", WEIGHTS)
def test_samples_are_the_mixture_over_the_steps_at_which_masks_open(schedule, order):
    process, length = MaskAndReplace(K, T), 40_000
    masks = process.schedule.mask / process.schedule.mask[-1]
    opened = [float(masks[t] - masks[t - 1]) for t in range(1, T + 1)]
    expected = sum(
        share * guided(WEIGHTS[schedule](float(masks[t])))
        for t, share in zip(range(1, T + 1), opened)
    )
    tokens = sample(
        TwoAnswers(),
        process,
        Present(torch.tensor([True])),
        length,
        section(schedule, order=order),
        [torch_generator(0)],
    )
    shares = torch.bincount(tokens[0], minlength=K) / length
    assert shares.tolist() == pytest.approx(expected.tolist(), abs=0.01)
    other = guided(4.0) if schedule != "constant" else guided(1.0)
    assert (expected - other).abs().max() > 0.03


def test_a_constant_schedule_is_written_as_before_there_were_others():
    plain = Sampling(steps=T, guidance=2.0)
    assert "guidance_schedule" not in plain.model_dump()
    assert Sampling.model_validate(plain.model_dump()) == plain
    rising = section("rising")
    assert rising.model_dump(mode="json")["guidance_schedule"] == "rising"
    assert Sampling.model_validate(rising.model_dump()) == rising
