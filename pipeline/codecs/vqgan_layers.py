"""The convolutions of taming-transformers' VQ-GAN. Modules are nested as in the published state
dicts.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.runtime.params import Decay, Section, Width


class Sizes(Section):
    """`ddconfig` as in the published yaml files: attention sits at the levels whose resolution is
    in `attn_resolutions`. `resolution` is the side of the pictures.
    """

    double_z: bool = False
    z_channels: Width
    resolution: Width
    in_channels: Literal[3] = 3
    out_ch: Literal[3] = 3
    ch: Width
    ch_mult: tuple[Width, ...] = Field(min_length=1, max_length=12)
    num_res_blocks: Width
    attn_resolutions: tuple[Width, ...] = ()
    dropout: Decay = 0.0

    @property
    def factor(self) -> int:
        """Pixels of an image side for one token."""
        return 2 ** (len(self.ch_mult) - 1)

    def width(self, level: int) -> int:
        """Channels of a level."""
        return self.ch * self.ch_mult[level]

    def attends(self, level: int) -> bool:
        """Whether a level has attention."""
        return self.resolution // 2**level in self.attn_resolutions


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 32 groups (fewer where 32 does not divide the channels)."""
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """norm, swish, 3x3; norm, swish, dropout, 3x3; plus the input, through a 1x1 where the channels
    change.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(self.dropout(F.silu(self.norm2(y))))
        return y + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    """One head of self-attention over all positions, residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        y = self.norm(x)
        query, key, value = (
            part(y).flatten(2).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(attended.transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    """Halves the sides: a 3x3 of stride 2 after padding right and bottom by one."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H / 2, W / 2]."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Doubles the sides by repetition, then a 3x3."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2 H, 2 W]."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks of one resolution, each followed by attention where the level has it, then a
    resampling `name`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        attends: bool,
        dropout: float,
        name: str,
        resample: nn.Module | None,
    ):
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(a, b, dropout) for a, b in zip(widths, widths[1:]))
        self.attn = nn.ModuleList(Attention(width) for width in widths[1:] if attends)
        self.name = name
        if resample is not None:
            self.add_module(name, resample)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', H', W']."""
        for index, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[index](x)
        return getattr(self, self.name)(x) if hasattr(self, self.name) else x


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, dropout)
        self.attn_1 = Attention(channels)
        self.block_2 = ResidualBlock(channels, channels, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C, h, w]."""
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Images in [-1, 1] to latents, through levels of falling resolution."""

    def __init__(self, s: Sizes):
        super().__init__()
        n = len(s.ch_mult)
        inputs = [s.ch, *(s.width(level) for level in range(n))]
        self.conv_in = nn.Conv2d(s.in_channels, s.ch, 3, padding=1)
        self.down = nn.ModuleList(
            Level(
                [inputs[level], *[s.width(level)] * s.num_res_blocks],
                s.attends(level),
                s.dropout,
                "downsample",
                Downsample(s.width(level)) if level < n - 1 else None,
            )
            for level in range(n)
        )
        self.mid = Middle(s.width(n - 1), s.dropout)
        self.norm_out = norm(s.width(n - 1))
        self.conv_out = nn.Conv2d(s.width(n - 1), s.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, z_channels, H / factor, W / factor]."""
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Latents to images in about [-1, 1]; `up` is numbered by level, so it runs from the last to
    the first.
    """

    def __init__(self, s: Sizes):
        super().__init__()
        n = len(s.ch_mult)
        inputs = [*(s.width(level) for level in range(1, n)), s.width(n - 1)]
        self.conv_in = nn.Conv2d(s.z_channels, s.width(n - 1), 3, padding=1)
        self.mid = Middle(s.width(n - 1), s.dropout)
        self.up = nn.ModuleList(
            Level(
                [inputs[level], *[s.width(level)] * (s.num_res_blocks + 1)],
                s.attends(level),
                s.dropout,
                "upsample",
                Upsample(s.width(level)) if level > 0 else None,
            )
            for level in range(n)
        )
        self.norm_out = norm(s.width(0))
        self.conv_out = nn.Conv2d(s.width(0), s.out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, z_channels, h, w] -> [B, 3, h * factor, w * factor]."""
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))

    @property
    def last_layer(self) -> Tensor:
        """The weight at which reconstruction and adversarial gradients are compared."""
        return self.conv_out.weight
