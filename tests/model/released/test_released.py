import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.model.denoiser import Denoiser, DenoiserConfig
from pipeline.model.released.checkpoint import load_released
from pipeline.model.released.dance import ReleasedMotionEncoder
from pipeline.model.released.names import released_layout
from pipeline.runtime.errors import UserError
from tests.helpers.released_files import (
    buffers,
    dance_checkpoint,
    denoiser_layout,
    filled,
    motion_layout,
    prefixed,
)

FIXTURES = Path(__file__).resolve().parents[4] / "shared" / "fixtures"
HEADS = {"heads": 4}
SMALL_TEXT = {
    "layers": 2,
    "n": 24,
    "codes": 15,
    "steps": 5,
    "table": (4, 4),
    "factor": 2,
    "feed_forward": "conv",
}
SMALL_CLASS = {**SMALL_TEXT, "table": (8, 8), "classes": 11}


def saved(tmp_path, content, name="checkpoint.pth"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def draw(model, condition, batch=2):
    """Logits for tokens that anyone can draw again."""
    length = math.prod(model.grid)
    generator = torch.Generator().manual_seed(5)
    x_t = torch.randint(0, model.n_codes + 1, (batch, length), generator=generator)
    with torch.no_grad():
        return model.logits(x_t, torch.arange(1, batch + 1), condition)


@pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="the numeric fixtures are not beside the checkout"
)
@pytest.mark.parametrize("task", ["music", "text", "class"])
def test_the_original_networks_answers_are_met(task):
    path = FIXTURES / f"denoiser_{task}.pt"
    expected = torch.load(path, weights_only=True)
    model = load_released(path, config=expected["config"])
    with torch.no_grad():
        logits = model.logits(expected["x_t"], expected["t_index"] + 1, expected["condition"])
    assert torch.allclose(
        logits.log_softmax(1).clamp_min(-70), expected["log_p_x0"], atol=1e-5, rtol=0
    )


FULL_SIZE = {
    "aist": (
        DenoiserConfig,
        {"layers": 19, "width": 1024, "feed_forward": "linear", "factor": 4},
        2048,
        80,
        (1, 344),
        None,
    ),
    "tiktok": (
        DenoiserConfig,
        {"layers": 19, "width": 1024, "feed_forward": "linear", "factor": 4},
        2048,
        100,
        (1, 344),
        None,
    ),
    "text": (
        DenoiserConfig,
        {"layers": 18, "width": 192, "feed_forward": "conv", "factor": 2},
        2887,
        80,
        (32, 32),
        None,
    ),
    "class": (
        DenoiserConfig,
        {"layers": 24, "width": 512, "feed_forward": "conv", "factor": 4},
        974,
        80,
        (16, 16),
        1000,
    ),
}
TENSORS = {"aist": 558, "tiktok": 558, "text": 529, "class": 439}
PARAMETERS = {"aist": 406_494_208, "tiktok": 407_272_448, "text": 35_798_407, "class": 517_779_918}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size_layouts_equal_the_published_tables(name):
    config_class, sizes, codes, steps, grid, classes = FULL_SIZE[name]
    config = config_class(**sizes, heads=16, positions="learned", zero_init=False)
    condition = (
        {"n_classes": classes} if classes else {"condition_width": 512 if name == "text" else 1024}
    )
    table = (32, 32) if name == "class" else grid
    with torch.device("meta"):
        denoiser = Denoiser(config, codes, steps, grid, table=table, **condition)
    block = {"classes": classes} if classes else {"condition": condition["condition_width"]}
    block |= {"factor": sizes["factor"], "feed_forward": sizes["feed_forward"]}
    expected = denoiser_layout(sizes["layers"], sizes["width"], codes, steps, table, **block)
    assert released_layout(denoiser) == expected
    assert len(expected) + (0 if classes else sizes["layers"]) == TENSORS[name]
    assert sum(parameter.numel() for parameter in denoiser.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("frames", "numbers", "widths", "parameters"),
    [
        (120, 219, (512, 512, 1024), 36_008_833),
        (360, 219, (512, 512, 1024), 36_746_113),
        (60, 75, (256, 512, 1024), 31_154_305),
    ],
)
def test_the_full_size_motion_encoder_equals_the_published_table(
    frames, numbers, widths, parameters
):
    with torch.device("meta"):
        encoder = ReleasedMotionEncoder(frames, numbers, 800, widths, 1024)
    layout = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    assert layout == motion_layout(frames, numbers, widths)
    assert len(layout) == 120
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


