"""Long signals in windows: how far a stack of convolutions looks, and pieces with just enough
context to equal the whole.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Run = Callable[[Tensor], Tensor]


def inputs_of(
    convolutions: Sequence[nn.Conv1d | nn.ConvTranspose1d], first: int, last: int
) -> tuple[int, int]:
    """The range of input positions (before any edge: negative too) that outputs `first` to `last`
    depend on.
    """
    for convolution in reversed(convolutions):
        stride, padding = convolution.stride[0], convolution.padding[0]
        assert isinstance(padding, int), "Jukebox pads by a number"
        span = convolution.dilation[0] * (convolution.kernel_size[0] - 1)
        if isinstance(convolution, nn.ConvTranspose1d):
            first, last = -((span - padding - first) // stride), (last + padding) // stride
        else:
            first, last = first * stride - padding, last * stride - padding + span
    return first, last


def evenly(length: int, window: int) -> list[tuple[int, int]]:
    """The fewest ranges of at most `window` that cover `length`, of nearly the same size.

    A short last range would be convolved by other kernels, whose rounding differs, and a code at a
    tie could flip.
    """
    count = -(-length // window)
    edges = [length * index // count for index in range(count + 1)]
    return list(zip(edges, edges[1:]))


def encode_in_windows(
    encode: Run, reach: tuple[int, int], x: Tensor, hop: int, window: int
) -> Tensor:
    """`encode(x)` [B, L] of signals [B, T], computed `window` outputs at a time.

    Output i depends on inputs i * hop + reach[0] to i * hop + reach[1], which every window is
    given; windows begin at a multiple of the hop, so that strided convolutions stay in step.
    """
    length = x.shape[-1] // hop
    before = -(reach[0] // hop)
    pieces = []
    for start, stop in evenly(length, window):
        left = max(0, start - before)
        right = (stop - 1) * hop + max(reach[1], hop - 1) + 1
        pieces.append(encode(x[:, left * hop : right])[:, start - left : stop - left])
    return torch.cat(pieces, dim=1)


def decode_in_windows(
    decode: Run, reach: tuple[int, int], codes: Tensor, hop: int, window: int
) -> Tensor:
    """`decode(codes)` [B, L * hop] of codes [B, L], `window` codes at a time; the samples of code i
    depend on i + reach.
    """
    length = codes.shape[-1]
    pieces = []
    for start, stop in evenly(length, window):
        left, right = max(0, start + reach[0]), min(length, stop + reach[1])
        pieces.append(decode(codes[:, left:right])[:, (start - left) * hop : (stop - left) * hop])
    return torch.cat(pieces, dim=1)
