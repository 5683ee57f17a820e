"""Guidance that a loss trains in: equal adherence, and what a validation set sees of it
(docs/method.md, section 10).
"""

import re
from pathlib import Path

import pytest
import torch

from pipeline.runtime.seeds import torch_generator

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text()
CODES, CLASSES = 64, 10
Q = torch.randn(CLASSES, CODES, generator=torch_generator(0)).double().softmax(1)
P = Q.mean(0)
OTHERS = (Q.sum(0) - Q) / (CLASSES - 1)


def difference(strength, minus=OTHERS):
    p = (Q - strength * minus).clamp(min=0)
    return p / p.sum(1, keepdim=True)


def guided(weight):
    return (P.log() + weight * (Q / P).log()).softmax(1)


def adherence(p):
    """E_p[log q(z | c) / p(z)]: how much what p draws belongs to its class, mean over classes."""
    return float((p * (Q / P).log()).sum(1).mean())


def equal_weight(strength):
    """The guidance weight whose samples adhere as those of the difference's optimum do."""
    low, high = 1.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if adherence(guided(middle)) < adherence(difference(strength))
            else (low, middle)
        )
    return (low + high) / 2


def test_the_table_of_equal_adherence_is_what_the_closed_forms_give():
    rows = re.findall(
        r"^\| ([\d.e-]+) \| ([\d.]+) \| ([\d.]+) \| (-?[\d.]+) \|$", TEXT, re.MULTILINE
    )
    assert [float(row[0]) for row in rows] == [5e-5, 0.01, 0.1, 0.3, 0.5]
    for strength, weight, drawn, validated in rows:
        p = difference(float(strength))
        assert equal_weight(float(strength)) == pytest.approx(float(weight), abs=6e-4)
        assert adherence(p) == pytest.approx(float(drawn), abs=6e-4)
        seen = float((Q * (p.clamp(min=1e-6) / P).log()).sum(1).mean())
        assert seen == pytest.approx(float(validated), abs=6e-4)


def test_for_small_lambda_the_weight_follows_from_a_mean_and_a_variance():
    log_ratio = (Q / P).log()
    mean = (Q * log_ratio).sum(1)
    variance = (Q * (log_ratio - mean[:, None]) ** 2).sum(1).mean()
    gap = (mean - (OTHERS * log_ratio).sum(1)).mean()
    for strength in (1e-4, 1e-3):
        predicted = 1 + strength * float(gap / variance)
        assert equal_weight(strength) - 1 == pytest.approx(predicted - 1, rel=0.02)


def test_on_true_content_nothing_adheres_more_than_the_true_conditional():
    """E_q[log p / p(z)] is a likelihood: what is sharper than the truth pays for it."""

    def seen(p):
        return float((Q * (p / P).log()).sum(1).mean())

    for weight in (0.5, 0.9, 1.1, 1.5, 2.0):
        assert seen(guided(weight)) < seen(Q)
    assert seen(difference(0.1)) < seen(Q)
    sharper = [adherence(guided(weight)) for weight in (1.0, 1.1, 1.5, 2.0)]
    assert sharper == sorted(sharper)
