"""The two published ways to write the same I3D: names, padding, and the constant in the batch norm
(reference 3.2, 3.3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Size3 = tuple[int, int, int]


def padding_by_input(size: int, kernel: int, stride: int) -> int:
    """Zeros along one axis so that ceil(size / stride) outputs result: TensorFlow's "same"."""
    return max(kernel - (size % stride or stride), 0)


def padding_static(size: int, kernel: int, stride: int) -> int:
    """Zeros along one axis that depend on the kernel alone."""
    return max(kernel - stride, 0)


@dataclass(frozen=True)
class Layout:
    """Names of the units, the six branches of an inception, the norm and the classifier; and the
    numerical conventions.
    """

    stem: str
    inception: str
    branches: tuple[str, ...]
    norm: str
    classifier: str
    eps: float
    padding: Callable[[int, int, int], int]
    ceil_mode: bool

    def pad(self, x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
        """The feature map x [B, C, T, H, W] with zeros around it; the odd one goes to the end."""
        widths = []
        for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1]):
            total = self.padding(size, k, s)
            widths += [total // 2, total - total // 2]
        return F.pad(x, widths) if any(widths) else x


PIERGIAJ = Layout(
    stem="Conv3d_{}",
    inception="Mixed_{}",
    branches=("b0", "b1a", "b1b", "b2a", "b2b", "b3b"),
    norm="bn",
    classifier="logits",
    eps=1e-3,
    padding=padding_by_input,
    ceil_mode=False,
)
HASSONY2 = Layout(
    stem="conv3d_{}",
    inception="mixed_{}",
    branches=("branch_0", "branch_1.0", "branch_1.1", "branch_2.0", "branch_2.1", "branch_3.1"),
    norm="batch3d",
    classifier="conv3d_0c_1x1",
    eps=1e-5,
    padding=padding_static,
    ceil_mode=True,
)
LAYOUTS = {"piergiaj": PIERGIAJ, "hassony2": HASSONY2}


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self,
        layout: Layout,
        in_width: int,
        out_width: int,
        kernel: Size3 = (1, 1, 1),
        stride: Size3 = (1, 1, 1),
    ):
        super().__init__()
        self.layout = layout
        self.conv3d = nn.Conv3d(in_width, out_width, kernel, stride, bias=False)
        self.add_module(layout.norm, nn.BatchNorm3d(out_width, eps=layout.eps, momentum=0.01))

    def forward(self, x: Tensor) -> Tensor:
        """The features of x [B, C, T, H, W]."""
        conv = self.conv3d
        return F.relu(
            self.get_submodule(self.layout.norm)(
                conv(self.layout.pad(x, conv.kernel_size, conv.stride))
            )
        )


class Inception(nn.Module):
    """Four branches side by side: 1x1x1; 1x1x1 and 3x3x3; the same again; 3x3x3 maximum and
    1x1x1.
    """

    def __init__(self, layout: Layout, in_width: int, widths: Sequence[int]):
        super().__init__()
        self.layout = layout
        one, three_in, three, thin_in, thin, pooled = widths
        cube = (3, 3, 3)
        units = (
            Unit(layout, in_width, one),
            Unit(layout, in_width, three_in),
            Unit(layout, three_in, three, cube),
            Unit(layout, in_width, thin_in),
            Unit(layout, thin_in, thin, cube),
            Unit(layout, in_width, pooled),
        )
        for name, unit in zip(layout.branches, units):
            put(self, name, unit)
        self.out_width = one + three + thin + pooled

    def forward(self, x: Tensor) -> Tensor:
        """The branches' features of x [B, C, T, H, W], one after the other along C."""
        one, three_in, three, thin_in, thin, pooled = map(self.get_submodule, self.layout.branches)
        branches = [
            one(x),
            three(three_in(x)),
            thin(thin_in(x)),
            pooled(pool(self.layout, x, (3, 3, 3), (1, 1, 1))),
        ]
        return torch.cat(branches, dim=1)


def pool(layout: Layout, x: Tensor, kernel: Size3, stride: Size3) -> Tensor:
    """The maximum over windows of x [B, C, T, H, W], zeros around it."""
    return F.max_pool3d(layout.pad(x, kernel, stride), kernel, stride, ceil_mode=layout.ceil_mode)


def put(parent: nn.Module, path: str, module: nn.Module) -> None:
    """Registers `module` below `parent` under a dotted path, making the containers on the way."""
    *containers, name = path.split(".")
    for container in containers:
        if container not in dict(parent.named_children()):
            parent.add_module(container, nn.Module())
        parent = parent.get_submodule(container)
    parent.add_module(name, module)
