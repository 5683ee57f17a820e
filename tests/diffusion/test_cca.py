"""The form cca against its slow twin, and what it leaves alone."""

import math
from copy import deepcopy

import pytest
import torch
from pydantic import ValidationError

from pipeline.diffusion.cca import alignment
from pipeline.diffusion.objective import Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.runtime.errors import UserError
from tests.diffusion.test_objective import (
    B,
    K,
    L,
    T,
    batch,
    contrast_section,
    generator,
    gradients,
    loss_section,
)
from tests.helpers.diffusion_twins import TinyNetwork, noisy_schedule, slow_terms


def build(setting="sample_inter", null_probability=0.0, **changes):
    """An objective, a network, and the frozen one that it left behind."""
    network = TinyNetwork(K, T).double()
    frozen = TinyNetwork(K, T, seed=8).double().requires_grad_(False)
    section = contrast_section(**{"form": "cca", "temperature": 3.0, **changes})
    loss = loss_section(null_probability=null_probability)
    process = MaskAndReplace(K, T, noisy_schedule(T))
    return Objective(process, loss, setting, section, frozen), network, frozen


def slow_total(objective, network, frozen, tokens, inputs):
    """The same loss by full posteriors and logarithms of sigmoids."""
    process, config, draws = objective.process, objective.contrast, generator()
    t, p_t = objective.steps.draw(B, draws)
    x_t = process.q_sample(tokens, t, draws)
    others = {"c": inputs["c"].roll(1, 0)}

    def losses(model, given):
        logits = model.output(model.features(x_t, t, model.encode(given)))
        step, sample = slow_terms(process, logits, tokens, x_t, t, math.inf)
        return {"step": step.sum(1), "sample": sample.sum(1)}

    kind = objective.terms[0].loss
    own, other = losses(network, inputs), losses(network, others)
    r_own = (losses(frozen, inputs)[kind] - own[kind]) / config.temperature
    r_other = (losses(frozen, others)[kind] - other[kind]) / config.temperature
    value = -config.inter_weight * torch.sigmoid(-r_other).log()
    value = value - config.keep_positive * torch.sigmoid(r_own).log()
    adaptive = 2 - (t - 1).double() / T
    auxiliary = objective.loss.auxiliary_weight * adaptive * own["sample"]
    return ((own["step"] + auxiliary + adaptive * value) / p_t).sum() / (B * L)


@pytest.mark.parametrize("setting", ["sample_inter", "step_inter"])
@pytest.mark.parametrize("keep_positive", [True, False])
@pytest.mark.parametrize("weight", [0.2, 50.0])
def test_it_equals_its_slow_twin(setting, keep_positive, weight):
    changes = {"keep_positive": keep_positive, "inter_weight": weight}
    objective, network, frozen = build(setting, **changes)
    objective.eval()
    tokens, inputs, _ = batch()
    terms = objective(network, tokens, inputs, generator())
    slow = slow_total(objective, network, frozen, tokens, inputs)
    assert terms.total.item() == pytest.approx(slow.item(), rel=3e-6)
    parts = terms.main + terms.auxiliary + terms.contrast
    assert parts.item() == pytest.approx(slow.item(), rel=3e-6)
    got, expected = gradients(terms.total, network), gradients(slow, network)
    assert torch.linalg.norm(got - expected) <= 1e-5 * torch.linalg.norm(expected)
    assert set(terms.negative) == {setting}


def test_the_frozen_model_is_read_and_never_learned_kept_or_changed():
    objective, network, frozen = build(null_probability=0.1)
    before = deepcopy(frozen.state_dict())
    tokens, inputs, _ = batch()
    terms = objective(network, tokens, inputs, generator(), estimate_bound=True)
    terms.total.backward()
    assert (network.passes, frozen.passes) == (1, 1)
    assert terms.bound == {}
    assert list(objective.parameters()) == []
    assert not any("reference" in name for name in objective.state_dict())
    assert all(frozen.state_dict()[name].equal(before[name]) for name in before)
    assert all(parameter.grad is None for parameter in frozen.parameters())


def test_it_is_bounded_and_its_push_fades_where_the_reference_is_left_behind():
    far = torch.tensor([[0.0, 0.0], [-500.0, 500.0], [500.0, -500.0]], dtype=torch.float64)
    value, slope = alignment(far, 1.0, 10.0, True)
    assert value.tolist() == pytest.approx([11 * math.log(2), 0, 500 + 10 * 500])
    assert slope[0].tolist() == pytest.approx([0.5, -5])
    assert slope[1].abs().max() < 1e-9
    assert slope[2].tolist() == pytest.approx([1, -10])
    assert alignment(far, 1.0, 10.0, False)[1][:, 0].abs().max() == 0


def test_dropped_conditions_have_no_part_in_it():
    objective, network, _ = build(null_probability=0.999999)
    tokens, inputs, _ = batch()
    assert objective(network, tokens, inputs, generator()).contrast == 0
    half, _, _ = build(null_probability=0.5)
    assert half(network, tokens, inputs, generator()).contrast > 0


def test_what_it_needs_is_named():
    process, section = MaskAndReplace(K, T), contrast_section(form="cca")
    with pytest.raises(UserError, match="name it in train.init"):
        Objective(process, loss_section(), "sample_inter", section)
    for setting in ("sample_intra", "step_intra+sample_inter"):
        with pytest.raises(UserError, match="take step_inter or sample_inter"):
            build(setting)
    objective, network, _ = build()
    with pytest.raises(UserError, match="batch_size must be 2 or more"):
        objective(network, batch()[0][:1], {"c": torch.randn(1, 3)}, generator())
    for wrong in ({"negatives_per_step": 2}, {"scale": "sum"}):
        with pytest.raises(ValidationError, match="with the form cca"):
            contrast_section(form="cca", **wrong)
