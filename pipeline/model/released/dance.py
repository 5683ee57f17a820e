"""The dance encoder of the authors' checkpoints, as they are: frames stand as channels, and one
vector comes out.

For new models use `pipeline.model.encoders.fuse`: this one was never trained (its inputs were
prepared without gradients).
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.runtime.errors import UserError


class WeightNormConv1d(nn.Module):
    """A convolution with weight g v / |v|, under the names `weight_g` and `weight_v`."""

    def __init__(self, in_width: int, out_width: int, kernel: int, dilation: int = 1):
        super().__init__()
        convolution = nn.Conv1d(in_width, out_width, kernel)
        self.dilation = dilation
        self.bias = convolution.bias
        self.weight_v = convolution.weight
        self.weight_g = nn.Parameter(
            convolution.weight.detach().flatten(1).norm(dim=1).view(-1, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x [B, in_width, S] without padding."""
        weight = self.weight_g * self.weight_v / self.weight_v.flatten(1).norm(dim=1).view(-1, 1, 1)
        return F.conv1d(x, weight, self.bias, dilation=self.dilation)


class ReleasedBlock(nn.Module):
    """Leaky ReLU and dilated convolution, twice, beside a linear shortcut."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.block = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.ReflectionPad1d(dilation),
            WeightNormConv1d(width, width, 3, dilation),
            nn.LeakyReLU(0.2),
            WeightNormConv1d(width, width, 1),
        )
        self.shortcut = WeightNormConv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways for x [B, width, S]."""
        return self.shortcut(x) + self.block(x)


class ReleasedMotionEncoder(nn.Module):
    """A motion [B, n_frames, numbers] as [B, 1, out_width]; convolutions run along `wide`
    projections of a frame's numbers.
    """

    def __init__(
        self, n_frames: int, numbers: int, wide: int, widths: tuple[int, int, int], out_width: int
    ):
        super().__init__()
        self.n_frames, self.numbers = n_frames, numbers
        self.lin1 = nn.Linear(numbers, wide)
        self.lin2 = nn.Linear(wide - 14, out_width)  # kernels of 6, 4, 4, 4 without padding
        a, b, c = widths
        self.model = nn.Sequential(
            nn.Conv1d(n_frames, a, 6),
            nn.LeakyReLU(0.2),
            *(ReleasedBlock(a, 3**i) for i in range(4)),
            nn.LeakyReLU(0.2),
            nn.Conv1d(a, b, 4),
            *(ReleasedBlock(b, 3**i) for i in range(4)),
            nn.LeakyReLU(0.2),
            nn.Conv1d(b, c, 4),
            *(ReleasedBlock(c, 3**i) for i in range(4)),
            nn.LeakyReLU(0.2),
            nn.Conv1d(c, 1, 4),
        )

    @classmethod
    def from_shapes(cls, state: dict[str, Tensor], path: Path) -> "ReleasedMotionEncoder":
        """An encoder of the sizes that a state dict shows, weights not loaded; raises UserError
        when one is not shown.
        """
        try:
            wide, numbers = state["lin1.weight"].shape
            first, second, third = (state[f"model.{i}.weight"].shape[0] for i in (0, 7, 13))
            return cls(
                state["model.0.weight"].shape[1],
                numbers,
                wide,
                (first, second, third),
                state["lin2.weight"].shape[0],
            )
        except KeyError as error:
            raise UserError(
                f"{path} does not fit: condition_codec_motion.{error.args[0]} is missing."
            ) from None

    def forward(self, motion: Tensor) -> Tensor:
        """The one vector [B, 1, out_width] of each motion; raises UserError for another length or
        kind of pose.
        """
        if motion.shape[1:].numel() != self.n_frames * self.numbers:
            raise UserError(
                f"This checkpoint reads motions of {self.n_frames} frames x {self.numbers} numbers;"
                f" given {list(motion.shape)}."
            )
        return self.lin2(
            self.model(self.lin1(motion.float().reshape(-1, self.n_frames, self.numbers)))
        )


class ReleasedDanceEncoder(nn.Module):
    """Motion, I3D features and (AIST) genre, joined on their features and mapped to one token [B,
    1, width].
    """

    def __init__(
        self, motion: ReleasedMotionEncoder | None, fusion: nn.Linear, genre: nn.Embedding | None
    ):
        super().__init__()
        self.motion, self.fusion, self.genre = motion, fusion, genre
        self.empty = None

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The condition [B, 1, width] of `motion`, `visual` [B, 2048] (a sequence [B, T', 2048] is
        averaged) and, where it belongs, `genre` (numbers or one-hot).
        """
        if self.motion is None:
            raise UserError(
                "This file holds no motion encoder (`ema` leaves it out); read the whole training"
                " checkpoint."
            )
        motion, visual = self.motion(inputs["motion"]), inputs["visual"]
        if visual.dim() == 3:
            visual = visual.mean(1)
        parts = [motion, visual.to(motion.dtype).reshape(len(motion), 1, -1)]
        if self.genre is not None:
            numbers = _genre_numbers(inputs["genre"], self.genre.num_embeddings)
            parts.append(self.genre(numbers)[:, None])
        joined = torch.cat(parts, dim=-1)
        if joined.shape[-1] != self.fusion.in_features:
            visual = self.fusion.in_features - joined.shape[-1] + parts[1].shape[-1]
            raise UserError(
                f"This checkpoint reads {visual} video features a clip; given {parts[1].shape[-1]}."
            )
        return self.fusion(joined)


def _genre_numbers(genre: Tensor, n_genres: int) -> Tensor:
    """The genres [B] of numbers or one-hot rows."""
    numbers = (
        genre.reshape(len(genre), -1).argmax(-1)
        if genre.dim() > 1 and genre.shape[-1] == n_genres
        else genre
    )
    numbers = numbers.long().reshape(-1)
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < n_genres:
        raise UserError(
            f"Genres must be numbers in 0..{n_genres - 1} or one-hot rows of {n_genres}."
        )
    return numbers
