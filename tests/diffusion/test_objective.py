import math
from itertools import product

import pytest
import torch
from pydantic import ValidationError

from pipeline.diffusion.contrast import Contrast, choose_negatives, information_bound, parse_setting
from pipeline.diffusion.objective import Loss, Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.runtime.errors import UserError
from tests.helpers.diffusion_twins import TinyNetwork, noisy_schedule, slow_terms

K, T, B, L, N = 6, 7, 5, 4, 3


def contrast_section(**changes) -> Contrast:
    return Contrast(
        **{
            "form": "difference",
            "chains": "parallel",
            "scale": "mean",
            "keep_positive": False,
            "intra_weight": 0.3,
            "inter_weight": 0.2,
            "direction": "decreasing",
            "temperature": 1.0,
            "negatives_per_step": None,
            "contrastive_steps": None,
            "cap": None,
            **changes,
        }
    )


def loss_section(**changes) -> Loss:
    return Loss(
        **{
            "t_sampling": "uniform",
            "auxiliary_weight": 0.01,
            "auxiliary_direction": "decreasing",
            "null_probability": 0.0,
            **changes,
        }
    )


def build(setting, contrast=None, **loss):
    process = MaskAndReplace(K, T, noisy_schedule(T))
    return Objective(process, loss_section(**loss), setting, contrast), TinyNetwork(K, T).double()


def batch(seed=0):
    torch.manual_seed(seed)
    tokens = torch.randint(K, (B, L))
    negatives = {kind: torch.randint(K, (B, N, L)) for kind in ("intra", "inter")}
    return tokens, {"c": torch.randn(B, 3)}, negatives


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


def slow_total(objective, network, tokens, inputs, negatives):
    """The same loss, one sample, one negative and one pass at a time."""
    process, config, draws = objective.process, objective.contrast, generator()
    t, p_t = objective.steps.draw(B, draws)
    x_t = process.q_sample(tokens, t, draws)
    chained = [
        term for term in objective.terms if term.loss == "step" and config.chains == "parallel"
    ]
    z_0 = torch.cat([tokens[:, None][:, :0], *(negatives[term.kind] for term in chained)], 1)
    z_t = process.q_sample(z_0.flatten(1), t, draws).view_as(z_0)
    chains = {term: z_t[:, i * N : (i + 1) * N] for i, term in enumerate(chained)}
    condition = network.encode(inputs)
    null = condition.null(torch.ones(B, dtype=torch.bool))

    def losses(z, at, given, limit=math.inf):
        logits = network.output(network.features(at, t, given))
        step, sample = slow_terms(process, logits, z, at, t, limit)
        return {"step": step.sum(1), "sample": sample.sum(1)}

    positive = losses(tokens, x_t, condition)
    progress = (t - 1).double() / T
    weight = {"constant": 1 + 0 * progress, "decreasing": 2 - progress, "increasing": 1 + progress}
    total = (
        positive["step"]
        + objective.loss.auxiliary_weight
        * weight[objective.loss.auxiliary_direction]
        * positive["sample"]
    )
    for term in objective.terms:
        lam = (config.intra_weight if term.kind == "intra" else config.inter_weight) * weight[
            config.direction
        ]
        costs, cap = [positive[term.loss]], config.cap or math.inf
        nulls = [losses(tokens, x_t, null)[term.loss]]
        for j in range(N):
            at = chains[term][:, j] if term in chains else x_t
            costs.append(losses(negatives[term.kind][:, j], at, condition, cap)[term.loss])
            nulls.append(losses(negatives[term.kind][:, j], at, null, cap)[term.loss])
        if config.form == "infonce":
            f = [
                torch.exp(-(cost - nothing.detach()) / config.temperature)
                for cost, nothing in zip(costs, nulls)
            ]
            value = -(f[0] / sum(f)).log()
        else:
            scale = {"mean": 1 / N, "sum": 1, "log_n": math.log(N)}[config.scale]
            value = config.keep_positive * costs[0] - scale * sum(costs[1:])
        total = total + lam * value
    return (total / p_t).sum() / (B * L)


