import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.codecs.jukebox import PUBLISHED, JukeboxArchitecture, JukeboxVQVAE
from pipeline.codecs.windows import inputs_of
from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_about

FIXTURE = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "jukebox_vqvae.pt"
needs_fixture = pytest.mark.skipif(
    not FIXTURE.exists(), reason="../shared/fixtures is not beside this checkout"
)

SMALL = JukeboxArchitecture(
    sample_rate=8000,
    strides=((2, 2), (2,)),
    width=(8, 6),
    depth=(2, 3),
    dilation_growth=3,
    dimension=5,
    n_codes=7,
)
TOY = JukeboxArchitecture(
    sample_rate=11025,
    strides=((8, 4, 2),),
    width=(8,),
    depth=(2,),
    dilation_growth=3,
    dimension=4,
    n_codes=16,
)


def made(architecture, level=-1, seed=0):
    torch.manual_seed(seed)
    codec = JukeboxVQVAE(architecture, level)
    for codebook in codec.bottleneck["level_blocks"]:
        codebook.k.normal_(std=0.2)
    with torch.no_grad():  # codewords among the latents, so that many of them occur
        latents = codec.latent(torch.randn(1, codec.hop * architecture.n_codes) * 0.3)[0].T
        codec.quantiser.k.copy_(latents)
    return codec.eval()


def published_table():
    """The key table of the published state dict, from its rule: names and shapes."""
    table = {}
    downs = (3, 2, 2)

    def convolution(name, *shape, outputs=None):
        table[f"{name}.weight"], table[f"{name}.bias"] = shape, (outputs or shape[0],)

    for level, (width, depth) in enumerate(zip((64, 32, 32), (8, 4, 4))):
        table[f"bottleneck.level_blocks.{level}.k"] = (2048, 64)
        for b in range(level + 1):
            encoder, decoder = (
                f"encoders.{level}.level_blocks.{b}.model",
                f"decoders.{level}.level_blocks.{b}.model",
            )
            for i in range(downs[b]):
                inputs = width if i else 64 if b else 1
                convolution(f"{encoder}.{i}.0", width, inputs, 4)
                outputs = 64 if i + 1 == downs[b] else width
                convolution(f"{decoder}.{i + 1}.1", width, outputs, 4, outputs=outputs)
                for d in range(depth):
                    for at, size in ((1, 3), (3, 1)):
                        convolution(f"{encoder}.{i}.1.model.{d}.model.{at}", width, width, size)
                        convolution(f"{decoder}.{i + 1}.0.model.{d}.model.{at}", width, width, size)
            convolution(f"{encoder}.{downs[b]}", 64, width, 3)
            convolution(f"{decoder}.0", width, 64, 3)
        convolution(f"decoders.{level}.out", 1, 64, 3)
    return table


def test_full_size_state_dict_has_the_published_keys_and_shapes():
    with torch.device("meta"):
        own = {
            name: tuple(tensor.shape)
            for name, tensor in JukeboxVQVAE(PUBLISHED).state_dict().items()
        }
    assert own == published_table()
    assert len(own) == 669
    assert sum(torch.Size(shape).numel() for shape in own.values()) == 1_878_979