@pytest.mark.parametrize("kind", ["aist", "tiktok"])
def test_a_dance_checkpoint_gives_its_average_or_its_last_weights(tmp_path, kind):
    checkpoint = dance_checkpoint(kind)
    path = saved(tmp_path, checkpoint)
    average, last = load_released(path, HEADS), load_released(path, HEADS, weights="model")
    assert torch.equal(average.output.weight, checkpoint["ema"]["transformer.to_logits.1.weight"])
    assert torch.equal(
        last.output.weight, checkpoint["model"]["transformer.transformer.to_logits.1.weight"]
    )
    assert torch.equal(
        average.output.weight, load_released(path, HEADS, weights="ema").output.weight
    )
    assert (average.grid, average.n_codes, average.n_steps) == ((1, 18), 20, 7)
    numbers = checkpoint["model"]["condition_codec_motion.lin1.weight"].shape[1]
    motion, video = torch.randn(3, 12, numbers), torch.randn(3, 1, 24)
    genre = torch.tensor([1, 4, 9]) if kind == "aist" else None
    token = average.encode_condition(motion, video, genre)
    assert token.shape == (3, 1, 32)
    assert not torch.allclose(token, last.encode_condition(motion, video, genre))
    assert torch.equal(token, average.encode_condition(motion.flatten(1), video[:, 0], genre))
    inputs = {"motion": motion, "visual": video} | ({} if genre is None else {"genre": genre})
    with torch.no_grad():
        hidden = average.features(
            torch.full((3, 18), 20), torch.full((3,), 7), average.prepare(average.encode(inputs))
        )
    direct = average.logits(torch.full((3, 18), 20), torch.full((3,), 7), token)
    assert torch.allclose(average.output(hidden).mT, direct, atol=1e-5)


def test_the_motion_encoder_of_an_average_is_the_last_one_and_reads_weight_norm(tmp_path):
    checkpoint = dance_checkpoint("aist")
    encoder = load_released(saved(tmp_path, checkpoint), HEADS).encoder.motion
    motion = torch.randn(2, 12, 219)
    state = {
        name.removeprefix("condition_codec_motion."): tensor
        for name, tensor in checkpoint["model"].items()
    }
    assert torch.allclose(encoder(motion), slow_motion_encoder(state, motion), atol=1e-4)


def slow_motion_encoder(state, motion):
    """The published motion encoder written out step by step."""
    f = torch.nn.functional

    def normed(name):
        g, v = state[f"{name}.weight_g"], state[f"{name}.weight_v"]
        return g * v / v.square().sum((1, 2), keepdim=True).sqrt()

    x = f.linear(motion, state["lin1.weight"], state["lin1.bias"])
    for convolution, first in ((0, 2), (7, 8), (13, 14), (19, None)):
        x = f.conv1d(x, state[f"model.{convolution}.weight"], state[f"model.{convolution}.bias"])
        if convolution == 0:
            x = f.leaky_relu(x, 0.2)
        for i in range(4 if first else 0):
            p, d = f"model.{first + i}", 3**i
            y = f.pad(f.leaky_relu(x, 0.2), (d, d), mode="reflect")
            y = f.conv1d(y, normed(f"{p}.block.2"), state[f"{p}.block.2.bias"], dilation=d)
            y = f.conv1d(f.leaky_relu(y, 0.2), normed(f"{p}.block.4"), state[f"{p}.block.4.bias"])
            x = f.conv1d(x, normed(f"{p}.shortcut"), state[f"{p}.shortcut.bias"]) + y
        if first:
            x = f.leaky_relu(x, 0.2)
    return f.linear(x, state["lin2.weight"], state["lin2.bias"])