def gradients(total, network):
    found = torch.autograd.grad(total, network.parameters(), allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


SETTINGS = [
    "step_intra",
    "step_inter",
    "sample_intra",
    "sample_inter",
    "step_intra+sample_inter",
    "step_intra+step_inter",
]
FORMS = [
    {},
    {"chains": "released", "direction": "increasing"},
    {"scale": "sum", "keep_positive": True, "direction": "constant"},
    {"scale": "log_n", "cap": 1.5},
    {"form": "infonce", "keep_positive": True, "temperature": 2.0},
    {"form": "infonce", "keep_positive": True, "chains": "released"},
]


def test_vanilla_equals_its_slow_twin():
    objective, network = build("vanilla")
    objective.eval()
    tokens, inputs, _ = batch()
    terms, slow = (
        objective(network, tokens, inputs, generator()),
        slow_total(objective, network, tokens, inputs, {}),
    )
    assert terms.total.item() == pytest.approx(slow.item(), rel=1e-6)
    assert (terms.main + terms.auxiliary).item() == pytest.approx(slow.item(), rel=1e-6)
    assert terms.contrast.item() == 0
    assert terms.negative == terms.bound == {}


@pytest.mark.parametrize(("setting", "form"), product(SETTINGS, FORMS))
def test_every_setting_and_form_equals_its_slow_twin(setting, form):
    null = 0.1 if form.get("form") == "infonce" else 0.0
    objective, network = build(setting, contrast_section(**form), null_probability=null)
    objective.eval()
    tokens, inputs, negatives = batch()
    terms = objective(network, tokens, inputs, generator(), negatives)
    slow = slow_total(objective, network, tokens, inputs, negatives)
    assert terms.total.item() == pytest.approx(slow.item(), rel=3e-6)
    assert (terms.main + terms.auxiliary + terms.contrast).item() == pytest.approx(
        slow.item(), rel=3e-6
    )
    got, expected = gradients(terms.total, network), gradients(slow, network)
    assert torch.linalg.norm(got - expected) <= 1e-5 * torch.linalg.norm(expected)
    assert set(terms.negative) == set(setting.split("+"))


@pytest.mark.parametrize("setting", ["step_intra", "step_inter"])
def test_parallel_chains_and_the_released_variant_have_different_gradients(setting):
    tokens, inputs, negatives = batch()
    grads = []
    for chains in ("parallel", "released"):
        objective, network = build(setting, contrast_section(chains=chains))
        terms = objective.eval()(network, tokens, inputs, generator(), negatives)
        grads.append(gradients(terms.total, network))
    assert torch.linalg.norm(grads[0] - grads[1]) > 0.01 * torch.linalg.norm(grads[0])


def test_chains_take_one_pass_and_share_the_positives_when_they_may():
    tokens, inputs, negatives = batch()
    for setting, form, passes in (
        ("step_intra", {}, 1),
        ("step_intra", {"chains": "released"}, 1),
        ("sample_inter", {}, 1),
        ("sample_inter", {"form": "infonce", "keep_positive": True}, 2),
    ):
        objective, network = build(setting, contrast_section(**form), null_probability=0.1)
        objective(network, tokens, inputs, generator(), negatives)
        assert network.passes == passes


def test_a_subset_of_the_negatives_is_unbiased():
    tokens, inputs, negatives = batch()
    for scale in ("mean", "sum", "log_n"):
        full, network = build("sample_inter", contrast_section(scale=scale))
        exact = full.eval()(network, tokens, inputs, generator(), negatives).contrast
        part, _ = build("sample_inter", contrast_section(scale=scale, negatives_per_step=1))
        part.eval()
        got = torch.stack(
            [
                part(
                    network,
                    tokens,
                    inputs,
                    generator(),
                    {"inter": negatives["inter"][:, [j]].expand(-1, N, -1)},
                ).contrast
                for j in range(N)
            ]
        )
        assert got.mean().item() == pytest.approx(exact.item(), rel=1e-6)


def test_subsets_are_drawn_without_replacement_and_evenly():
    stored = {"inter": torch.arange(4)[None, :, None].expand(6000, 4, 2)}
    chosen = choose_negatives(parse_setting("sample_inter")[0], stored, 2, generator())
    assert (chosen[:, 0, 0] != chosen[:, 1, 0]).all()
    assert (
        torch.bincount(chosen[:, :, 0].flatten(), minlength=4) / 6000
    ).tolist() == pytest.approx([0.5] * 4, abs=0.03)


def test_contrastive_steps_apply_as_often_as_they_say():
    objective, network = build("sample_intra", contrast_section(contrastive_steps=2))
    tokens, inputs, negatives = batch()
    draws = generator()
    applied = [
        bool(objective(network, tokens, inputs, draws, negatives).negative) for _ in range(300)
    ]
    assert sum(applied) / 300 == pytest.approx(2 / T, abs=0.09)
    objective.eval()
    assert all(objective(network, tokens, inputs, draws, negatives).negative for _ in range(10))


def test_dropped_conditions_are_counted_out_of_the_contrast_and_reach_the_null():
    objective, network = build("sample_inter", contrast_section(), null_probability=0.6)
    tokens, inputs, negatives = batch()
    terms = objective(network, tokens, inputs, generator(), negatives)
    terms.total.backward()
    assert network.empty.grad.abs().sum() > 0
    everything_dropped, _ = build("sample_inter", contrast_section(), null_probability=0.999999)
    assert (
        everything_dropped(
            network, tokens, inputs, generator(), negatives, estimate_bound=True
        ).contrast
        == 0
    )


def test_the_same_generator_gives_the_same_loss_and_validation_changes_nothing():
    section = contrast_section(negatives_per_step=2)
    objective, network = build("step_intra", section, t_sampling="importance", null_probability=0.2)
    tokens, inputs, negatives = batch()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    objective.eval()
    first, second = (objective(network, tokens, inputs, generator(), negatives) for _ in range(2))
    assert torch.equal(first.total, second.total)
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
    objective.train()
    objective(network, tokens, inputs, generator(), negatives)
    assert objective.steps.count.sum() == B


def test_the_bound_is_log_n_where_content_is_certain_and_below_where_it_is_not():
    certain = torch.tensor([[0.0, 100.0, 100.0, 100.0]])
    assert information_bound(certain, 1.0).item() == pytest.approx(math.log(3))
    assert information_bound(torch.zeros(2, 4), 1.0).item() == pytest.approx(
        math.log(3) - math.log(4)
    )
    objective, network = build("step_intra+sample_inter", contrast_section(), null_probability=0.1)
    tokens, inputs, negatives = batch()
    terms = objective.eval()(network, tokens, inputs, generator(), negatives, estimate_bound=True)
    assert set(terms.bound) == {"step_intra", "sample_inter"}
    assert all(bound < math.log(N) for bound in terms.bound.values())
    assert network.passes == 2


def test_a_loss_that_is_no_number_stops_the_run():
    objective, network = build("vanilla")
    torch.nn.init.constant_(network.output.bias, torch.nan)
    tokens, inputs, _ = batch()
    objective(network, tokens, inputs, generator())
    with pytest.raises(UserError, match="no longer finite"):
        objective.check()


@pytest.mark.parametrize(
    ("changes", "stops"), [({}, True), ({"cap": 12.0}, False), ({"inter_weight": 1e-4}, False)]
)
def test_a_negative_term_that_runs_away_stops_the_run(changes, stops):
    objective, network = build("sample_inter", contrast_section(**{"inter_weight": 3.0, **changes}))
    tokens, inputs, negatives = batch()

    def train():
        for seed in range(120):
            objective(network, tokens, inputs, generator(seed), negatives)
            objective.check()

    if stops:
        with pytest.raises(UserError, match="run away"):
            train()
    else:
        train()


def test_settings_are_parsed_and_refused():
    assert parse_setting("vanilla") == ()
    assert [term.name for term in parse_setting("step_intra+sample_inter")] == [
        "step_intra",
        "sample_inter",
    ]
    for wrong in ("step", "vanilla+step_intra", "step_intra+sample_intra", ""):
        with pytest.raises(UserError, match="contrast is"):
            parse_setting(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"negatives_per_step": 2},
        {"keep_positive": False},
        {"scale": "sum"},
    ],
)
def test_infonce_refuses_what_would_bias_it(wrong):
    with pytest.raises(ValidationError, match="infonce"):
        contrast_section(**{"form": "infonce", "keep_positive": True, **wrong})


def test_what_a_setting_lacks_is_named():
    tokens, inputs, negatives = batch()
    objective, network = build("step_intra", contrast_section())
    with pytest.raises(UserError, match="needs intra negatives"):
        objective(network, tokens, inputs, generator(), {"inter": negatives["inter"]})
    with pytest.raises(UserError, match="only 3 intra negatives"):
        build("step_intra", contrast_section(negatives_per_step=4))[0](
            network, tokens, inputs, generator(), negatives
        )
    with pytest.raises(UserError, match="null_probability"):
        build("step_intra", contrast_section(form="infonce", keep_positive=True))
    with pytest.raises(UserError, match="contrast section"):
        build("step_intra")
    with pytest.raises(UserError, match="contrastive_steps"):
        build("step_intra", contrast_section(contrastive_steps=T + 1))
