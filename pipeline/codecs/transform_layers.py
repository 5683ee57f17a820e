"""The parts of a transform codec, all at token rate and channels last: frames of a short-time
Fourier transform, ConvNeXt blocks, attention to the neighbourhood.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

QUIETEST = 1e-4  # magnitudes below it look alike; a full-scale sine has one near 1
LOUDEST = 6.0  # of the logarithm: no sound is 50 dB above full scale, but an untrained head may be
COMPRESSION = 0.3  # the exponent of magnitudes, so that the quiet is seen too


class Frames(nn.Module):
    """The short-time Fourier transform with one frame a token, and its inverse.

    Frame k is 4 hops long and centred on the samples k * hop to (k + 1) * hop, for which token k
    stands; beyond the ends there is silence.
    """

    window: Tensor

    def __init__(self, hop: int):
        super().__init__()
        self.hop, self.size, self.bins = hop, 4 * hop, 2 * hop + 1
        self.before = 3 * hop // 2  # samples that frame 0 begins before sample 0
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)
        self._weights: tuple[tuple, Tensor] | None = None

    def forward(self, waveform: Tensor) -> Tensor:
        """Complex [B, L, bins] of waveforms [B, L * hop]; a full-scale sine has magnitude 1."""
        padded = F.pad(waveform, (self.before, 3 * self.hop - self.before))
        return torch.fft.rfft(padded.unfold(1, self.size, self.hop) * self.window) / self.hop

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Waveforms [B, L * hop] of complex [B, L, bins]: frames overlapped and added."""
        scaled = torch.view_as_complex(torch.view_as_real(spectrum) * self.hop)
        pieces = torch.fft.irfft(scaled, self.size) * self.window
        whole = slice(self.before, self.before + pieces.shape[1] * self.hop)
        total = _overlapped(pieces.unflatten(2, (4, self.hop)))[:, whole]
        return total / self._weight(pieces.shape[1])[:, whole]

    def _weight(self, length: int) -> Tensor:
        """What the windows of so many frames add up to at each sample, [1, (length + 3) * hop]."""
        key = length, self.window.device, self.window.dtype
        if self._weights is None or self._weights[0] != key:
            squares = self.window.square().view(1, 1, 4, self.hop).expand(1, length, -1, -1)
            self._weights = key, _overlapped(squares)
        return self._weights[1]


def _overlapped(pieces: Tensor) -> Tensor:
    """[B, (L + 3) * hop]: the sum of frames [B, L, 4, hop], each a hop after the last."""
    batch, length, _, hop = pieces.shape
    total = pieces.new_zeros(batch, length + 3, hop)
    for i in range(4):
        total[:, i : i + length] += pieces[:, :, i]
    return total.flatten(1)


def features(magnitude: Tensor) -> Tensor:
    """What an encoder sees of magnitudes [B, L, bins]: [B, L, 2 * bins], compressed by a power and
    by the logarithm.
    """
    return torch.cat([magnitude.pow(COMPRESSION), magnitude.log() / 4 + 1], dim=2)


class AlongTime(nn.Conv2d):
    """One filter a channel along time, as a convolution of pictures one line high, which a CPU does
    twice as fast as one of lines.
    """

    def __init__(self, width: int, kernel: int):
        super().__init__(width, width, (1, kernel), padding=(0, kernel // 2), groups=width)

    def forward(self, input: Tensor) -> Tensor:
        """[B, L, C] -> [B, L, C]."""
        return super().forward(input.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)


class Block(nn.Module):
    """ConvNeXt (Liu et al., 2022) along time: a filter a channel, then a perceptron a token."""

    def __init__(self, width: int, kernel: int, expansion: int, scale: float):
        super().__init__()
        self.mix, self.norm = AlongTime(width, kernel), nn.LayerNorm(width)
        self.widen = nn.Linear(width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, C] -> [B, L, C]."""
        return x + self.scale * self.narrow(F.gelu(self.widen(self.norm(self.mix(x)))))


class Neighbourhood(nn.Module):
    """Attention to the tokens at most `span` away, with a learned preference for each distance; the
    bound keeps windows of a long sequence equal to the whole.
    """

    def __init__(self, width: int, heads: int, span: int):
        super().__init__()
        self.heads, self.span = heads, span
        self.norm, self.inputs = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.preference = nn.Parameter(torch.zeros(heads, 2 * span + 1))
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, C] -> [B, L, C]."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.inputs(self.norm(x)).chunk(3, dim=2)
        )
        place = torch.arange(x.shape[1], device=x.device)
        distance = place[None] - place[:, None]
        bias = self.preference[:, distance.clamp(-self.span, self.span) + self.span]
        bias = bias.masked_fill(distance.abs() > self.span, -torch.inf).to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, bias[None])
        return x + self.output(attended.transpose(1, 2).flatten(2))
