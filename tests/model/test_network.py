import pytest
import torch

from pipeline.model.denoiser import DenoiserConfig
from pipeline.model.encoders.fuse import DanceConfig
from pipeline.model.encoders.text import TextConfig
from pipeline.model.network import (
    CaptionInputs,
    CaptionModel,
    ClassInputs,
    ClassModel,
    DanceInputs,
    DanceModel,
    build_network,
    load_model,
    save_model,
)
from pipeline.model.positions import resample
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section

K, T, BATCH = 11, 9, 3
DANCES = ["aligned", "temporal", "pooled"]
TASKS = [*DANCES, "genre", "text", "clip", "class"]


def denoiser(**changes) -> DenoiserConfig:
    settings = {
        "layers": 2,
        "width": 24,
        "heads": 2,
        "feed_forward": "linear",
        "factor": 2,
        "positions": "sinusoid",
    }
    return DenoiserConfig(**{**settings, "zero_init": False, **changes})


def dance(condition="aligned", genre_input=False, pose="coco17") -> DanceConfig:
    widths = {"motion_width": 4, "motion_blocks": 2, "visual_width": 6, "width": 20}
    return DanceConfig(condition=condition, pose=pose, fps=20.0, genre_input=genre_input, **widths)


def settings(task: str, **changes) -> tuple[Section, Section, tuple[int, int]]:
    images = denoiser(**{"feed_forward": "conv", "positions": "learned", **changes})
    match task:
        case "text":
            text = TextConfig(layers=1, width=16, heads=2, length=12)
            return (
                CaptionModel(denoiser=images, text=text),
                CaptionInputs(vocabulary=(320, 900, 49406, 49407), clip_size=None),
                (4, 4),
            )
        case "clip":
            return (
                CaptionModel(denoiser=images, text=None),
                CaptionInputs(vocabulary=None, clip_size=(7, 16)),
                (4, 4),
            )
        case "class":
            return ClassModel(denoiser=images), ClassInputs(n_classes=5), (4, 4)
        case "genre":
            config = dance(genre_input=True)
        case _:
            config = dance(task)
    inputs = DanceInputs(pose="coco17", n_frames=15, visual_numbers=8, n_genres=10)
    return DanceModel(denoiser=denoiser(**changes), condition=config), inputs, (1, 16)


def network_of(task: str, seed=0, **changes):
    config, inputs, grid = settings(task, **changes)
    return build_network(config, inputs, n_codes=K, grid=grid, n_steps=T, seed=seed)


def inputs_of(task: str, batch=BATCH, n_frames=15) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    match task:
        case "text":
            text = torch.zeros(batch, 77, dtype=torch.long)
            text[:, 0], text[:, 1:4], text[:, 4] = 49406, torch.tensor([320, 900, 777]), 49407
            return {"text": text}
        case "clip":
            return {"clip_text": torch.randn(batch, 7, 16, generator=generator).half()}
        case "class":
            return {"label": torch.arange(batch) % 5}
    motion = torch.rand(batch, n_frames, 17, 3, generator=generator)
    visual = torch.randn(batch, 4, 8, generator=generator)
    return {"motion": motion.flatten(2), "visual": visual, "genre": torch.arange(batch)}


def tokens(length=16, batch=BATCH):
    generator = torch.Generator().manual_seed(6)
    return (
        torch.randint(0, K + 1, (batch, length), generator=generator),
        torch.tensor([1, 5, T])[:batch],
    )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("grad", [False, True])
