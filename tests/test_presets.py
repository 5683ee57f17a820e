"""The presets of the five real sets are true to their names: every figure is written out here once
more, from the paper and from the released configurations.
"""

from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pipeline.codecs.used_codes import UsedCodes
from pipeline.model.denoiser import Denoiser
from pipeline.model.network import DanceInputs, build_network
from pipeline.runtime.errors import UserError
from stages.__main__ import app
from stages.config import read_settings

PARAMS = Path(__file__).resolve().parents[1] / "params"
REAL = ("aist", "tiktok", "cub200", "coco", "imagenet")
DANCES, PICTURES = REAL[:2], REAL[2:]
NAMES = ("as_paper", "as_released")


def settings(dataset, name):
    return read_settings(dataset, PARAMS / "presets" / dataset / f"{name}.yaml")


def flat(values, prefix=""):
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in flat(inner, f"{prefix}.{name}".lstrip(".")).items()
    }


@pytest.mark.parametrize("dataset", REAL)
def test_what_stands_in_place_is_the_recommended_one(dataset):
    placed = (PARAMS / f"{dataset}.yaml").read_text()
    assert placed == (PARAMS / "presets" / dataset / "recommended.yaml").read_text()


SETTINGS = [file for file in sorted(PARAMS.rglob("*.yaml")) if file.parent.name != "study"]


@pytest.mark.parametrize("file", SETTINGS, ids=lambda file: str(file)[-30:])
def test_a_file_is_one_or_two_screens(file):
    assert len(file.read_text().splitlines()) <= 130
    assert len((PARAMS.parent / "params.yaml").read_text().splitlines()) < 30


@pytest.mark.parametrize(
    ("dataset", "name", "contrast", "intra", "inter"),
    [
        ("aist", "as_paper", "step_intra", 5e-5, 5e-5),
        ("tiktok", "as_paper", "step_intra", 5e-5, 5e-5),
        ("cub200", "as_paper", "sample_inter", 5e-5, 5e-5),
        ("coco", "as_paper", "sample_inter", 5e-5, 5e-5),
        ("imagenet", "as_paper", "sample_inter", 5e-5, 5e-5),
        ("aist", "as_released", "vanilla", 0, 0),
        ("tiktok", "as_released", "step_intra", 5e-5, 0),
        ("cub200", "as_released", "sample_inter", 0, 5e-6),
        ("coco", "as_released", "step_intra", 5e-5, 0),
        ("imagenet", "as_released", "step_intra", 5e-5, 0),
    ],
)
def test_contrast_and_lambda(dataset, name, contrast, intra, inter):
    own = settings(dataset, name)
    assert own.contrast == contrast
    assert (own.train.contrast.intra_weight, own.train.contrast.inter_weight) == (intra, inter)


