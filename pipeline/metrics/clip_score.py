"""CLIPScore (Hessel et al., 2021): how well a picture fits its caption in the eyes of CLIP
ViT-B/32.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file

PREFIX = "A photo depicts "
VIT_B_32 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def load_clip(path: Path) -> nn.Module:
    """OpenAI's ViT-B/32 from its TorchScript file, whose SHA-256 is checked before anything in it
    is opened.
    """
    from clip.model import build_model

    if not Path(path).is_file():
        raise UserError(f"{path} does not exist; CLIPScore needs OpenAI's ViT-B-32.pt there.")
    if (found := sha256_file(path)) != VIT_B_32:
        raise UserError(
            f"{path} is not OpenAI's ViT-B-32.pt: its SHA-256 is {found}, not {VIT_B_32}; fetch it"
            " again."
        )
    return build_model(torch.jit.load(path, map_location="cpu").state_dict()).float().eval()


@torch.no_grad()
def embed_images(model: Any, images: Tensor) -> Tensor:
    """Unit vectors [n, D] of images [n, 3, H, W] in [0, 1], resized and cropped as CLIP's own
    preprocessing does.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import center_crop, normalize, resize

    side = model.visual.input_resolution
    sized = center_crop(
        resize(images, [side], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1), [side]
    )
    return F.normalize(model.encode_image(normalize(sized, list(_MEAN), list(_STD))).float(), dim=1)


@torch.no_grad()
def embed_captions(model: Any, captions: list[str]) -> Tensor:
    """Unit vectors [n, D] of captions behind the prefix "A photo depicts "; what exceeds 77 tokens
    is cut off.
    """
    import clip

    tokens = clip.tokenize(
        [PREFIX + caption for caption in captions],
        context_length=model.context_length,
        truncate=True,
    )
    return F.normalize(
        model.encode_text(tokens.to(model.token_embedding.weight.device)).float(), dim=1
    )


def clip_scores(images: Tensor, captions: Tensor) -> np.ndarray:
    """250 max(cos, 0) of each pair of unit vectors, [n]: CLIPScore's 2.5 max(cos, 0), in percent as
    in the paper.
    """
    return 250.0 * (images * captions).sum(1).clamp_min(0).double().cpu().numpy()


def r_precision_hits(
    images: Tensor, captions: Tensor, distractors: np.ndarray, start: int = 0
) -> np.ndarray:
    """1.0 where a picture is nearer to its own caption than to each of its distractors, else 0.0
    [n].

    Picture i belongs to caption `start` + i; `distractors` [n, m] are row numbers into all
    `captions` (AttnGAN's R-precision uses m = 99 captions of other pictures).
    """
    own = (images * captions[start : start + len(images)]).sum(1)
    others = torch.einsum("nd,nmd->nm", images, captions[torch.from_numpy(distractors)])
    return (own > others.max(1).values).double().cpu().numpy()


def draw_distractors(
    captions: list[str], generator: np.random.Generator, count: int = 99
) -> np.ndarray:
    """For each caption [n] the numbers [n, m] of other ones with a different text, m = `count` or
    as many as all have.

    Raises UserError when all captions are the same.
    """
    texts = np.asarray(captions, dtype=str)
    most = max(np.unique(texts, return_counts=True)[1])
    count = min(count, len(texts) - most)
    if count < 1:
        raise UserError(
            "Captions cannot be told apart by a matcher: all pictures of the split have the same"
            " one."
        )
    return np.stack(
        [generator.choice(np.flatnonzero(texts != text), count, replace=False) for text in texts]
    )
