"""Layers of the denoisers: embedding with positions, normalisation driven by the step, attention,
feed-forward networks.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.model.positions import resample, sinusoid
from pipeline.runtime.errors import UserError
from pipeline.runtime.products import products


class LearnedPositions(nn.Module):
    """A row table plus a column table; position p has row p // W and column p % W of the tables'
    own width W.

    Tables the size of the grid are correct 2-D positions; the class-conditional checkpoints hold 32
    x 32 tables for a 16 x 16 grid, so that two grid rows share one table row.
    """

    def __init__(self, table: tuple[int, int], width: int):
        super().__init__()
        self.rows = nn.Embedding(table[0], width)
        self.columns = nn.Embedding(table[1], width)

    def forward(self, length: int) -> Float[Tensor, "{length} width"]:
        """Vectors [length, width]; a single row of columns is stretched over a longer sequence."""
        n_rows, n_columns = self.rows.num_embeddings, self.columns.num_embeddings
        if length > n_rows * n_columns:
            if n_rows > 1:
                raise UserError(
                    f"The model knows {n_rows} x {n_columns} positions; {length} tokens do not fit."
                )
            return self.rows.weight + resample(self.columns.weight[None], length)[0]
        position = torch.arange(length, device=self.rows.weight.device)
        return self.rows(position // n_columns) + self.columns(position % n_columns)


class SinusoidPositions(nn.Module):
    """Fixed sines and cosines of the position, or of row and column by halves, under one learned
    amplitude: any length.
    """

    def __init__(self, grid: tuple[int, int], width: int):
        super().__init__()
        self.grid, self.width = grid, width
        self.amplitude = nn.Parameter(torch.ones(()))

    def forward(self, length: int) -> Float[Tensor, "{length} width"]:
        """Vectors [length, width]."""
        position = torch.arange(length, device=self.amplitude.device)
        if self.grid[0] == 1:
            return self.amplitude * sinusoid(position, self.width)
        row, column = position // self.grid[1], position % self.grid[1]
        half = self.width // 2
        return self.amplitude * torch.cat(
            [sinusoid(row, half), sinusoid(column, self.width - half)], dim=-1
        )


class GELU2(nn.Module):
    """x * sigmoid(1.702 x), the sigmoid form of GELU, by way of SiLU: one tensor less is kept for
    the backward pass.
    """

    SLOPE = 1.702

    def forward(self, x: Tensor) -> Tensor:
        """The activation of every element."""
        return F.silu(self.SLOPE * x).div_(self.SLOPE)


class AdaLayerNorm(nn.Module):
    """Layer normalisation whose scale and shift come from a table: a row for each step, or for each
    class.
    """

    def __init__(self, n_rows: int, width: int):
        super().__init__()
        self.emb = nn.Embedding(n_rows, width)
        self.linear = nn.Linear(width, 2 * width)

    def table(self) -> Tensor:
        """The (scale, shift) of every row, [n_rows, 2 width]."""
        return self.linear(F.silu(self.emb.weight))

    def modulation(self, row: Tensor) -> Tensor:
        """The (scale, shift) of the given rows [B], as [B, 2 width]."""
        return self.linear(F.silu(self.emb(row)))

    def forward(
        self, x: Float[Tensor, "B L width"], modulation: Float[Tensor, "B width2"]
    ) -> Float[Tensor, "B L width"]:
        """The tokens x [B, L, width] normalised, scaled and shifted by a modulation [B, 2
        width].
        """
        scale, shift = modulation[:, None].chunk(2, dim=-1)
        return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)


def to_heads(
    weight: Float[Tensor, "out C"],
    bias: Float[Tensor, " out"],
    x: Float[Tensor, "B S C"],
    heads: int,
    parts: int,
) -> tuple[Float[Tensor, "B {heads} S d"], ...]:
    """`parts` tensors [B, heads, S, d] from one fused projection of x [B, S, C].

    d is the head size filled up with zeros to a multiple of 16, where the attention kernels are
    fast: the weights are filled up, which is cheaper than filling up what they produce and changes
    no dot product.
    """
    size = len(weight) // (parts * heads)
    fill = -size % 16
    if fill:
        weight = F.pad(weight.view(parts * heads, size, -1), (0, 0, 0, fill)).flatten(0, 1)
        bias = F.pad(bias.view(parts * heads, size), (0, fill)).flatten()
    y = products.linear(x, weight, bias).unflatten(-1, (parts, heads, size + fill))
    return y.permute(2, 0, 3, 1, 4).unbind(0)


def attend(
    query: Float[Tensor, "B heads L d"],
    key: Float[Tensor, "B heads S d"],
    value: Float[Tensor, "B heads S d"],
    proj: nn.Linear,
) -> Float[Tensor, "B L width"]:
    """proj(softmax(q k / sqrt(size)) v) [B, L, width] of heads made by `to_heads`."""
    heads, filled = query.shape[1], query.shape[3]
    size = proj.in_features // heads
    y = (
        F.scaled_dot_product_attention(query, key, value, scale=1 / math.sqrt(size))
        .transpose(1, 2)
        .flatten(2)
    )
    weight = proj.weight
    if filled > size:
        weight = F.pad(weight.view(-1, heads, size), (0, filled - size)).flatten(1)
    return products.linear(y, weight, proj.bias)


def take(x: Float[Tensor, "B L width"], at: Int[Tensor, "B m"]) -> Float[Tensor, "B m width"]:
    """The rows [B, m, width] of x [B, L, width] at the positions `at` [B, m]."""
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[2]))


class SelfAttention(nn.Module):
    """Full attention among the tokens; query, key and value are one projection."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "B L width"], at: Int[Tensor, "B m"] | None = None
    ) -> Float[Tensor, "B n width"]:
        """What the tokens x [B, L, width] add to themselves, or to those at the positions `at` [B,
        m] only.
        """
        weight, bias = self.qkv.weight, self.qkv.bias
        if at is None:
            query, key, value = to_heads(weight, bias, x, self.heads, 3)
            return attend(query, key, value, self.proj)
        width = x.shape[2]
        (query,) = to_heads(weight[:width], bias[:width], take(x, at), self.heads, 1)
        key, value = to_heads(weight[width:], bias[width:], x, self.heads, 2)
        return attend(query, key, value, self.proj)


