"""Captions: CLIP's BPE tokens, and the frozen text features of ViT-B/32 that VQ-Diffusion
conditions on (reference 4).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.storage.store import Store
from pipeline.storage.tensors import is_safetensors, read_about, read_state_dict, write_tensors
from pipeline.storage.weights import weights_file

START, END, CONTEXT = 49406, 49407, 77
CLIP_SHA256 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_HEAD_WIDTH = 64


@dataclass(frozen=True)
class Captions:
    """BPE tokens [n, 77] int64, padded with 0, and how many captions were cut because they are
    longer.
    """

    tokens: Tensor
    n_cut: int


def tokenise(captions: list[str]) -> Captions:
    """The lower-cased captions as tokens: start, words, end, padding; of one over 77 the 77th token
    becomes the end.
    """
    tokenizer = _tokenizer()
    tokens, n_cut = torch.zeros(len(captions), CONTEXT, dtype=torch.long), 0
    for row, caption in enumerate(captions):
        words = tokenizer.encode(caption)
        n_cut += len(words) > CONTEXT - 2
        found = [START, *words[: CONTEXT - 2], END]
        tokens[row, : len(found)] = torch.tensor(found)
    return Captions(tokens, n_cut)


@cache
def _tokenizer():
    with warnings.catch_warnings():  # its package imports pkg_resources, which warns of its end
        warnings.simplefilter("ignore", UserWarning)
        from clip.simple_tokenizer import SimpleTokenizer

    return SimpleTokenizer()


class ClipText(nn.Module):
    """CLIP's text tower; its weights are rounded to half precision as published, the arithmetic is
    float32.
    """

    def __init__(
        self, vocabulary: int = 49408, context: int = CONTEXT, width: int = 512, layers: int = 12
    ):
        from clip.model import LayerNorm, Transformer

        super().__init__()
        self.width = width
        causal = torch.full((context, context), float("-inf")).triu(1)
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty(context, width))
        self.transformer = Transformer(width, layers, width // _HEAD_WIDTH, causal)
        self.ln_final = LayerNorm(width)

    @classmethod
    def load(cls, path: Path, sha256: str = CLIP_SHA256) -> "ClipText":
        """The text tower in OpenAI's TorchScript file, whose digest is checked before it is opened,
        or in our safetensors.
        """
        path = Path(path)
        if path.is_file() and is_safetensors(path):
            if (read_about(path) or {}).get("class") != "ClipText":
                raise UserError(
                    f"{path} is not CLIP's text tower; `cdcd weights get clip` fetches the right"
                    " file."
                )
            return cls.of(read_state_dict(path))
        if not path.is_file():
            raise UserError(
                f"{path} does not exist; `cdcd weights get clip` fetches CLIP ViT-B/32."
            )
        if (found := sha256_file(path)) != sha256:
            raise UserError(
                f"{path} is not CLIP ViT-B/32: its sha256 is {found[:12]}..., {sha256[:12]}... was"
                " expected."
            )
        return cls.of(torch.jit.load(str(path), map_location="cpu").state_dict())

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> "ClipText":
        """The text tower in a state dict of the whole CLIP model, or of the tower alone, ready for
        `features`.
        """
        if missing := {"ln_final.weight", "token_embedding.weight", "positional_embedding"} - set(
            state
        ):
            raise UserError(
                f"These weights are not CLIP's text tower: {sorted(missing)[0]} is missing."
            )
        width = state["ln_final.weight"].shape[0]
        layers = 1 + max(
            int(name.split(".")[2]) for name in state if name.startswith("transformer.resblocks.")
        )
        with torch.device("meta"):
            tower = cls(
                len(state["token_embedding.weight"]),
                len(state["positional_embedding"]),
                width,
                layers,
            )
        block: Any
        for block in tower.transformer.resblocks:
            block.attn_mask = torch.full_like(block.attn_mask, float("-inf"), device="cpu").triu(1)
        tower.load_state_dict(
            {name: state[name].float() for name in tower.state_dict()}, assign=True
        )
        return tower.eval().requires_grad_(False)

    def save(self, path: Path) -> None:
        """Writes the tower as safetensors."""
        write_tensors(path, self.state_dict(), {"class": "ClipText"})

    @torch.inference_mode()
    def features(self, tokens: Tensor) -> Tensor:
        """Unit vectors [n, 77, width] of tokens [n, 77]: every position after the final LayerNorm,
        divided by its L2 norm.
        """
        x = self.token_embedding(tokens) + self.positional_embedding
        x = self.transformer(x.transpose(0, 1)).transpose(0, 1)
        x = self.ln_final(x)
        return x / x.norm(dim=-1, keepdim=True)


def clip_features(weights: str, conditions: Store) -> Callable[[Tensor], Tensor]:
    """What turns tokens [n, 77] into CLIP's features as a store would hold them, for conditions
    that do not; raises UserError for weights other than those they were made for.
    """
    path = weights_file(weights)
    conditions.expect(weights=sha256_file(path))
    tower = ClipText.load(path)

    def features(tokens: Tensor) -> Tensor:
        with torch.autocast(tokens.device.type, enabled=False):
            found = tower.to(tokens.device).features(tokens).half()
        return found.clone()  # no longer bound to inference

    return features
