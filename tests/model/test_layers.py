import pytest
import torch
from torch.nn import functional as F

from pipeline.model.layers import (
    GELU2,
    AdaLayerNorm,
    ConvFeedForward,
    CrossAttention,
    LearnedPositions,
    LinearFeedForward,
    SelfAttention,
    SinusoidPositions,
)
from pipeline.runtime.errors import UserError


def slow_attention(query, key, value, heads):
    """Attention head by head."""
    size = query.shape[-1] // heads
    parts = []
    for h in range(heads):
        q, k, v = (x[..., h * size : (h + 1) * size] for x in (query, key, value))
        parts.append((q @ k.mT / size**0.5).softmax(-1) @ v)
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize(("width", "heads"), [(24, 2), (32, 2), (36, 12), (64, 2)])
def test_attention_equals_its_slow_twin_at_every_head_size(width, heads):
    attention, x = SelfAttention(width, heads), torch.randn(2, 7, width, requires_grad=True)
    query, key, value = attention.qkv(x).chunk(3, -1)
    expected = attention.proj(slow_attention(query, key, value, heads))
    assert torch.allclose(attention(x), expected, atol=1e-5)
    gradients = [
        torch.autograd.grad(y.square().sum(), [x, *attention.parameters()])
        for y in (attention(x), expected)
    ]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("length", [1, 2, 5])
def test_cross_attention_equals_its_slow_twin_also_for_one_element(length):
    attention, x, condition = (
        CrossAttention(24, 2, 10),
        torch.randn(3, 7, 24),
        torch.randn(3, length, 10),
    )
    key, value = attention.kv(condition).chunk(2, -1)
    expected = attention.proj(slow_attention(attention.query(x), key, value, 2))
    context = attention.read(condition)
    found = attention(x, *context) if length > 1 else context[0].expand(-1, 7, -1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_adaptive_normalisation_and_its_table():
    norm, x, rows = AdaLayerNorm(6, 8), torch.randn(3, 5, 8), torch.tensor([0, 3, 5])
    scale, shift = norm.linear(F.silu(norm.emb(rows)))[:, None].chunk(2, -1)
    expected = F.layer_norm(x, (8,)) * (1 + scale) + shift
    assert torch.allclose(norm(x, norm.modulation(rows)), expected, atol=1e-6)
    assert torch.allclose(norm(x, norm.table()[rows]), expected, atol=1e-6)


def test_gelu2():
    x = torch.linspace(-8, 8, 101)
    assert torch.allclose(GELU2()(x), x * torch.sigmoid(1.702 * x), atol=1e-6)


@pytest.mark.parametrize("grid", [(3, 5), None])
def test_convolutions_see_the_grid_row_by_row(grid):
    network = ConvFeedForward(6, 2, grid)
    rows, columns = grid or (4, 4)
    x = torch.randn(2, rows * columns, 6)
    image = x.mT.reshape(2, 6, rows, columns).contiguous()
    expected = network.conv2(GELU2()(network.conv1(image))).flatten(2).mT
    assert torch.allclose(network(x), expected, atol=1e-5)
    with pytest.raises(UserError, match="do not fill"):
        network(torch.randn(2, rows * columns - 1, 6))


def test_learned_positions_follow_the_tables_own_width():
    positions = LearnedPositions((4, 8), 3)
    expected = [positions.rows.weight[p // 8] + positions.columns.weight[p % 8] for p in range(16)]
    assert torch.equal(positions(16), torch.stack(expected))
    with pytest.raises(UserError, match="4 x 8 positions"):
        positions(33)


def test_positions_of_one_row_reach_any_length():
    learned, fixed = LearnedPositions((1, 8), 4), SinusoidPositions((1, 8), 4)
    assert torch.equal(learned(20)[0], learned(8)[0])
    assert torch.allclose(learned(20)[-1], learned(8)[-1])
    assert torch.equal(fixed(20)[:8], fixed(8))


def test_fixed_positions_tell_rows_from_columns():
    vectors = SinusoidPositions((3, 4), 8)(12).view(3, 4, 8)
    assert torch.equal(vectors[0, :, :4], vectors[0, :1, :4].expand(4, 4))
    assert torch.equal(vectors[:, 0, 4:], vectors[:1, 0, 4:].expand(3, 4))
    assert torch.pdist(vectors.detach().flatten(0, 1)).min() > 0.1


@pytest.mark.parametrize("length", [31, 32], ids=["few tokens", "many tokens"])
def test_scales_folded_into_the_weights_are_the_same_network(length):
    network, x = LinearFeedForward(8, 3).double(), torch.randn(1, length, 8).double()
    widen, narrow = network[0], network[2]
    given = [x.requires_grad_(), *network.parameters()]
    assert list(network.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    wide = x @ widen.weight.T + widen.bias
    expected = (wide * torch.sigmoid(1.702 * wide)) @ narrow.weight.T + narrow.bias
    found = network(x)
    torch.testing.assert_close(found, expected)
    grad = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, given, grad),
        torch.autograd.grad(expected, given, grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
