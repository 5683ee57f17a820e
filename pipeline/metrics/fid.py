"""Frechet distance between sets of pictures, through features of the FID Inception network or of a
judge trained here.
"""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_state_dict

FID_FEATURES = 256  # up to so many features are kept, and their distances bootstrapped
_SUMMED_AT_ONCE = 1024


class FidInception(nn.Module):
    """The Inception network behind published FIDs ("2015-12-05", 1008 classes): pictures in, 2048
    features out.

    It is torchvision's network with TensorFlow's pooling: padding does not count in averages, and
    the last block takes a maximum. `weights-inception-2015-12-05-6726825d.pth`, which
    torch-fidelity publishes (pytorch-fid as `pt_inception-...`), fits its keys.
    """

    num_features = 2048

    def __init__(self):
        from torchvision.models import Inception3

        super().__init__()
        self.network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
        self.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> "FidInception":
        """The network with the weights in `path` (a plain state dict); raises UserError when they
        are not such weights.
        """
        model = cls()
        try:
            model.network.load_state_dict(read_state_dict(path))
        except RuntimeError:
            raise UserError(
                f"{path} is not the FID Inception; `cdcd weights get inception_fid` fetches it."
            ) from None
        return model

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features [n, 2048] of images [n, 3, H, W] in [0, 1], rounded to 8 bits and resized as
        torchmetrics does.
        """
        from torchvision.transforms.functional import resize

        pixels = (images * 255).round().clamp(0, 255)
        x = (resize(pixels, [299, 299], antialias=True) - 128) / 128
        net = self.network
        x = net.maxpool1(net.Conv2d_2b_3x3(net.Conv2d_2a_3x3(net.Conv2d_1a_3x3(x))))
        x = net.maxpool2(net.Conv2d_4a_3x3(net.Conv2d_3b_1x1(x)))
        for block in (net.Mixed_5b, net.Mixed_5c, net.Mixed_5d):
            x = _mixed(block, x, _average)
        x = net.Mixed_6a(x)
        for block in (net.Mixed_6b, net.Mixed_6c, net.Mixed_6d, net.Mixed_6e):
            x = _mixed(block, x, _average)
        x = _mixed(net.Mixed_7b, net.Mixed_7a(x), _average)
        x = _mixed(net.Mixed_7c, x, _maximum)
        return x.mean((2, 3))


def _mixed(block: Any, x: Tensor, pool) -> Tensor:
    """An Inception block with its pooling branch recomputed from `pool`."""
    *branches, _ = block._forward(x)
    return torch.cat([*branches, block.branch_pool(pool(x))], 1)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


class _Features(nn.Module):
    """Hands features through, for a metric that would like to extract them itself."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The features as they are."""
        return features


class Moments:
    """A set of features [n, D] of which only the count, the sum and the sum of outer products
    stay, in float64.
    """

    def __init__(self):
        self.count, self.width = 0, 0
        self._waiting: list[Tensor] = []
        self._sums: list[Tensor] = []

    def __len__(self) -> int:
        return self.count

    def add(self, features: Tensor) -> None:
        """Takes up features [n, D]; a thousand rows are summed at once."""
        self.count, self.width = self.count + len(features), features.shape[1]
        self._waiting.append(features)
        if sum(map(len, self._waiting)) >= _SUMMED_AT_ONCE:
            self.sums()

    def sums(self) -> tuple[Tensor, Tensor]:
        """The sum [D], and the sum of outer products [D, D]."""
        if self._waiting:
            block = torch.cat(self._waiting).double()
            found = [block.sum(0), block.t().mm(block)]
            before = self._sums or [torch.zeros_like(part) for part in found]
            self._sums = [old.add_(new) for old, new in zip(before, found)]
            self._waiting = []
        return self._sums[0], self._sums[1]


Features = Tensor | Moments


def kept_features(batches: Iterable[Tensor]) -> Features:
    """Features [n, D] that come in batches: all of them where they are few numbers each and are
    drawn from again, else their moments.
    """
    batches = iter(batches)
    first = next(batches)
    if first.shape[1] <= FID_FEATURES:
        return torch.cat([first, *batches])
    moments = Moments()
    for features in chain([first], batches):
        moments.add(features)
    return moments


def joined(one: Features, other: Features) -> Features:
    """Both sets as one."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.cat([one, other])
    assert isinstance(one, Moments)
    assert isinstance(other, Moments)
    both = Moments()
    both.count, both.width = len(one) + len(other), one.width
    both._sums = [a + b for a, b in zip(one.sums(), other.sums())]
    return both


class Reference:
    """The pictures that others are compared with: only the mean and covariance of their features
    are kept.
    """

    def __init__(self, batches: Iterable[Tensor]):
        """`batches`: features [n, D], one batch at a time."""
        from torchmetrics.image.fid import FrechetInceptionDistance

        self.count, self._metric, moments = 0, None, Moments()
        for features in batches:
            if self._metric is None:
                extract = _Features(features.shape[1])
                self._metric = FrechetInceptionDistance(
                    extract, reset_real_features=False, normalize=True
                )
            self.count += len(features)
            if features.shape[1] <= FID_FEATURES:
                self._metric.update(features.double(), real=True)
            else:
                moments.add(features)
        if self._metric is not None and len(moments):
            _take(self._metric, moments, "real")

    def distance(self, features: Features) -> float:
        """The Frechet distance to features [n, D] (torchmetrics, float64); NaN where either has
        fewer than two rows.
        """
        if self._metric is None or self.count < 2 or len(features) < 2:
            return float("nan")
        self._metric.reset()
        if isinstance(features, Moments):
            _take(self._metric, features, "fake")
        else:
            self._metric.update(features.double(), real=False)
        return max(0.0, float(self._metric.compute()))


def _take(metric: Any, moments: Moments, which: str) -> None:
    """Puts moments where torchmetrics keeps its own."""
    total, products = moments.sums()
    metric.orig_dtype, metric._update_count = torch.float64, 1
    setattr(metric, f"{which}_features_sum", total.cpu())
    setattr(metric, f"{which}_features_cov_sum", products.cpu())
    setattr(metric, f"{which}_features_num_samples", torch.tensor(len(moments)))