def test_a_prepared_condition_changes_nothing(task, grad):
    network, (x_t, t) = network_of(task), tokens()
    with torch.set_grad_enabled(grad):
        condition = network.encode(inputs_of(task))
        plain = network.features(x_t, t, condition)
        prepared = network.features(x_t, t, network.prepare(condition))
    assert plain.shape == (BATCH, 16, 24)
    assert network.output(plain).shape == (BATCH, 16, K)
    assert torch.allclose(plain, prepared, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("prepare", [False, True])
@torch.no_grad()
def test_features_of_some_positions_and_rows_are_those_of_all(task, prepare):
    network, (x_t, t) = network_of(task), tokens()
    condition = network.encode(inputs_of(task))
    condition = network.prepare(condition) if prepare else condition
    at, rows = torch.tensor([[3, 0, 9], [15, 3, 2], [1, 1, 7]]), torch.tensor([2, 0])
    every = network.features(x_t, t, condition)
    wanted = every[torch.arange(BATCH)[:, None], at]
    assert torch.allclose(network.features(x_t, t, condition, at), wanted, atol=1e-5)
    assert torch.allclose(
        network.features(x_t[rows], t[rows], condition.rows(rows)), every[rows], atol=1e-5
    )


@pytest.mark.parametrize("task", TASKS)
def test_rows_repeat_side_by_side_prepared_or_not(task):
    network, (x_t, t) = network_of(task), tokens()
    condition = network.encode(inputs_of(task))
    rows, steps = x_t.repeat_interleave(3, 0).roll(1, 1), t.repeat_interleave(3)
    plain = network.features(rows, steps, condition.repeat(3))
    assert len(condition.repeat(3)) == 9
    assert torch.allclose(
        plain, network.features(rows, steps, network.prepare(condition).repeat(3)), atol=1e-5
    )
    one = network.encode({name: value[1:2] for name, value in inputs_of(task).items()})
    assert torch.allclose(
        plain[3:6], network.features(rows[3:6], steps[3:6], one.repeat(3)), atol=1e-5
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_null_forgets_the_condition_in_its_rows_alone(task):
    network, (x_t, t) = network_of(task), tokens()
    inputs = inputs_of(task)
    other = {
        name: value.flip(0) if name != "text" else value.where(value != 900, 320)
        for name, value in inputs.items()
    }
    mask = torch.tensor([True, False, False])
    with torch.no_grad():
        given = network.features(x_t, t, network.encode(inputs))
        first, second = (
            network.features(x_t, t, network.encode(each).null(mask)) for each in (inputs, other)
        )
        prepared = network.features(
            x_t, t, network.prepare(network.prepare(network.encode(inputs)).null(mask))
        )
    assert torch.allclose(first[0], second[0], atol=1e-6)
    assert not torch.allclose(first[0], given[0], atol=1e-4)
    assert torch.equal(first[1:], given[1:])
    assert not torch.allclose(first[2], second[2], atol=1e-4)
    assert torch.allclose(first, prepared, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_every_trained_tensor_receives_gradient(task):
    network, (x_t, t) = network_of(task), tokens()
    condition = network.encode(inputs_of(task)).null(torch.tensor([False, True, False]))
    logits = network.output(network.features(x_t, t, condition))
    logits.mul(
        torch.randn(logits.shape, generator=torch.Generator().manual_seed(8))
    ).sum().backward()
    trained = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    assert [
        name
        for name, tensor in trained.items()
        if tensor.grad is None or not tensor.grad.abs().sum() > 0
    ] == []
    assert all(
        name in trained for name, _ in network.named_parameters() if name.startswith("encoder.")
    )
    idle = {name.split(".")[3] for name, _ in network.named_parameters() if name not in trained}
    assert idle == ({"norm_cross", "cross"} if task == "pooled" else set())


@pytest.mark.parametrize("condition", ["aligned", "temporal"])
def test_a_dance_run_backwards_changes_the_logits(condition):
    network, (x_t, t) = network_of(condition), tokens()
    inputs = inputs_of(condition)
    backwards = {**inputs, "motion": inputs["motion"].flip(1), "visual": inputs["visual"].flip(1)}
    still = {**inputs, "motion": inputs["motion"].clone(), "visual": inputs["visual"].clone()}
    with torch.no_grad():
        forward, reverse, again = (
            network.features(x_t, t, network.encode(each)) for each in (inputs, backwards, still)
        )
    assert torch.equal(forward, again)
    assert (network.output(forward) - network.output(reverse)).abs().mean() > 0.01


def test_an_aligned_condition_acts_where_it_happens():
    network = network_of("aligned", layers=1)
    inputs = inputs_of("aligned", n_frames=60)
    late = inputs["motion"].clone()
    late[:, 54:, 0::3] += 0.5 * torch.rand(BATCH, 6, 17, generator=torch.Generator().manual_seed(1))
    x_t, t = torch.full((BATCH, 64), K), torch.full((BATCH,), T)
    with torch.no_grad():
        before, after = (
            network.features(x_t, t, network.encode({**inputs, "motion": m}))
            for m in (inputs["motion"], late)
        )
    change = (after - before).abs().mean((0, 2))
    assert change[-8:].mean() > 3 * change[:32].mean()


@pytest.mark.parametrize("task", DANCES)
@pytest.mark.parametrize("positions", ["learned", "sinusoid"])
@pytest.mark.parametrize(("n_frames", "length"), [(15, 16), (7, 9), (45, 48), (1, 2)])
def test_clips_of_another_length_pass(task, positions, n_frames, length):
    network = network_of(task, positions=positions)
    inputs = inputs_of(task, n_frames=n_frames)
    hidden = network.features(*tokens(length), network.encode(inputs))
    assert hidden.shape == (BATCH, length, 24)
    assert hidden.isfinite().all()


def test_zero_init_makes_every_block_the_identity():
    network, (x_t, t) = network_of("aligned", zero_init=True), tokens()
    d, condition = network.denoiser, network.encode(inputs_of("aligned"))
    embedded = d.codes(x_t) + d.positions(16) + resample(d.align(condition.value), 16)
    assert torch.allclose(network.features(x_t, t, condition), d.norm(embedded), atol=1e-6)
    conv, (x_t, t) = network_of("class", zero_init=True), tokens()
    expected = conv.denoiser.norm(conv.denoiser.codes(x_t) + conv.denoiser.positions(16))
    assert torch.allclose(
        conv.features(x_t, t, conv.encode(inputs_of("class"))), expected, atol=1e-6
    )


@pytest.mark.parametrize("share", [0.3, 1.0])
@torch.no_grad()
def test_started_at_the_codewords_a_seen_token_predicts_itself_and_the_codes_near_it(share):
    network, (x_t, t) = network_of("class", zero_init=True, width=64), tokens()
    angles = torch.arange(K) * (2 * torch.pi / K)  # code k lies between its neighbours on a circle
    codewords = torch.stack([angles.cos(), angles.sin()], dim=1) + 5
    std = network.denoiser.codes.weight.std()
    mask = network.denoiser.codes.weight[-1].clone()
    network.denoiser.start_at(codewords, share, torch.Generator().manual_seed(0))
    assert network.denoiser.codes.weight.std() == pytest.approx(std.item(), rel=0.3)
    assert torch.equal(network.denoiser.codes.weight[-1], mask)
    hidden = network.features(x_t, t, network.encode(inputs_of("class")))
    logits, seen = network.output(hidden), x_t < K
    ahead = (torch.arange(K) - x_t.unsqueeze(2)).remainder(K)[seen]
    chance = logits[seen].softmax(1)
    assert (chance.argmax(1) == x_t[seen]).float().mean() > 0.6
    near = chance[(ahead == 1) | (ahead == K - 1)].mean()
    assert near > 1.2 * chance[(ahead == K // 2)].mean()


def test_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    first, second, other = (
        network_of("aligned"),
        network_of("aligned"),
        network_of("aligned", seed=1),
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert not torch.equal(first.output.weight, other.output.weight)


@pytest.mark.parametrize("task", TASKS)
def test_a_saved_model_comes_back_to_the_bit(task, tmp_path):
    network, (x_t, t) = network_of(task).eval(), tokens()
    save_model(network, tmp_path / "model.safetensors", {"contrast": "vanilla"})
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.provenance == {"contrast": "vanilla"}
    assert (loaded.n_codes, loaded.n_steps, loaded.grid) == (K, T, network.grid)
    pairs = zip(network.state_dict().items(), loaded.state_dict().items(), strict=True)
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)
    with torch.no_grad():
        features = [
            each.features(x_t, t, each.encode(inputs_of(task))) for each in (network, loaded)
        ]
    assert torch.equal(*features)
    save_model(loaded, tmp_path / "again.safetensors", {"contrast": "vanilla"})
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "model.safetensors"
    ).read_bytes()


def test_other_files_are_not_taken_for_models(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a model trained here"):
        load_model(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"motion": torch.rand(3, 15, 75)}, "reads coco17 poses"),
        ({"motion": torch.rand(3, 15, 219)}, "reads coco17 poses"),
        ({"visual": torch.rand(3, 4, 9)}, r"I3D sequences \[clips, steps, 8\]"),
        ({"motion": None}, "reads `motion`, which is not among the inputs"),
        ({"genre": torch.tensor([0, 1, 10])}, r"0\.\.9"),
    ],
)
def test_inputs_of_another_kind_are_refused(changes, sentence):
    inputs = {
        name: value
        for name, value in {**inputs_of("genre"), **changes}.items()
        if value is not None
    }
    with pytest.raises(UserError, match=sentence):
        network_of("genre").encode(inputs)


def test_settings_that_do_not_fit_the_data_are_refused():
    facts = DanceInputs(pose="smpl219", n_frames=15, visual_numbers=8, n_genres=10)
    with pytest.raises(UserError, match="coco17 poses, but the clips hold smpl219"):
        build_network(
            DanceModel(denoiser=denoiser(), condition=dance()),
            facts,
            n_codes=K,
            grid=(1, 16),
            n_steps=T,
            seed=0,
        )
    with pytest.raises(UserError, match="CLIP features"):
        facts = CaptionInputs(vocabulary=(1,), clip_size=None)
        build_network(
            CaptionModel(denoiser=denoiser(), text=None),
            facts,
            n_codes=K,
            grid=(4, 4),
            n_steps=T,
            seed=0,
        )
    with pytest.raises(UserError, match="5 heads"):
        network_of("class", heads=5)
