"""The convolutions of Jukebox's VQ-VAE. Modules are nested as in the published state dict, which
fixes the attribute names.
"""

from collections.abc import Sequence

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + W_1 relu(W_3 relu(x)), the width-3 convolution dilated."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.model = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, T] -> [B, width, T]."""
        return x + self.model(x)


class ResidualStack(nn.Module):
    """Residual blocks with the given dilations, in order."""

    def __init__(self, width: int, dilations: Sequence[int]):
        super().__init__()
        self.model = nn.Sequential(*(ResidualBlock(width, dilation) for dilation in dilations))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, T] -> [B, width, T]."""
        return self.model(x)


class DownBlock(nn.Module):
    """Strided convolutions, each followed by a residual stack, then a projection to the latent
    dimension.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        dimension: int,
        strides: Sequence[int],
        dilations: Sequence[int],
    ):
        super().__init__()
        inputs = [channels, *[width] * (len(strides) - 1)]
        stages = [
            nn.Sequential(
                nn.Conv1d(n, width, 2 * stride, stride, stride // 2),
                ResidualStack(width, dilations),
            )
            for n, stride in zip(inputs, strides)
        ]
        self.model = nn.Sequential(*stages, nn.Conv1d(width, dimension, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, T] -> [B, dimension, T // product of strides] (each stage floors)."""
        return self.model(x)


class UpBlock(nn.Module):
    """The mirror of a DownBlock: projection, then residual stacks (largest dilation first) and
    transposed convolutions.
    """

    def __init__(
        self, width: int, dimension: int, strides: Sequence[int], dilations: Sequence[int]
    ):
        super().__init__()
        outputs = [*[width] * (len(strides) - 1), dimension]
        stages = [
            nn.Sequential(
                ResidualStack(width, dilations[::-1]),
                nn.ConvTranspose1d(width, n, 2 * stride, stride, stride // 2),
            )
            for n, stride in zip(outputs, reversed(strides))
        ]
        self.model = nn.Sequential(nn.Conv1d(dimension, width, 3, padding=1), *stages)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dimension, L] -> [B, dimension, L * product of strides]."""
        return self.model(x)


class Encoder(nn.Module):
    """The encoder of one level: its own DownBlocks from the waveform on; nothing is shared between
    levels.
    """

    def __init__(
        self, width: int, dimension: int, strides: Sequence[Sequence[int]], dilations: Sequence[int]
    ):
        super().__init__()
        channels = [1, *[dimension] * (len(strides) - 1)]
        self.level_blocks = nn.ModuleList(
            DownBlock(n, width, dimension, s, dilations) for n, s in zip(channels, strides)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Waveforms [B, 1, T] -> latents [B, dimension, L]."""
        for block in self.level_blocks:
            x = block(x)
        return x

    def convolutions(self) -> list[nn.Conv1d]:
        """The convolutions in the order of execution."""
        return [module for module in self.modules() if isinstance(module, nn.Conv1d)]


class Decoder(nn.Module):
    """The decoder of one level: UpBlocks from the deepest to the first, then a projection to one
    channel, unclamped.
    """

    def __init__(
        self, width: int, dimension: int, strides: Sequence[Sequence[int]], dilations: Sequence[int]
    ):
        super().__init__()
        self.level_blocks = nn.ModuleList(UpBlock(width, dimension, s, dilations) for s in strides)
        self.out = nn.Conv1d(dimension, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Latents [B, dimension, L] -> waveforms [B, 1, T]."""
        for block in reversed(self.level_blocks):
            x = block(x)
        return self.out(x)

    def convolutions(self) -> list[nn.Conv1d | nn.ConvTranspose1d]:
        """The convolutions in the order of execution."""
        blocks = [*reversed(self.level_blocks), self.out]
        return [
            m
            for block in blocks
            for m in block.modules()
            if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)
        ]
