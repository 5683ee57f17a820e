"""The denoising transformers: tokens x_t, step t and condition in, features for the prediction of
x_0 out.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.model.condition import Condition, Prepared
from pipeline.model.layers import (
    AdaLayerNorm,
    ConvFeedForward,
    CrossAttention,
    LearnedPositions,
    Linear,
    LinearFeedForward,
    SelfAttention,
    SinusoidPositions,
    take,
)
from pipeline.model.positions import resample
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Rate, Section, Share, Width


class DenoiserConfig(Section):
    """The transformer.

    In the paper, with 16 heads: 19 x 1024, linear x 4 (music); 18 x 192, conv x 2 (text); 24 x 512,
    conv x 4 (class).
    """

    layers: Width
    width: Width
    heads: Width
    feed_forward: Literal["linear", "conv"]
    factor: Width
    positions: Literal["learned", "sinusoid"] = "learned"
    zero_init: bool
    """Every block starts as the identity: modulations and the last layer of each residual branch
    start at zero.
    """
    init_std: Rate | None = None
    """Of the weights at the start (the paper's code: 0.02); null: 0.64 / sqrt(width), which is that
    at width 1024, and lets narrow networks learn faster.
    """
    codebook_share: Share = 0.0
    """How much of a token's embedding at the start tells its codeword: so much of its variance is a
    random projection of the codec's codeword, the rest is the token's own. Above 0 the output layer
    starts as a copy of the embeddings, so that from the first step a seen token predicts itself and
    the codes near it. With many codes and few clips that is what a training would learn last.
    """


def feed_forward(config: DenoiserConfig, grid: tuple[int, int] | None) -> nn.Module:
    """The feed-forward network of one block."""
    if config.feed_forward == "conv":
        return ConvFeedForward(config.width, config.factor, grid)
    return LinearFeedForward(config.width, config.factor)


def _positions(
    config: DenoiserConfig, grid: tuple[int, int] | None, table: tuple[int, int] | None
) -> LearnedPositions | SinusoidPositions:
    """Where tokens are told their place; a grid that any length fills has learned tables."""
    if config.positions == "learned":
        size = table or grid
        assert size is not None, "learned positions have a size"
        return LearnedPositions(size, config.width)
    assert grid is not None, "sinusoids need rows and columns"
    return SinusoidPositions(grid, config.width)


Context = tuple[Tensor, ...]


class CrossBlock(nn.Module):
    """Self-attention, attention to the condition, feed-forward; the first two are normalised under
    the step t.
    """

    def __init__(
        self,
        config: DenoiserConfig,
        n_steps: int,
        grid: tuple[int, int] | None,
        condition_width: int,
    ):
        super().__init__()
        self.norm1 = AdaLayerNorm(n_steps, config.width)
        self.attention = SelfAttention(config.width, config.heads)
        self.norm_cross = AdaLayerNorm(n_steps, config.width)
        self.cross = CrossAttention(config.width, config.heads, condition_width)
        self.norm2 = nn.LayerNorm(config.width)
        self.feed_forward = feed_forward(config, grid)

    def read(self, condition: Tensor) -> tuple[Tensor, ...]:
        """What the block needs of the condition [B, S, C], whatever the tokens are."""
        return self.cross.read(condition)

    def step_tables(self) -> tuple[Tensor, ...]:
        """(scale, shift) [T, 2 width] of each normalisation under t."""
        return self.norm1.table(), self.norm_cross.table()

    def forward(
        self,
        x: Float[Tensor, "B L width"],
        step: Int[Tensor, " B"],
        context: Context,
        tables: Context | None,
        at: Int[Tensor, "B m"] | None = None,
    ) -> Float[Tensor, "B n width"]:
        """The tokens x [B, L, width] after the block, or those `at` [B, m]; steps [B] count from 0,
        `context` from `read`.
        """
        h = self.norm1(x, tables[0][step] if tables else self.norm1.modulation(step))
        x = (x if at is None else take(x, at)) + self.attention(h, at)
        if len(context) == 1:
            x = x + context[0]
        else:
            modulation = tables[1][step] if tables else self.norm_cross.modulation(step)
            x = x + self.cross(self.norm_cross(x, modulation), *context)
        return x + self.feed_forward(self.norm2(x))


class ClassBlock(nn.Module):
    """Self-attention normalised under the step t, feed-forward normalised under the class."""

    def __init__(
        self, config: DenoiserConfig, n_steps: int, grid: tuple[int, int] | None, n_classes: int
    ):
        super().__init__()
        self.norm1 = AdaLayerNorm(n_steps, config.width)
        self.attention = SelfAttention(config.width, config.heads)
        self.norm2 = AdaLayerNorm(n_classes, config.width)
        self.feed_forward = feed_forward(config, grid)

    def read(self, labels: Tensor) -> tuple[Tensor, ...]:
        """The (scale, shift) of the classes [B]."""
        return (self.norm2.modulation(labels),)

    def step_tables(self) -> tuple[Tensor, ...]:
        """(scale, shift) [T, 2 width] of the normalisation under t."""
        return (self.norm1.table(),)

    def forward(
        self,
        x: Float[Tensor, "B L width"],
        step: Int[Tensor, " B"],
        context: Context,
        tables: Context | None,
        at: Int[Tensor, "B m"] | None = None,
    ) -> Float[Tensor, "B n width"]:
        """The tokens x [B, L, width] after the block, or those `at` [B, m]; steps [B] count from 0,
        `context` from `read`.
        """
        h = self.norm1(x, tables[0][step] if tables else self.norm1.modulation(step))
        x = (x if at is None else take(x, at)) + self.attention(h, at)
        return x + self.feed_forward(self.norm2(x, context[0]))


class Denoiser(nn.Module):
    """The transformer of one task: `n_classes` makes it class-conditional, `condition_width` makes
    it attend to a sequence.

    `grid` is (rows, columns) of the tokens, (1, L) for music; None takes the square of whatever
    length arrives. `table` is the size of the learned position tables where it is not the grid.
    `aligned` adds the condition, resampled to the tokens' rate, to the token embeddings.
    """

    def __init__(
        self,
        config: DenoiserConfig,
        n_codes: int,
        n_steps: int,
        grid: tuple[int, int] | None,
        *,
        condition_width: int | None = None,
        n_classes: int | None = None,
        aligned: bool = False,
        table: tuple[int, int] | None = None,
    ):
        super().__init__()
        if config.width % config.heads:
            raise UserError(
                f"A width of {config.width} does not divide into {config.heads} heads; choose heads"
                " that divide it."
            )
        self.n_codes, self.n_steps, self.grid, self.convolves = (
            n_codes,
            n_steps,
            grid,
            config.feed_forward == "conv",
        )
        self.codes = nn.Embedding(n_codes + 1, config.width)
        self.positions = _positions(config, grid, table)
        assert (n_classes is None) != (condition_width is None), "a class or a sequence, not both"
        self.align = None
        if condition_width is not None:
            if aligned:
                self.align = nn.Linear(condition_width, config.width)
            blocks = [
                CrossBlock(config, n_steps, grid, condition_width) for _ in range(config.layers)
            ]
        else:
            assert n_classes is not None
            blocks = [ClassBlock(config, n_steps, grid, n_classes) for _ in range(config.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(config.width)
        self.output = Linear(config.width, n_codes)
        self._initialise(config.init_std, config.zero_init)

    def _initialise(self, std: float | None, zero: bool) -> None:
        std = float(0.64 * self.codes.embedding_dim**-0.5) if std is None else std
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        if not zero:
            return
        for block in self._blocks:
            last: list[nn.Module] = [
                module.linear for module in block.modules() if isinstance(module, AdaLayerNorm)
            ]
            last += [
                module.proj
                for module in block.modules()
                if isinstance(module, SelfAttention | CrossAttention)
            ]
            last += [list(block.feed_forward.children())[-1]]
            for module in last:
                for parameter in module.parameters(recurse=False):
                    nn.init.zeros_(parameter)

    @torch.no_grad()
    def start_at(self, codewords: Tensor, share: float, generator: torch.Generator) -> None:
        """Starts embeddings and output layer at the codewords [K, D], as `codebook_share` says."""
        own, width = self.codes.weight[:-1], self.codes.embedding_dim
        words = codewords.float() - codewords.float().mean(0)
        words = words / words.square().mean().sqrt().clamp_min(1e-8)  # all may be one
        turn = torch.randn(words.shape[1], width, generator=generator) / words.shape[1] ** 0.5
        told = words @ turn * own.std()
        own.copy_(share**0.5 * told + (1 - share) ** 0.5 * own)
        self.output.weight.copy_(own)

    @property
    def _blocks(self) -> list[CrossBlock | ClassBlock]:
        """The blocks in their order."""
        return [block for block in self.blocks if isinstance(block, CrossBlock | ClassBlock)]

    def freeze_idle_attention(self) -> None:
        """Takes what a one-element condition never uses, queries, keys and their normalisation, out
        of training.
        """
        for block in self._blocks:
            assert isinstance(block, CrossBlock)
            block.norm_cross.requires_grad_(False)
            block.cross.query.requires_grad_(False)

    def prepare(self, condition: Condition) -> Condition:
        """The condition with everything computed that does not depend on x_t: once per sample when
        sampling.

        Gradients pass through it, so training may prepare before `repeat` and encode each condition
        once for N + 1 chains.
        """
        value = condition.value
        aligned = None if self.align is None else self.align(value)
        blocks = self._blocks
        contexts = tuple(block.read(value) for block in blocks)
        steps = None if torch.is_grad_enabled() else tuple(block.step_tables() for block in blocks)
        return Condition(value, condition.empty, Prepared(aligned, contexts, steps))

    def features(
        self,
        x_t: Int[Tensor, "B L"],
        t: Int[Tensor, " B"],
        condition: Condition,
        at: Int[Tensor, "B m"] | None = None,
    ) -> Float[Tensor, "B n width"]:
        """The hidden states [B, L, width] after the last normalisation, of x_t [B, L] in 0..K (K =
        mask) at t [B] in 1..T.

        With positions `at` [B, m] only theirs, [B, m, width]: the last block then works for no
        others, unless it convolves.
        """
        step, prepared = t - 1, condition.prepared
        x = self.codes(x_t) + self.positions(x_t.shape[1])
        if self.align is not None:
            aligned = prepared.aligned if prepared else None
            if aligned is None:
                aligned = self.align(condition.value)
            x = x + resample(aligned, x_t.shape[1])
        blocks = self._blocks
        for i, block in enumerate(blocks):
            context = prepared.contexts[i] if prepared else block.read(condition.value)
            is_last = block is blocks[-1] and not self.convolves
            x = block(
                x,
                step,
                context,
                prepared.steps[i] if prepared and prepared.steps else None,
                at if is_last else None,
            )
        return self.norm(x if at is None or not self.convolves else take(x, at))
