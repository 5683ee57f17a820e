from pathlib import Path

import pytest
import torch

from pipeline.codecs.used_codes import UsedCodes
from pipeline.codecs.vqgan import F8_GUMBEL, F16, VQGAN, VQGANArchitecture
from pipeline.codecs.vqgan_layers import Sizes
from pipeline.runtime.errors import UserError

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures"
needs_fixtures = pytest.mark.skipif(
    not FIXTURES.exists(), reason="../shared/fixtures is not beside this checkout"
)


def small(quantiser="nearest", **changes):
    sizes = Sizes(
        double_z=False,
        z_channels=6,
        resolution=16,
        in_channels=3,
        out_ch=3,
        ch=8,
        ch_mult=(1, 2),
        num_res_blocks=1,
        attn_resolutions=(8,),
        dropout=0.0,
    )
    return VQGANArchitecture(
        quantiser=quantiser, embed_dim=6, n_embed=12, ddconfig=sizes.model_copy(update=changes)
    )


def made(quantiser="nearest", used_codes=None):
    torch.manual_seed(0)
    return VQGAN(small(quantiser), used_codes).eval()


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def published_table(mult, quantiser):
    """The key table of a published state dict, from its rule: names and shapes."""
    table, widths = {}, [128 * m for m in mult]

    def gn(name, c):
        table[f"{name}.weight"] = table[f"{name}.bias"] = (c,)

    def cv(name, o, i, k):
        table[f"{name}.weight"], table[f"{name}.bias"] = (o, i, k, k), (o,)

    def res(name, i, o):
        (
            gn(f"{name}.norm1", i),
            cv(f"{name}.conv1", o, i, 3),
            gn(f"{name}.norm2", o),
            cv(f"{name}.conv2", o, o, 3),
        )
        if i != o:
            cv(f"{name}.nin_shortcut", o, i, 1)

    def att(name, c):
        gn(f"{name}.norm", c)
        for part in ("q", "k", "v", "proj_out"):
            cv(f"{name}.{part}", c, c, 1)

    n, c = len(mult), 128
    cv("encoder.conv_in", 128, 3, 3)
    for level, width in enumerate(widths):
        for block in range(2):
            res(f"encoder.down.{level}.block.{block}", c, width)
            c = width
            if level == n - 1:
                att(f"encoder.down.{level}.attn.{block}", c)
        if level < n - 1:
            cv(f"encoder.down.{level}.downsample.conv", c, c, 3)
    for half in ("encoder", "decoder"):
        (
            res(f"{half}.mid.block_1", 512, 512),
            att(f"{half}.mid.attn_1", 512),
            res(f"{half}.mid.block_2", 512, 512),
        )
    (
        gn("encoder.norm_out", 512),
        cv("encoder.conv_out", 256, 512, 3),
        cv("decoder.conv_in", 512, 256, 3),
    )
    for level in reversed(range(n)):
        for block in range(3):
            res(f"decoder.up.{level}.block.{block}", c, widths[level])
            c = widths[level]
            if level == n - 1:
                att(f"decoder.up.{level}.attn.{block}", c)
        if level > 0:
            cv(f"decoder.up.{level}.upsample.conv", c, c, 3)
    gn("decoder.norm_out", 128), cv("decoder.conv_out", 3, 128, 3)
    cv("quant_conv", 256, 256, 1), cv("post_quant_conv", 256, 256, 1)
    if quantiser == "gumbel":
        cv("quantize.proj", 8192, 256, 1)
        table["quantize.embed.weight"] = (8192, 256)
    else:
        table["quantize.embedding.weight"] = (16384, 256)
    return table


@pytest.mark.parametrize(
    ("architecture", "mult", "tensors", "numbers"),
    [(F8_GUMBEL, (1, 1, 2, 4), 301, 68_995_971), (F16, (1, 1, 2, 2, 4), 343, 76_073_859)],
    ids=["f8", "f16"],
)
def test_full_size_state_dicts_have_the_published_keys_and_shapes(
    architecture, mult, tensors, numbers
):
    with torch.device("meta"):
        own = {
            name: tuple(tensor.shape) for name, tensor in VQGAN(architecture).state_dict().items()
        }
    assert own == published_table(mult, architecture.quantiser)
    assert len(own) == tensors
    assert sum(torch.Size(shape).numel() for shape in own.values()) == numbers


