"""The visual encoder: a small convolution stack over a clip's I3D sequence."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.model.encoders.motion import ResidualBlock
from pipeline.runtime.errors import UserError


class VisualEncoder(nn.Module):
    """A feature [B, T', out_width] for every step of an I3D sequence [B, T', in_width]."""

    def __init__(self, in_width: int, width: int, out_width: int):
        super().__init__()
        self.in_width = in_width
        self.norm = nn.LayerNorm(in_width)
        self.enter = nn.Linear(in_width, width)
        self.blocks = nn.Sequential(
            ResidualBlock(width, dilation=1), ResidualBlock(width, dilation=1)
        )
        self.leave = nn.Linear(width, out_width)

    def forward(self, visual: Shaped[Tensor, "..."]) -> Float[Tensor, "B T out"]:
        """Features [B, T', out_width] of an I3D sequence; raises UserError for another number of
        features.
        """
        if visual.dim() != 3 or visual.shape[-1] != self.in_width:
            raise UserError(
                f"This model reads I3D sequences [clips, steps, {self.in_width}]; the one given is"
                f" {list(visual.shape)}. Extract the clips with the I3D weights that the model was"
                " trained on."
            )
        x = self.enter(self.norm(visual.float())).transpose(1, 2)
        return self.leave(F.leaky_relu(self.blocks(x), 0.2).transpose(1, 2))
