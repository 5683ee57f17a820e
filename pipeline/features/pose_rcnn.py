"""Keypoint R-CNN (torchvision): the 17 COCO joints of everybody in a picture."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.features.pose import follow_dancer
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_state_dict

SHORT_SIDE = 480  # pixels
PERSON_SCORE = 0.7
_BATCH = 4


class KeypointRcnn:
    """The network in a file of torchvision's layout; called with the frames of one clip it gives
    its main dancer's joints.
    """

    def __init__(self, path: Path):
        self.network = _network()
        try:
            self.network.load_state_dict(read_state_dict(path, "state_dict", "model"))
        except RuntimeError:
            raise UserError(
                f"{path} is not torchvision's Keypoint R-CNN; see `cdcd weights list`."
            ) from None
        self.network.eval().requires_grad_(False).to(device())

    @torch.inference_mode()
    def __call__(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Joints [T, 17, 3] (x, y in pixels, visibility) in frames [H, W, 3] uint8; NaN in frames
        without the dancer.
        """
        people, frames = [], iter(frames)
        while batch := list(islice(frames, _BATCH)):
            pictures = [
                torch.from_numpy(frame).movedim(-1, 0).to(device()).float() / 255 for frame in batch
            ]
            people += [_joints(found) for found in self.network(pictures)]
        return follow_dancer(people)


def _network() -> nn.Module:
    """ResNet-50 with a feature pyramid and frozen batch norms of eps 0, as the published weights
    were trained; no weights.
    """
    from torchvision.models.detection import KeypointRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.misc import FrozenBatchNorm2d

    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d
    )
    network = KeypointRCNN(backbone, num_classes=2, num_keypoints=17)
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return network


def _joints(found: dict[str, torch.Tensor]) -> np.ndarray:
    """The confident people [P, 17, 3] of one picture; a joint's heatmap logit becomes a visibility
    in 0..1.
    """
    sure = found["scores"] > PERSON_SCORE
    places, logits = found["keypoints"][sure][..., :2], found["keypoints_scores"][sure]
    return torch.cat([places, logits.sigmoid()[..., None]], dim=-1).cpu().numpy()
