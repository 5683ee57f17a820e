"""Products by way of oneDNN are the same products."""

import pytest
import torch
from torch.nn import functional as F

from pipeline.model.layers import ConvFeedForward, Linear, LinearFeedForward, SelfAttention
from pipeline.runtime import cpu
from pipeline.runtime.cpu import convolution, linear, linear_gradients
from pipeline.runtime.processor import Processor
from pipeline.runtime.products import Products, products


@pytest.fixture(autouse=True)
def _plain_products():
    cpu.use_products("torch")
    yield
    cpu.use_products("torch")


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("shape", [(7,), (2, 5), (2, 3, 4), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_its_gradients(shape, bias):
    x, weight, grad = torch.randn(*shape, 24), torch.randn(10, 24), torch.randn(*shape, 10)
    given = [part.requires_grad_() for part in (x, weight, *([torch.randn(10)] if bias else []))]
    exact = [part.detach().double().requires_grad_() for part in given]
    found, expected = linear(*given[:2], given[2] if bias else None), F.linear(*exact)
    assert found.shape == expected.shape
    assert_same([found], [expected])
    expected = torch.autograd.grad(expected, exact, grad.double())
    assert_same(torch.autograd.grad(found, given, grad), expected)
    flat = linear_gradients(grad.flatten(0, -2), x.detach().flatten(0, -2), weight.detach())
    assert_same(flat, [expected[0].flatten(0, -2), expected[1]])


@pytest.mark.parametrize("few", [1, 10_000], ids=["unfolded", "plain"])
@pytest.mark.parametrize(
    ("n", "m"), [(8, 24), (24, 8), (12, 12)], ids=["widening", "narrowing", "even"]
)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_convolutions_and_their_gradients(monkeypatch, few, n, m, layout):
    monkeypatch.setattr(cpu, "FEW", few / (2 * 3 * 5))
    calls, real = [], cpu._Convolution.apply
    monkeypatch.setattr(
        cpu._Convolution, "apply", lambda *given: calls.append(given) or real(*given)
    )
    weight = torch.randn(m, n, 3, 3).to(memory_format=layout)
    given = [part.requires_grad_() for part in (torch.randn(2, 3, 5, n), weight, torch.randn(m))]
    exact = [part.detach().double().requires_grad_() for part in given]
    found = convolution(*given)
    expected = F.conv2d(exact[0].permute(0, 3, 1, 2), *exact[1:], padding=1).permute(0, 2, 3, 1)
    assert_same([found], [expected])
    grad = torch.randn(2, m, 3, 5).permute(0, 2, 3, 1)
    assert_same(
        torch.autograd.grad(found, given, grad), torch.autograd.grad(expected, exact, grad.double())
    )
    assert len(calls) == (few == 1)


def test_under_autocast_and_in_double_precision_pytorch_multiplies():
    layer, x = Linear(4, 3), torch.randn(2, 4)
    assert cpu.use_products("onednn") == "onednn"
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.double()(x.double()).dtype == torch.float64
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(linear(x, layer.weight.float(), None), F.linear(x, layer.weight.float()))


def test_the_private_operators_of_torch_are_still_there():
    assert cpu.fast_products_exist(), (
        "this torch has no oneDNN products; the stages multiply plainly and are slower on AMD"
    )


def networks():
    torch.manual_seed(0)
    return [SelfAttention(24, 3), LinearFeedForward(24, 2), ConvFeedForward(24, 2, (2, 4))]


def test_networks_are_plain_torch_until_a_stage_puts_the_fast_products_in(monkeypatch):
    monkeypatch.setattr(cpu, "FEW", 0)
    calls, real = [], torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(
        cpu, "_product", lambda x, w, b=None: calls.append(1) or real(x, w, b, "none", [], "")
    )
    x = torch.randn(2, 8, 24)
    plain = [network(x) for network in networks()]
    assert products == Products()
    assert not calls
    assert cpu.use_products("onednn") == "onednn"
    for network, expected in zip(networks(), plain, strict=True):
        before = len(calls)
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=3e-5)
        assert len(calls) > before


def test_without_the_operators_the_products_stay_plain(monkeypatch):
    monkeypatch.setattr(cpu, "fast_products_exist", lambda: False)
    assert cpu.use_products("onednn") == "torch"
    assert products == Products()


def test_run_yaml_goes_before_the_table(monkeypatch, tmp_path):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    monkeypatch.setattr(cpu, "processor", lambda: Processor("AuthenticAMD", "avx2"))
    assert cpu.choose_products() == products.name == "onednn"
    (tmp_path / "run.yaml").write_text("products: torch\n")
    assert cpu.choose_products() == products.name == "torch"
