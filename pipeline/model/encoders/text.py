"""The caption condition: a small transformer over CLIP's BPE tokens learned with the model, or
CLIP's own features.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section, Width

START, END, CONTEXT = 49406, 49407, 77


class TextConfig(Section):
    """The learned text encoder: `length` tokens of a caption are kept, start and end included, at
    most 77.
    """

    layers: Width
    width: Width
    heads: Width
    length: int = Field(strict=True, ge=3, le=CONTEXT)


class TextEncoder(nn.Module):
    """Features [B, length, width] of captions as CLIP's BPE tokens [B, 77]; positions after the end
    token are zero.

    `vocabulary` lists the tokens that training captions hold; any other becomes the one unknown
    token.
    """

    vocabulary: Tensor

    def __init__(self, config: TextConfig, vocabulary: Sequence[int]):
        super().__init__()
        self.width, self.length = config.width, config.length
        self.register_buffer("vocabulary", torch.tensor(sorted(vocabulary)), persistent=False)
        self.tokens = nn.Embedding(len(vocabulary) + 1, config.width)
        self.positions = nn.Parameter(torch.randn(config.length, config.width) * 0.02)
        nn.init.normal_(self.tokens.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            4 * config.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(config.width)
        self.transformer = nn.TransformerEncoder(
            layer, config.layers, norm, enable_nested_tensor=False
        )
        self.empty = nn.Parameter(torch.zeros(1, config.width))

    def forward(self, inputs: dict[str, Tensor]) -> Float[Tensor, "B S width"]:
        """The features of the captions among the inputs."""
        text = inputs["text"].long()
        if text.dim() != 2 or not bool((text == END).any(1).all()):
            raise UserError(
                f"`text` must be CLIP BPE tokens [captions, {CONTEXT}] that hold the end token"
                f" {END}."
            )
        end = (text == END).int().argmax(1)
        if int(end.max()) >= self.length:
            raise UserError(
                f"A caption has {int(end.max()) + 1} tokens; this model reads at most"
                f" {self.length}. Shorten it."
            )
        text = text[:, : self.length].contiguous()
        is_padding = torch.arange(text.shape[1], device=text.device) > end[:, None]
        x = self.tokens(self._compact(text)) + self.positions[: text.shape[1]]
        return self.transformer(x, src_key_padding_mask=is_padding).masked_fill(
            is_padding[..., None], 0.0
        )

    def _compact(self, text: Tensor) -> Tensor:
        """Rows of the token table: the place in the vocabulary, or the last row for an unknown
        token.
        """
        place = torch.searchsorted(self.vocabulary, text).clamp_max(len(self.vocabulary) - 1)
        return torch.where(self.vocabulary[place] == text, place, len(self.vocabulary))


class ClipTextCondition(nn.Module):
    """CLIP's frozen features `clip_text` [B, 77, 512] as they are, with a learned null beside
    them.

    Where these are tokens [B, 77], because the features of all captions would fill a disk, `read`
    turns them into features; whoever opens the model sets it.
    """

    def __init__(self, length: int, width: int):
        super().__init__()
        self.width = width
        self.read: Callable[[Tensor], Tensor] | None = None
        self.empty = nn.Parameter(torch.randn(length, width) / width**0.5)

    def forward(self, inputs: dict[str, Tensor]) -> Float[Tensor, "B S width"]:
        """The features [B, 77, 512] among the inputs."""
        features = inputs["clip_text"]
        if self.read is not None and not features.is_floating_point():
            features = self.read(features)
        if features.shape[1:] != self.empty.shape:
            expected = ", ".join(map(str, self.empty.shape))
            raise UserError(
                f"This model reads CLIP text features [captions, {expected}]; given"
                f" {list(features.shape)}."
            )
        return features.float()
