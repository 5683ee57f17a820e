"""Top-k accuracy of generated pictures under a classifier, such as torchvision's ResNet-101 for
ImageNet's classes.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_state_dict


def top_k_hits(logits: Tensor, labels: Tensor, k: int) -> np.ndarray:
    """1.0 where the label [n] is among the k largest of the logits [n, C], else 0.0."""
    if k > logits.shape[1]:
        raise ValueError(f"top-{k} of {logits.shape[1]} classes")
    best = logits.topk(k, dim=1).indices
    return (best == labels[:, None]).any(1).double().cpu().numpy()


class ImageNetClassifier(nn.Module):
    """torchvision's ResNet-101 as it was published for ImageNet, with its own resizing (256, centre
    crop 224).
    """

    def __init__(self):
        from torchvision.models import ResNet101_Weights, resnet101

        super().__init__()
        self.network = resnet101(weights=None)
        self.prepare = ResNet101_Weights.IMAGENET1K_V1.transforms()
        self.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> "ImageNetClassifier":
        """The network with the weights in `path`; raises UserError when they are not
        ResNet-101's.
        """
        model = cls()
        try:
            model.network.load_state_dict(read_state_dict(path))
        except RuntimeError:
            raise UserError(
                f"{path} is not ResNet-101; `cdcd weights get resnet101` fetches it."
            ) from None
        return model

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, 1000], in ImageNet's order of classes, of images [n, 3, H, W] in [0, 1]."""
        return self.network(self.prepare(images))
