"""The adherence of a finished model, exact where likelihoods are known, and its table."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from pipeline.diffusion.process import MaskAndReplace
from pipeline.metrics.adherence import ROUNDS, evaluate_adherence
from pipeline.reporting.tables import blocks
from pipeline.storage.manifest import Clip
from tests.helpers.small_denoiser import CODES, LENGTH, N, write_stores


@dataclass(frozen=True)
class Label:
    value: Tensor

    def __len__(self):
        return len(self.value)

    def repeat(self, n):
        return Label(self.value.repeat_interleave(n, 0))

    def rows(self, index):
        return Label(self.value[index])

    def null(self, mask):
        return replace(self, value=torch.where(mask, 2, self.value))


class Knowing(nn.Module):
    """Half sure of the tokens that follow from a label; without one, all codes are alike."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(CODES, CODES, bias=False)
        nn.init.eye_(self.output.weight)

    def encode(self, inputs):
        return Label(inputs["label"])

    def prepare(self, condition):
        return condition

    def features(self, x_t, t, condition, at=None):
        place = torch.arange(LENGTH) % 3
        sure = math.log(CODES - 1) * nn.functional.one_hot(
            condition.value.clamp(max=1)[:, None] * 3 + place, CODES
        )
        return torch.where((condition.value == 2)[:, None, None], 0.0, sure)


def clips():
    return [Clip(f"clip{row}", f"{row}.png", "val", song=f"song{row // 2}") for row in range(N)]


def test_it_is_what_the_likelihoods_say_and_less_under_others_conditions(tmp_path):
    tokens, conditions, _ = write_stores(tmp_path)
    process = MaskAndReplace(CODES, 16)
    results, lines = evaluate_adherence(Knowing(), process, tokens, conditions, clips(), 50, 0)
    found = {(result.row, result.metric): result for result in results}
    # p(x_0 | c) is 1/2 and p(x_0 | null) 1/8
    own = found["model", "adherence"]
    assert own.mean == pytest.approx(math.log(CODES / 2), rel=1e-5)
    assert own.low == pytest.approx(own.high, rel=1e-5)
    assert (own.n_clips, own.n_songs, own.n_seeds) == (N, N // 2, 1)
    assert found["model", "adherence_t100"].mean == pytest.approx(math.log(CODES / 2), rel=1e-5)
    # another label's tokens have 1/14 each; some clips were given one of their own label
    shuffled = found["model_shuffled", "adherence"].mean
    assert math.log(CODES / 14) - 1e-6 <= shuffled < own.mean
    assert len(lines) == 2 * N
    assert ROUNDS == 8
    (block,) = blocks(results)
    assert block.name == "adherence"
    assert [row for row, _ in block.rows] == ["model", "model_shuffled"]


def test_it_is_the_same_twice_and_nothing_without_items(tmp_path):
    tokens, conditions, _ = write_stores(tmp_path)
    given = (Knowing(), MaskAndReplace(CODES, 16), tokens, conditions)
    first, second = (evaluate_adherence(*given, clips(), 50, seed) for seed in (4, 4))
    assert [vars(line) for line in first[1]] == [vars(line) for line in second[1]]
    assert evaluate_adherence(*given, [], 50, 0) == ([], [])