def test_genres_may_be_numbers_or_one_hot_and_belong_to_aist_alone(tmp_path):
    motion, video, genre = torch.randn(2, 12, 219), torch.randn(2, 24), torch.tensor([3, 7])
    aist = load_released(saved(tmp_path, dance_checkpoint("aist")), HEADS)
    token = aist.encode_condition(motion, video, genre)
    assert torch.equal(
        token, aist.encode_condition(motion, video, torch.nn.functional.one_hot(genre, 10).double())
    )
    assert not torch.allclose(token, aist.encode_condition(motion, video, genre - 1))
    with pytest.raises(UserError, match="genre"):
        aist.encode_condition(motion, video)
    with pytest.raises(UserError, match="video features"):
        aist.encode_condition(motion, video[:, :20], genre)
    with pytest.raises(UserError, match="12 frames x 219"):
        aist.encode_condition(motion[:, :8], video, genre)


@pytest.mark.parametrize(
    "layout", ["model", "module", "wrapped", "bare", "denoiser", "safetensors"]
)
@pytest.mark.parametrize("task", ["text", "class"])
def test_every_way_in_which_image_checkpoints_are_stored(tmp_path, task, layout):
    sizes = SMALL_CLASS if task == "class" else {**SMALL_TEXT, "condition": 20}
    denoiser = filled(denoiser_layout(**sizes), seed=3)
    wrapper = prefixed("transformer.", denoiser) | {
        "log_at": torch.zeros(5),
        "condition_emb.ln_final.bias": torch.zeros(2),
    }
    if task == "text":
        wrapper |= buffers(5, layers=2, length=16)
    whole = prefixed("transformer.", wrapper) | {
        "content_codec.enc.quantize.embed.weight": torch.zeros(3, 2)
    }
    contents = {
        "model": {"model": whole, "last_epoch": 1},
        "module": {"model": prefixed("module.", whole)},
        "wrapped": {"state_dict": whole, "config": {"heads": 4}},
        "bare": whole,
        "denoiser": denoiser,
    }
    if layout == "safetensors":
        save_file(
            {name: tensor.contiguous() for name, tensor in whole.items()},
            path := tmp_path / "weights.safetensors",
        )
    else:
        path = saved(tmp_path, contents[layout])
    model = load_released(path, {"heads": 4, "grid": [4, 4], "steps": 5})
    condition = torch.tensor([3, 10]) if task == "class" else torch.ones(2, 3, 20)
    logits = draw(model, condition)
    assert logits.shape == (2, 15, 16)
    reference = load_released(saved(tmp_path, denoiser, "d.pth"), {"heads": 4, "grid": (4, 4)})
    assert torch.equal(logits, draw(reference, condition))
    assert not torch.allclose(
        logits, draw(load_released(path, {"heads": 3, "grid": (4, 4)}), condition)
    )


def test_published_configurations_are_recognised_without_a_config(tmp_path):
    layout = denoiser_layout(18, 192, 50, 4, (32, 32), factor=2, feed_forward="conv", condition=16)
    state = {name: torch.zeros(shape) for name, shape in layout.items()}
    model = load_released(saved(tmp_path, prefixed("transformer.transformer.", state)))
    assert model.grid == (32, 32)
    assert model.denoiser.blocks[0].attention.heads == 16


def test_a_learned_null_of_the_checkpoint_serves_guidance_and_its_absence_is_said(tmp_path):
    layout = denoiser_layout(**SMALL_TEXT, condition=20)
    wrapper = prefixed("transformer.", filled(layout, seed=1)) | {
        "empty_text_embed": torch.randn(3, 20).double()
    }
    model = load_released(saved(tmp_path, prefixed("transformer.", wrapper)), HEADS)
    condition = model.encode({"clip_text": torch.randn(2, 3, 20)}).null(torch.tensor([False, True]))
    assert torch.equal(condition.value[1], wrapper["empty_text_embed"].float())
    del wrapper["empty_text_embed"]
    model = load_released(saved(tmp_path, prefixed("transformer.", wrapper)), HEADS)
    with pytest.raises(UserError, match="no learned null"):
        model.encode({"clip_text": torch.randn(2, 3, 20)}).null(torch.tensor([False, True]))