class CrossAttention(nn.Module):
    """Attention from the tokens to the condition; padding positions of a caption are attended to,
    as they always were.
    """

    def __init__(self, width: int, heads: int, condition_width: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.kv = nn.Linear(condition_width, 2 * width)
        self.proj = nn.Linear(width, width)

    def read(self, condition: Float[Tensor, "B S C"]) -> tuple[Tensor, ...]:
        """(keys, values) of a condition [B, S, C], or (what every token receives [B, 1, width],)
        where S = 1.

        A softmax over one key is 1, so a single element needs neither query nor key: the answer is
        proj(value).
        """
        if condition.shape[1] > 1:
            return to_heads(self.kv.weight, self.kv.bias, condition, self.heads, 2)
        weight, bias = self.kv.weight.chunk(2)[1], self.kv.bias.chunk(2)[1]
        return (self.proj(F.linear(condition, weight, bias)),)

    def forward(
        self,
        x: Float[Tensor, "B L width"],
        key: Float[Tensor, "B heads S d"],
        value: Float[Tensor, "B heads S d"],
    ) -> Float[Tensor, "B L width"]:
        """What the tokens x [B, L, width] find in keys and values of `read`."""
        (query,) = to_heads(self.query.weight, self.query.bias, x, self.heads, 1)
        return attend(query, key, value, self.proj)


class ConvFeedForward(nn.Module):
    """Two 3 x 3 convolutions over the grid of tokens, channels last: tokens [B, h * w, width] need
    no copy to become images.
    """

    def __init__(self, width: int, factor: int, grid: tuple[int, int] | None):
        super().__init__()
        self.grid = grid
        self.conv1 = nn.Conv2d(width, factor * width, 3, padding=1)
        self.act = GELU2()
        self.conv2 = nn.Conv2d(factor * width, width, 3, padding=1)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """The network's answer [B, L, width]; raises UserError when L tokens do not fill the
        grid.
        """
        grid = self.grid or (math.isqrt(x.shape[1]),) * 2
        if math.prod(grid) != x.shape[1]:
            raise UserError(
                f"The model draws grids of {grid[0]} x {grid[1]} tokens; {x.shape[1]} tokens do not"
                " fill one."
            )
        wide = self.act(
            products.convolution(x.unflatten(1, grid), self.conv1.weight, self.conv1.bias)
        )
        return products.convolution(wide, self.conv2.weight, self.conv2.bias).flatten(1, 2)


class Linear(nn.Linear):
    """`nn.Linear` by the products in use."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., out_features] of x [..., in_features]."""
        return products.linear(input, self.weight, self.bias)


class LinearFeedForward(nn.Sequential):
    """Linear, GELU2, Linear with `factor` times the width between.

    Where the tokens outnumber the weights' rows, GELU2's two scales go into the weights, which are
    then the smaller of the two: the same numbers, and the widest tensor is passed over once.
    """

    def __init__(self, width: int, factor: int):
        super().__init__(Linear(width, factor * width), GELU2(), Linear(factor * width, width))

    def forward(self, input: Tensor) -> Tensor:
        """The network's answer [..., width] to tokens [..., width]."""
        widen, narrow = self[0], self[2]
        if input.shape[:-1].numel() < 4 * input.shape[-1]:
            return super().forward(input)
        wide = F.silu(products.linear(input, GELU2.SLOPE * widen.weight, GELU2.SLOPE * widen.bias))
        return products.linear(wide, narrow.weight / GELU2.SLOPE, narrow.bias)