@pytest.mark.parametrize("dataset", REAL)
def test_the_form_of_the_contrastive_loss(dataset):
    paper, released = (settings(dataset, name).train.contrast for name in NAMES)
    assert (paper.chains, paper.direction, paper.scale) == ("parallel", "decreasing", "mean")
    assert (released.chains, released.direction, released.scale) == (
        "released",
        "increasing",
        "mean",
    )
    assert (settings(dataset, "as_paper").negatives.n_intra,) == (10,)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dataset", "epochs", "batch", "rows", "steps"),
    [
        ("aist", 100, 8, 6632, 82_900),  # 2 on each of 4 GPUs
        ("tiktok", 100, 48, 2384, 4967),  # 12 on each of 4
        ("cub200", 400, 24, 8855, 147_584),  # 6 on each of 4
        ("coco", 500, 32, 82_783, 1_293_485),  # 4 on each of 8; 100 epochs of five captions each
        ("imagenet", 100, 192, 1_281_167, 667_275),  # 24 on each of 8
    ],
)
def test_epochs_and_global_batch(dataset, name, epochs, batch, rows, steps):
    train = settings(dataset, name).train
    assert (train.epochs, train.batch_size, train.steps) == (epochs, batch, None)
    assert train.in_steps(rows).steps == steps


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dataset", REAL)
def test_the_start_of_the_weights_is_0_02(dataset, name):
    denoiser = settings(dataset, name).train.model.denoiser
    assert denoiser.init_std == 0.02
    small = denoiser.model_copy(update={"layers": 1, "width": 64, "heads": 4})
    torch.manual_seed(0)
    built = Denoiser(small, 500, 10, (4, 4), condition_width=64)
    assert built.codes.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert built.blocks[0].attention.proj.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    ("dataset", "layers", "width", "heads", "kind", "factor"),
    [
        ("aist", 19, 1024, 16, "linear", 4),
        ("tiktok", 19, 1024, 16, "linear", 4),
        ("cub200", 18, 192, 16, "conv", 2),
        ("coco", 18, 192, 16, "conv", 2),
        ("imagenet", 24, 512, 16, "conv", 4),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_the_sizes_of_the_denoiser(dataset, name, layers, width, heads, kind, factor):
    own = settings(dataset, name).train.model.denoiser
    sizes = (own.layers, own.width, own.heads, own.feed_forward, own.factor, own.zero_init)
    assert sizes == (layers, width, heads, kind, factor, False)


@pytest.mark.parametrize(
    ("dataset", "paper", "released"),
    [
        ("aist", (4.5e-4, 60_000, 1000), (2e-4, 60_000, 1000)),
        ("tiktok", (4.5e-4, 60_000, 1000), (2e-4, 60_000, 1000)),
        ("cub200", (4.5e-4, 25_000, 1000), (4.5e-4, 25_000, 1000)),
        ("coco", (4.5e-4, 60_000, 1000), (2e-4, 60_000, 1000)),
        ("imagenet", (4.5e-4, 100_000, 5000), (4.5e-4, 100_000, 5000)),
    ],
)
def test_optimiser(dataset, paper, released):
    for name, wanted in zip(NAMES, (paper, released)):
        own = settings(dataset, name).train.optimiser
        assert (own.learning_rate, own.plateau_patience, own.warmup_steps) == wanted
        assert (own.betas, own.weight_decay, own.warmup_from) == ((0.9, 0.96), 0.045, 3e-6)
        assert (own.schedule, own.clip_norm) == ("plateau", 0.5)
        average = settings(dataset, name).train.average
        assert (average.decay, average.every) == (0.99, 25)


@pytest.mark.parametrize("dataset", REAL)
def test_steps_truncation_and_auxiliary_loss(dataset):
    for name in NAMES:
        own = settings(dataset, name)
        steps = 100 if (dataset, name) == ("tiktok", "as_released") else 80
        assert own.train.diffusion_steps == own.sample.sampling.steps == steps
        low = name == "as_released" and dataset in ("cub200", "coco")
        assert own.sample.sampling.truncation == (0.85 if low else 0.86)
        loss = own.train.loss
        assert loss.auxiliary_weight == (1e-3 if dataset == "imagenet" else 5e-4)
        rising = name == "as_released" and dataset in DANCES
        assert loss.auxiliary_direction == ("increasing" if rising else "decreasing")
        assert own.sample.seeds == (0, 1, 2)


def test_the_codec_of_the_dances_is_a_fine_tuned_jukebox():
    assert settings("aist", "as_paper").codec.weights == "d2m_vqvae_high"
    assert settings("aist", "as_released").codec.weights == "d2m_vqvae_low"  # shipped as vqvae.pt
    assert settings("tiktok", "as_released").codec.weights == "d2m_vqvae_high"
    tiktok = settings("tiktok", "as_paper").codec  # its own file was never published
    assert tiktok.weights == "jukebox"
    assert tiktok.fine_tune
    assert tiktok.training.steps > 0
    objective = tiktok.objective  # Jukebox's own
    assert (objective.l2, objective.linf, objective.linf_samples) == (1.0, 0.02, 2048)
    assert (objective.spectral, objective.commitment) == (1.0, 0.02)
    assert objective.spectra.resolutions == ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))
    for name in NAMES:
        for dataset in DANCES:
            codec = settings(dataset, name).codec
            assert (codec.level, codec.sample_rate) == (2, 22050)


@pytest.mark.parametrize(
    ("dataset", "full", "used"),
    [("cub200", 8192, 2887), ("coco", 8192, 2887), ("imagenet", 16384, 974)],
)
def test_codes_are_restricted_to_the_used_ones(dataset, full, used):
    for name in NAMES:
        assert Path(settings(dataset, name).codec.used_codes).name == f"taming_vqvae_{used}.pt"
    table = torch.zeros(full, dtype=torch.int64)  # laid out like the authors' file of that name
    table[torch.arange(used) * 2] = torch.arange(used)
    assert len(UsedCodes.from_table(table)) == used