def broken(change):
    state = dance_checkpoint("aist")["model"]
    change(state)
    return {"model": state}


INNER = "transformer.transformer."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda s: s.pop(INNER + "blocks.1.attn1.key.weight"),
            r"blocks\.1\.attn1\.key\.weight is missing",
        ),
        (
            lambda s: s.pop(INNER + "blocks.0.ln1.emb.weight"),
            r"blocks\.0\.ln1\.emb\.weight is missing",
        ),
        (lambda s: s.pop(INNER + "content_emb.emb.weight"), "holds no denoiser"),
        (
            lambda s: s.update({INNER + "blocks.0.extra": torch.ones(1)}),
            r"blocks\.0\.extra is unknown",
        ),
        (
            lambda s: s.update({INNER + "to_logits.1.bias": torch.ones(3)}),
            r"to_logits\.1\.bias is \[3\] instead of \[20\]",
        ),
        (
            lambda s: s.pop("condition_codec_motion.model.9.shortcut.bias"),
            r"model\.9\.shortcut\.bias is missing",
        ),
        (
            lambda s: s.pop("condition_codec_motion.lin1.weight"),
            r"condition_codec_motion\.lin1\.weight is missing",
        ),
        (lambda s: s.pop("transformer.lin1.bias"), r"fusion\.bias is missing"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_first_keys(tmp_path, change, sentence):
    with pytest.raises(UserError, match=sentence):
        load_released(saved(tmp_path, broken(change)), HEADS)


def test_the_authors_yaml_serves_as_configuration(tmp_path):
    path = saved(tmp_path, filled(denoiser_layout(**SMALL_CLASS), seed=3))
    transformer = (
        "{n_layer: 2, n_embd: 24, n_head: 4, content_seq_len: 16, content_spatial_size: [8, 8],"
        " diffusion_step: 5}"
    )
    yaml = tmp_path / "config.yaml"
    yaml.write_text(
        "model:\n  params:\n    diffusion_config: {params: {transformer_config: {params:"
        f" {transformer}}}}}}}\n"
    )
    model, expected = load_released(path, yaml), load_released(path, {"heads": 4, "grid": (4, 4)})
    assert model.grid == (4, 4)
    assert torch.equal(draw(model, torch.tensor([1, 2])), draw(expected, torch.tensor([1, 2])))
    yaml.write_text(yaml.read_text().replace("n_layer: 2", "n_layer: 24"))
    with pytest.raises(UserError, match="layers is 2"):
        load_released(path, yaml)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "none of the published"),
        ({"grid": (1, 18)}, "`heads`"),
        ({"heads": 5}, "does not divide"),
        ({"heads": 4, "steps": 80}, "n_steps is 7"),
        ({"heads": 4, "nl": 19}, "layers is 2"),
        ({"heads": 4, "grid": (1, 17)}, "18 positions"),
    ],
)
def test_a_configuration_that_contradicts_the_weights_is_refused(tmp_path, config, sentence):
    with pytest.raises(UserError, match=sentence):
        load_released(saved(tmp_path, dance_checkpoint("aist")), config)


def test_absent_weights_and_other_tasks_are_refused(tmp_path):
    checkpoint = dance_checkpoint("aist")
    del checkpoint["ema"]
    with pytest.raises(UserError, match="no `ema` weights"):
        load_released(saved(tmp_path, checkpoint), HEADS, weights="ema")
    model = load_released(
        saved(tmp_path, filled(denoiser_layout(**SMALL_CLASS), seed=3)), {"heads": 4}
    )
    with pytest.raises(UserError, match="not a dance model"):
        model.encode_condition(torch.randn(1, 12, 219), torch.randn(1, 24))
    with pytest.raises(UserError, match=r"0\.\.10"):
        model.logits(torch.zeros(1, 16).long(), torch.ones(1).long(), torch.tensor([11]))
    with pytest.raises(UserError, match="do not fill"):
        model.logits(torch.zeros(1, 15).long(), torch.ones(1).long(), torch.tensor([1]))
