"""The products of which networks and their loss are made, in torch's own words.

`products` is how this process computes them. It is plain torch until a stage puts faster ones in
(`pipeline.runtime.cpu.choose_products`); networks and losses ask for a product and know no more.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from pipeline.runtime.processor import Choice


def plain_linear_gradients(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `F.linear` with respect to x [M, n] and weight [m, n], from that of its
    result [M, m].
    """
    return grad @ weight, grad.T @ x


def plain_convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d` with padding 1 of images x [B, h, w, n], channels last, and weight [m, n, 3, 3];
    [B, h, w, m].
    """
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)


@dataclass
class Products:
    """Each product as the function that computes it, and a name for all of them."""

    name: Choice = "torch"
    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor] = F.linear
    linear_gradients: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = (
        plain_linear_gradients
    )
    convolution: Callable[[Tensor, Tensor, Tensor | None], Tensor] = plain_convolution

    def become(self, others: "Products") -> None:
        """Takes over other functions, for all who hold this object."""
        self.name, self.linear = others.name, others.linear
        self.linear_gradients, self.convolution = others.linear_gradients, others.convolution


products = Products()
