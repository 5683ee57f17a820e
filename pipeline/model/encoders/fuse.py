"""The dance condition: motion and video (and the genre, when asked for) as one sequence, or as one
token.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.model.encoders.label import checked_labels
from pipeline.model.encoders.modalities import KEPT, Dropout
from pipeline.model.encoders.motion import MotionEncoder
from pipeline.model.encoders.visual import VisualEncoder
from pipeline.model.positions import resample, sinusoid
from pipeline.runtime.params import Section
from pipeline.storage.poses import PoseKind


class DanceConfig(Section):
    """The dance encoder. The paper's widths: motion_width 256 with 4 blocks, width 1024."""

    condition: Literal["aligned", "temporal", "pooled"]
    """aligned: in time, added to the tokens and attended to; temporal: attended to; pooled: one
    token, as in the paper.
    """
    pose: PoseKind
    fps: float
    """Frames of motion a second."""
    genre_input: bool = False
    motion_width: int
    motion_blocks: int
    visual_width: int
    width: int
    dropout: Dropout | None = None
    """Shares of training examples that lack one of the two (null: none): the model then plays from
    motion or pictures alone as well.
    """
    layout: Literal["paper"] | None = None
    """paper: raw poses, Table 5 in its order (convolution, LeakyReLU, residual stack), and fusion
    by concatenation and one linear layer alone. null: this project's (docs of the two encoders).
    """


class DanceEncoder(nn.Module):
    """The condition sequence [B, T, width] at the motion's rate, or [B, 1, width] when pooled.

    Reads `motion` [B, T, numbers], `visual` [B, T', visual_numbers] and, with genre_input, `genre`
    [B]; any T and T'. A model trained with `dropout` of one of the two does without it as well;
    without motion the condition is as long as that of a training clip. Each frame carries the
    clip's mean motion, which tells the style sooner than attention finds it, and the position of
    the content token it falls on: `tokens_per_frame` tokens long is a frame.
    """

    def __init__(
        self,
        config: DanceConfig,
        visual_numbers: int,
        n_frames: int,
        tokens_per_frame: float,
        n_genres: int,
    ):
        super().__init__()
        self.width, self.tokens_per_frame, self.n_genres = config.width, tokens_per_frame, n_genres
        self.n_frames, self.dropout = n_frames, config.dropout or Dropout()
        self.is_pooled = config.condition == "pooled"
        self.as_paper = config.layout == "paper"
        self.motion = MotionEncoder(
            config.pose,
            config.fps,
            config.motion_width,
            config.motion_blocks,
            config.width,
            as_paper=self.as_paper,
        )
        self.visual = VisualEncoder(visual_numbers, config.visual_width, config.width)
        self.genre = nn.Embedding(n_genres, config.width) if config.genre_input else None
        self.adds_mean = not (self.is_pooled or self.as_paper)
        n_parts = 2 + config.genre_input + self.adds_mean
        self.mix = nn.Linear(n_parts * config.width, config.width)
        self.norm = nn.Identity() if self.as_paper else nn.LayerNorm(config.width)
        self.empty = nn.Parameter(torch.zeros(1, config.width))

    def forward(self, inputs: dict[str, Tensor]) -> Float[Tensor, "B T width"]:
        """The condition of a batch of inputs by name."""
        motion, visual = self._parts(inputs)
        if self.is_pooled:
            motion, visual = motion.mean(1, keepdim=True), visual.mean(1, keepdim=True)
        parts = [motion, resample(visual, motion.shape[1])]
        if self.adds_mean:
            parts.append(motion.mean(1, keepdim=True).expand_as(motion))
        if self.genre is not None:
            genre = self.genre(checked_labels(inputs["genre"], self.n_genres, "genre"))
            parts.append(genre[:, None].expand(-1, motion.shape[1], -1))
        x = self.norm(self.mix(torch.cat(parts, dim=-1)))
        return x if self.is_pooled or self.as_paper else x + self._positions(x.shape[1], x.device)

    def _parts(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features of motion and pictures; zeros for what is not there."""
        if "motion" not in inputs and self.dropout.motion:
            visual = self.visual(inputs["visual"])
            return visual.new_zeros(len(visual), self.n_frames, self.width), visual
        motion = self.motion(inputs["motion"])
        if "visual" not in inputs and self.dropout.visual:
            return motion, torch.zeros_like(motion)
        visual = self.visual(inputs["visual"])
        if KEPT in inputs:
            kept = inputs[KEPT].to(motion.dtype)[:, :, None, None]
            motion, visual = motion * kept[:, 0], visual * kept[:, 1]
        return motion, visual

    def _positions(self, n_frames: int, device: torch.device) -> Tensor:
        centres = torch.arange(n_frames, device=device) + 0.5
        return sinusoid(centres * self.tokens_per_frame - 0.5, self.width)