@needs_fixtures
@pytest.mark.parametrize("name", ["vqgan_f8_gumbel", "vqgan_f16"])
def test_original_networks_are_matched(name):
    path = FIXTURES / f"{name}.pt"
    reference = torch.load(path, weights_only=True)
    codec = VQGAN.load(path, config=reference["config"])
    images = reference["images_uint8"].float() / 255
    torch.testing.assert_close(codec.latent(images), reference["latent"], rtol=0, atol=1e-4)
    assert torch.equal(codec.encode(images), reference["tokens"])
    torch.testing.assert_close(
        codec.decode(reference["tokens"]), reference["decoded_clamped01"], rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("quantiser", ["nearest", "gumbel"])
def test_lightning_files_and_yaml_configs_are_read(tmp_path, quantiser):
    codec = made(quantiser)
    state = {**codec.state_dict(), "loss.perceptual_loss.lin0.weight": torch.ones(3)}
    torch.save({"state_dict": state, "epoch": 3, "callbacks": {}}, tmp_path / "last.ckpt")
    sizes = (
        "{double_z: False, z_channels: 6, resolution: 16, in_channels: 3, out_ch: 3, ch: 8,"
        " ch_mult: [1, 2],"
    )
    (tmp_path / "model.yaml").write_text(
        "model:\n  base_learning_rate: 4.5e-06\n  target: taming.models.vqgan.VQModel\n  params:\n"
        f"    embed_dim: 6\n    n_embed: 12\n    ddconfig: {sizes} num_res_blocks: 1,"
        " attn_resolutions: [8], dropout: 0.0}\n    lossconfig: {target: x}\n"
    )
    loaded = VQGAN.load(tmp_path / "last.ckpt", config=tmp_path / "model.yaml")
    images = pictures(2, 3, 16, 16)
    assert torch.equal(loaded.encode(images), codec.encode(images))


def test_a_file_of_other_sizes_asks_for_its_yaml(tmp_path):
    torch.save(made().state_dict(), tmp_path / "x.pt")
    with pytest.raises(
        UserError, match=r"x.pt does not hold a VQ-GAN of these sizes.*give the yaml"
    ):
        VQGAN.load(tmp_path / "x.pt")
    with pytest.raises(UserError, match="embed_dim is missing"):
        VQGAN.load(
            tmp_path / "x.pt", config={"n_embed": 12, "ddconfig": small().ddconfig.model_dump()}
        )


def test_images_come_back_as_images_and_oblong_ones_need_their_grid():
    codec, images = made(), pictures(2, 3, 16, 24)
    tokens = codec.encode(images)
    assert tokens.shape == (2, 8 * 12)
    output = codec.decode(tokens, grid=(8, 12))
    assert output.shape == images.shape
    assert output.min() >= 0
    assert output.max() <= 1
    with pytest.raises(UserError, match=r"grid of 9 x 9"):
        codec.decode(tokens)


def test_tokens_are_row_major():
    codec, images = made(), pictures(1, 3, 16, 16)
    latent = codec.latent(images)
    at = codec.encode(images)[0, 8 * 2 + 5]
    assert at == codec.quantiser.codes(latent[:, :, 2, 5])[0]


def test_a_batch_in_parts_equals_the_whole(monkeypatch):
    codec, images = made(), pictures(5, 3, 16, 16)
    whole = codec.encode(images)
    monkeypatch.setattr("pipeline.codecs.vqgan.PIXELS_AT_ONCE", 600)
    assert torch.equal(codec.encode(images), whole)
    torch.testing.assert_close(
        codec.decode(whole), torch.cat([codec.decode(row[None]) for row in whole])
    )


def test_gumbel_tokens_are_the_arg_max_and_drawn_only_when_asked():
    codec, images = made("gumbel"), pictures(1, 3, 16, 16)
    latent = codec.latent(images)
    logits = codec.quantize.proj(latent)
    assert torch.equal(codec.encode(images), logits.argmax(1).flatten(1))
    draws = torch.stack(
        [codec.encode(images, torch.Generator().manual_seed(n))[0] for n in range(400)]
    )
    assert torch.equal(draws[7], codec.encode(images, torch.Generator().manual_seed(7))[0])
    share = (draws == 3).float().mean()
    assert share == pytest.approx(float(logits.softmax(1)[0, 3].mean()), abs=0.01)
    with pytest.raises(UserError, match="Only a Gumbel"):
        made().encode(images, torch.Generator())


def test_a_published_table_of_used_codes_goes_both_ways():
    used = UsedCodes.from_table(torch.tensor([0, 0, 0, 1, 0, 2, 0, 3]))
    assert used.full.tolist() == [0, 3, 5, 7]
    assert used.restrict(torch.tensor([[3, 4], [7, 0]])).tolist() == [[1, 0], [3, 0]]
    assert used.expand(torch.tensor([0, 1, 2, 3])).tolist() == [0, 3, 5, 7]
    with pytest.raises(UserError, match="without a gap"):
        UsedCodes.from_table(torch.tensor([0, 2]))


def test_used_codes_of_a_dataset_send_strangers_to_their_nearest_neighbour():
    codebook = torch.tensor([[0.0], [1.0], [2.1], [9.0], [10.0]])
    used = UsedCodes.from_dataset([torch.tensor([[4, 1]]), torch.tensor([[1, 1]])], codebook)
    assert used.full.tolist() == [1, 4]
    assert used.restrict(torch.arange(5)).tolist() == [0, 0, 0, 1, 1]
    assert used.restrict(used.expand(torch.arange(2))).tolist() == [0, 1]


def test_a_restricted_codec_speaks_restricted_codes(tmp_path):
    full, images = made(), pictures(2, 3, 16, 16)
    tokens = full.encode(images)
    used = UsedCodes.from_dataset([tokens], full.quantiser.table)
    codec = made(used_codes=used)
    assert codec.n_codes == tokens.unique().numel() < 12
    assert torch.equal(codec.used_codes.expand(codec.encode(images)), tokens)
    torch.testing.assert_close(codec.decode(codec.encode(images)), full.decode(tokens))
    assert set(codec.state_dict()) == set(full.state_dict())

    codec.save(tmp_path / "codec.safetensors", {"weights": "trained here"})
    loaded = VQGAN.load(tmp_path / "codec.safetensors")
    assert loaded.n_codes == codec.n_codes
    assert torch.equal(loaded.encode(images), codec.encode(images))

    torch.save(used.restricted, tmp_path / "table.pt")
    torch.save(full.state_dict(), tmp_path / "vqgan.pt")
    config = small().model_dump(exclude={"quantiser"})
    for given in (tmp_path / "table.pt", used.restricted):
        loaded = VQGAN.load(tmp_path / "vqgan.pt", config=config, used_codes=given)
        assert torch.equal(loaded.encode(images), used.restricted[tokens])
    with pytest.raises(UserError, match="for 3 codes; this VQ-GAN has 12"):
        VQGAN.load(tmp_path / "vqgan.pt", config=config, used_codes=torch.tensor([0, 1, 2]))


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (torch.zeros(1, 3, 15, 16), "multiples of 2"),
        (torch.zeros(1, 1, 16, 16), "batch, 3"),
        (torch.full((1, 3, 16, 16), 255.0), "divide 8-bit"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "floats"),
        (torch.full((1, 3, 16, 16), torch.nan), "floats in"),
    ],
)
def test_images_that_make_no_sense_are_refused(images, sentence):
    with pytest.raises(UserError, match=sentence):
        made().encode(images)


def test_architectures_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="double_z"):
        VQGAN(small(double_z=True))
    with pytest.raises(UserError, match="embed_dim 6 equal to z_channels 8"):
        VQGAN(small("gumbel", z_channels=8))