@pytest.mark.parametrize("dataset", DANCES)
def test_table_5_in_its_order_and_fusion_by_concatenation(dataset):
    own = settings(dataset, "as_paper").train.model
    assert (own.condition.condition, own.condition.layout) == ("pooled", "paper")
    assert own.condition.genre_input is False
    small = own.model_copy(
        update={
            "denoiser": own.denoiser.model_copy(update={"layers": 1, "width": 32, "heads": 4}),
        }
    )
    facts = DanceInputs(pose=own.condition.pose, n_frames=120, visual_numbers=2048, n_genres=10)
    encoder = build_network(small, facts, n_codes=8, grid=(1, 344), n_steps=4, seed=0).encoder
    numbers = {"smpl219": 219, "body25": 75}[own.condition.pose]
    table = [
        layer for layer in encoder.motion.layers if not isinstance(layer, torch.nn.ReplicationPad1d)
    ]
    kinds = [type(layer).__name__ for layer in table]
    stack = ["Conv1d", "LeakyReLU", *["ResidualBlock"] * 4]
    assert kinds == [*stack, *stack, *stack, "Conv1d", "LeakyReLU", "Conv1d"]
    convolutions = [layer for layer in table if isinstance(layer, torch.nn.Conv1d)]
    assert [layer.kernel_size for layer in convolutions] == [(6,), (3,), (3,), (3,), (4,)]
    assert [layer.in_channels for layer in convolutions] == [numbers, 256, 512, 1024, 1024]
    assert [layer.out_channels for layer in convolutions[:4]] == [256, 512, 1024, 1024]
    motion, visual = torch.randn(2, 120, numbers), torch.randn(2, 1, 2048)
    with torch.no_grad():
        fused = encoder({"motion": motion, "visual": visual})
        parts = [encoder.motion(motion).mean(1), encoder.visual(visual).mean(1)]
        assert torch.allclose(fused[:, 0], encoder.mix(torch.cat(parts, dim=-1)), atol=1e-5)


def test_what_else_the_released_configurations_say():
    aist, tiktok = (settings(dataset, "as_released") for dataset in DANCES)
    assert (aist.media.clip_seconds, aist.download.clips) == (6, "authors")
    assert (aist.train.model.condition.genre_input, tiktok.media.clip_seconds) == (True, 2)
    assert (aist.negatives.intra, aist.negatives.chunks) == ("tokens", 8)
    for dataset in PICTURES:  # stretches of the row-major sequence, not patches
        own = settings(dataset, "as_released").negatives
        assert (own.intra, own.chunks) == ("sequence", 8)
        assert settings(dataset, "as_paper").negatives.intra == "pixels"
    for dataset in ("cub200", "coco"):
        assert {settings(dataset, name).sample.captions for name in NAMES} == {"all"}
    assert settings("cub200", "as_paper").extract.per_picture == 10


TWINS = {
    ("cub200", "coco"): {
        "contrast",
        "download.media_root",
        "download.year",
        "extract.per_picture",
        "train.batch_size",
        "train.epochs",
        "train.contrast.intra_weight",
        "train.contrast.inter_weight",
        "train.optimiser.learning_rate",
        "train.optimiser.plateau_patience",
    },
    ("aist", "tiktok"): {
        "contrast",
        "codec.objective",
        "codec.weights",
        "media.clip_seconds",
        "media.fps",
        "media.pose",
        "sample.sampling.steps",
        "train.batch_size",
        "train.contrast.intra_weight",
        "train.diffusion_steps",
        "train.model.condition.genre_input",
    },
}


@pytest.mark.parametrize("name", ["recommended", *NAMES])
@pytest.mark.parametrize("twins", TWINS)
def test_near_twins_differ_only_where_they_may(twins, name):
    files = [PARAMS / "presets" / dataset / f"{name}.yaml" for dataset in twins]
    one, other = (flat(YAML(typ="safe", pure=True).load(file)) for file in files)
    different = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    if twins == ("aist", "tiktok"):  # where files lie, and how their poses are read
        different = {key for key in different if not key.startswith(("download.", "extract.pose."))}
        different = {
            key
            for key in different
            if not key.startswith(("codec.objective", "codec.training", "codec.fine_tune"))
        }
    assert different <= TWINS[twins]
    assert not {key for key in one if key.startswith("evaluate") and one[key] != other[key]}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "params" / "presets" / "aist").mkdir(parents=True)
    for file in (PARAMS / "presets" / "aist").iterdir():
        (tmp_path / "params" / "presets" / "aist" / file.name).write_text(file.read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params" / "aist.yaml"


def command(*words):
    return CliRunner().invoke(app, ["preset", *words], catch_exceptions=False)


def test_a_preset_is_put_in_place_and_taken_back(checkout):
    for name in ("recommended", "as_paper", "as_released", "recommended"):
        assert command("aist", name).exit_code == 0
        assert checkout.read_text() == (PARAMS / "presets" / "aist" / f"{name}.yaml").read_text()


def test_an_edited_file_is_not_lost(checkout):
    command("aist", "recommended")
    edited = checkout.read_text().replace("seed: 0", "seed: 5")
    checkout.write_text(edited)
    with pytest.raises(UserError, match="edited"):
        command("aist", "as_paper")
    assert checkout.read_text() == edited
    command("aist", "as_paper", "--force")
    assert "layout: paper" in checkout.read_text()
    with pytest.raises(UserError, match="no preset 'as_written'"):
        command("aist", "as_written")
    with pytest.raises(UserError, match="no presets of 'digits'"):
        command("digits", "as_paper")