@pytest.mark.parametrize(
    ("seconds", "lengths"),
    [(2, (5512, 1378, 344)), (4, (11025, 2756, 689)), (6, (16537, 4134, 1033))],
)
def test_lengths_are_the_published_ones(seconds, lengths):
    assert tuple(seconds * 22050 // PUBLISHED.hop(level) for level in range(3)) == lengths
    with torch.device("meta"):
        codec = JukeboxVQVAE(PUBLISHED)
        latent = codec.latent(torch.empty(1, seconds * 22050))
        assert latent.shape[2] == lengths[2]
        assert codec.synthesise(latent).shape[1] == lengths[2] * 128


@needs_fixture
@pytest.mark.parametrize("level", [0, 1, 2])
def test_original_network_is_matched(level):
    reference = torch.load(FIXTURE, weights_only=True)
    codec = JukeboxVQVAE.load(FIXTURE, level=level)
    assert torch.equal(codec.encode(reference["waveform"]), reference["tokens"][level])
    expected = reference["decoded"][level]
    decoded = codec.decode(reference["tokens"][level])
    assert (decoded - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_the_top_level_costs_less_than_a_third_of_all_levels():
    def cost(level):
        with torch.device("meta"):
            codec, waveform = JukeboxVQVAE(PUBLISHED, level), torch.empty(1, 22050)
        with FlopCounterMode(display=False) as counter:
            codec.synthesise(codec.latent(waveform))
        return counter.get_total_flops()

    assert 3 * cost(2) <= cost(0) + cost(1) + cost(2)


@pytest.mark.parametrize(("architecture", "level"), [(SMALL, 0), (SMALL, 1), (TOY, 0)])
def test_reach_is_what_gradients_show(architecture, level):
    codec = made(architecture, level)
    hop, at = codec.hop, 40
    with torch.no_grad():  # positive weights, so that no influence cancels and no ReLU closes
        for parameter in codec.parameters():
            parameter.abs_()
    waveform = torch.rand(1, hop * 80).requires_grad_()
    (gradient,) = torch.autograd.grad(codec.latent(waveform)[0, :, at].sum(), waveform)
    seen = gradient[0].nonzero()
    first, last = inputs_of(codec.encoder.convolutions(), 0, 0)
    assert (seen.min(), seen.max()) == (at * hop + first, at * hop + last)
    latent = torch.rand(1, architecture.dimension, 80).requires_grad_()
    (gradient,) = torch.autograd.grad(
        codec.synthesise(latent)[0, at * hop : (at + 1) * hop].sum(), latent
    )
    seen = gradient[0].sum(0).nonzero()
    first, last = inputs_of(codec.decoder.convolutions(), 0, hop - 1)
    assert (seen.min(), seen.max()) == (at + first, at + last)


@pytest.mark.parametrize(("architecture", "level"), [(SMALL, 0), (SMALL, 1), (TOY, 0)])
@pytest.mark.parametrize("length", [64, 777, 2000])
@pytest.mark.parametrize("samples_at_once", [64, 100, 513])
def test_windows_equal_the_whole(architecture, level, length, samples_at_once):
    codec = made(architecture, level)
    waveform = torch.randn(3, length, generator=torch.Generator().manual_seed(length)) * 0.3
    whole, pieces = (
        codec.encode(waveform, samples_at_once=10**6),
        codec.encode(waveform, samples_at_once=samples_at_once),
    )
    assert whole.shape == (3, length // codec.hop)
    assert length < 100 or whole.unique().numel() > 1
    assert torch.equal(whole, pieces)
    torch.testing.assert_close(
        codec.decode(whole, 10**6), codec.decode(whole, samples_at_once), rtol=0, atol=1e-6
    )


def test_windows_equal_the_whole_at_the_published_sizes():
    codec = made(PUBLISHED, 2, seed=3)
    waveform = torch.randn(1, 500_001, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert torch.equal(codec.encode(waveform), codec.encode(waveform, 10**7))


def test_memory_does_not_grow_with_the_length():
    """45 s in one piece would take about 250 MB more than the network itself."""
    script = """
import resource, torch
from pipeline.codecs.jukebox import PUBLISHED, JukeboxVQVAE
torch.set_num_threads(1)
codec, waveform = JukeboxVQVAE(PUBLISHED, 2), torch.zeros(1, 45 * 22050)
codec.decode(codec.encode(waveform[:, :22050]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codec.decode(codec.encode(waveform, 2**16)[:, :2000], 2**16)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 100


@pytest.mark.parametrize("wrap", ["module.", "bare", "model"])
def test_all_file_layouts_are_read(tmp_path, monkeypatch, wrap):
    monkeypatch.setattr("pipeline.codecs.jukebox.PUBLISHED", SMALL)
    codec = made(SMALL)
    state = codec.state_dict()
    match wrap:
        case "module.":
            state = {
                "model": {f"module.{name}": tensor for name, tensor in state.items()},
                "step": 5,
            }
        case "model":
            state = {"model": state}
    torch.save(state, tmp_path / "vqvae.pt")
    loaded = JukeboxVQVAE.load(tmp_path / "vqvae.pt", level=1)
    waveform = torch.randn(1, 400)
    assert torch.equal(loaded.encode(waveform), codec.encode(waveform))
    assert loaded.provenance["weights"] == "published"
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_saved_codec_comes_back_whole(tmp_path):
    codec = made(TOY)
    codec.save(tmp_path / "codec.safetensors", {"weights": "trained here"})
    loaded = JukeboxVQVAE.load(tmp_path / "codec.safetensors")
    assert (loaded.architecture, loaded.level, loaded.hop, loaded.sample_rate) == (
        TOY,
        0,
        64,
        11025,
    )
    assert loaded.provenance["weights"] == "trained here"
    assert len(loaded.provenance["sha256"]) == 64
    assert read_about(tmp_path / "codec.safetensors")["class"] == "JukeboxVQVAE"
    waveform = torch.randn(2, 640)
    assert torch.equal(loaded.encode(waveform), codec.encode(waveform))
    codec.save(tmp_path / "again.safetensors", {"weights": "trained here"})
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "codec.safetensors"
    ).read_bytes()


def test_other_files_are_told(tmp_path):
    torch.save({"something.weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(
        UserError, match=r"other.pt does not hold this VQ-VAE: 669 tensors are missing"
    ):
        JukeboxVQVAE.load(tmp_path / "other.pt")
    with pytest.raises(UserError, match="does not exist"):
        JukeboxVQVAE.load(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("waveform", "sentence"),
    [
        (torch.zeros(2, 1, 100), "batch, samples"),
        (torch.zeros(1, 63), "shorter than one code"),
        (torch.full((1, 100), torch.nan), "not numbers"),
    ],
)
def test_waveforms_that_make_no_sense_are_refused(waveform, sentence):
    with pytest.raises(UserError, match=sentence):
        made(TOY).encode(waveform)


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [([[0, 16]], "0 to 15"), ([[-1, 3]], "run from -1"), ([3, 4], "batch, length")],
)
def test_codes_that_make_no_sense_are_refused(codes, sentence):
    with pytest.raises(UserError, match=sentence):
        made(TOY).decode(torch.tensor(codes))


@pytest.mark.parametrize(
    ("changes", "level"), [({"strides": ((3,),)}, -1), ({"width": (8, 8)}, -1), ({}, 1), ({}, -2)]
)
def test_architectures_that_make_no_sense_are_refused(changes, level):
    with pytest.raises(UserError):
        JukeboxVQVAE(TOY.model_copy(update=changes), level)
