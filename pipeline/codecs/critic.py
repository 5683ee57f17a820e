"""Judges of images that help a codec to learn: VGG features for what looks alike, and a critic of
patches.
"""

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Amount, Section, Weight
from pipeline.storage.tensors import read_state_dict

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG_STAGES = (
    (0, 4),
    (4, 9),
    (9, 16),
    (16, 23),
    (23, 30),
)  # ends after relu1_2, relu2_2, relu3_3, relu4_3, relu5_3


class Perceptual(Section):
    """The weight of the perceptual distance and torchvision's VGG-16 weights (`cdcd weights get
    vgg16`).
    """

    weight: Weight
    vgg16: Path


class VGGDistance(nn.Module):
    """The squared distance of channel-normalised VGG-16 features at five depths, as LPIPS with
    equal weights.
    """

    def __init__(self, settings: Perceptual):
        from torchvision.models import vgg16

        super().__init__()
        network = vgg16(weights=None).features
        assert isinstance(network, nn.Sequential)
        state = read_state_dict(settings.vgg16)
        try:
            network.load_state_dict(
                {name: state[f"features.{name}"] for name in network.state_dict()}
            )
        except (KeyError, RuntimeError):
            raise UserError(
                f"{settings.vgg16} is not torchvision's VGG-16; `cdcd weights get vgg16`"
                " fetches it."
            ) from None
        self.stages = nn.ModuleList(network[first:last] for first, last in VGG_STAGES)
        for module in self.stages.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.requires_grad_(False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """A scalar for images and targets [B, 3, H, W] in [0, 1]."""
        from torchvision.transforms.functional import normalize

        x = normalize(torch.cat([images, targets]), list(IMAGENET_MEAN), list(IMAGENET_STD))
        distances = []
        for stage in self.stages:
            x = stage(x)
            a, b = nn.functional.normalize(x, dim=1, eps=1e-10).chunk(2)
            distances.append((a - b).square().sum(1).mean())
        return torch.stack(distances).sum()


class Critic(Section):
    """The adversarial term: its weight, the step from which it counts, and the width and strided
    layers of the critic.
    """

    weight: Weight
    start: Amount
    width: int = Field(strict=True, ge=8, le=4096, multiple_of=8)
    layers: int = Field(strict=True, ge=1, le=16)


class PatchCritic(nn.Module):
    """One score a patch [B, 1, h, w]: high for real images (Isola et al., 2017; group in place of
    batch normalisation).
    """

    def __init__(self, settings: Critic, channels: int):
        super().__init__()
        widths = [settings.width * min(2**i, 8) for i in range(settings.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for index, (inputs, outputs) in enumerate(zip(widths, widths[1:]), start=1):
            stride = 2 if index < settings.layers else 1
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False),
                nn.GroupNorm(8, outputs),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the patches of images [B, 3, H, W] in [0, 1]."""
        return self.model(2 * images - 1)
