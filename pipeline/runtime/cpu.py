"""Linear layers and 3 x 3 convolutions, through oneDNN on a CPU: the same float32 products, on AMD
processors at twice the rate.

`choose_products` puts them in the place of torch's own, for the whole process, where the shipped
table or run.yaml says so; until a stage calls it, and wherever the operators of torch that they
rest on are missing, networks and losses are plain torch (`pipeline.runtime.products`).

PyTorch multiplies float32 matrices with MKL, which on processors of other makers than Intel leaves
half the machine idle (measured on an AMD EPYC: 92 GFLOP/s a core against 200), and on Intel's own
is the faster of the two (processors.yaml). A convolution,
oneDNN's in any case, re-orders its weights at every call; with wide layers and few tokens that
takes as long as the rest, and unfolding the tokens for one product less. Everywhere else (a GPU,
bfloat16, autocast, torch.compile) PyTorch's own choice is taken.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from pipeline.runtime import products as plain
from pipeline.runtime.processor import Choice, fastest_products, processor
from pipeline.runtime.run import run_settings

# unfolding wins when there are this many times fewer tokens than channels on the wider side
# (measured)
FEW = 4


def choose_products() -> Choice:
    """The products of this process from now on: `products` of run.yaml, else those that the shipped
    table names for this processor.
    """
    return use_products(run_settings().products or fastest_products(processor()))


def use_products(name: Choice) -> Choice:
    """The products of this process from now on: those asked for, or torch's where oneDNN's
    operators are missing.

    They are private ones that a version of torch may drop.
    """
    if name == "onednn" and fast_products_exist():
        plain.products.become(plain.Products("onednn", linear, linear_gradients, convolution))
    else:
        plain.products.become(plain.Products())
    return plain.products.name


def fast_products_exist() -> bool:
    """Whether this build of torch has the operators of oneDNN that the fast products call."""
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.aten, "mkldnn_linear_backward_weights")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` of x [..., n] and weight [m, n], differentiable; [..., m]."""
    return _Linear.apply(x, weight, bias) if _by_onednn(x) else F.linear(x, weight, bias)


def linear_gradients(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `linear` with respect to x [M, n] and weight [m, n], from that of its result
    [M, m].
    """
    if not _by_onednn(x):
        return plain.plain_linear_gradients(grad, x, weight)
    return _product(grad, weight.T), _of_weight(grad, x)[0]


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d` with padding 1 of images x [B, h, w, n], channels last, and weight [m, n, 3, 3];
    [B, h, w, m].
    """
    if bias is None or not _by_onednn(x) or max(weight.shape[:2]) < FEW * x.shape[:3].numel():
        return plain.plain_convolution(x, weight, bias)
    return _Convolution.apply(x, weight, bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _product(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,), (x, weight) = grad_outputs, ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        grad = grad.flatten(0, -2)
        of_x = _product(grad, weight.T).view(x.shape) if wants_x else None
        if wants_weight:
            return of_x, *_of_weight(grad, x.flatten(0, -2), wants_bias)
        return of_x, None, grad.sum(0) if wants_bias else None


class _Convolution(torch.autograd.Function):
    """A convolution as one product, of whichever side is narrower unfolded: its input, or its
    result.

    What is unfolded is nine times as large, so it is not kept for the backward pass but unfolded
    again.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        shape, weight = (
            x.shape[:3],
            weight.permute(0, 2, 3, 1),
        )  # no copy: the weights lie channels last
        if len(weight) >= x.shape[3]:
            return linear(_unfold(x), weight.flatten(1), bias).view(*shape, -1)
        parts = linear(x.flatten(0, 2), weight.flatten(0, 2), None).view(*shape, -1, 3, 3)
        return _gather(parts.flip(4, 5)).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,), (x, weight) = grad_outputs, ctx.saved_tensors
        shape, weight = x.shape[:3], weight.permute(0, 2, 3, 1)
        if len(weight) >= x.shape[3]:
            of_x, of_weight = linear_gradients(grad.flatten(0, 2), _unfold(x), weight.flatten(1))
            of_x = _gather(of_x.view(*shape, 3, 3, -1).permute(0, 1, 2, 5, 3, 4))
        else:
            around = _surroundings(grad).flip(4, 5).flatten(0, 2).flatten(1)
            of_x, of_weight = linear_gradients(around, x.flatten(0, 2), weight.flatten(0, 2))
            of_x = of_x.view_as(x)
        return of_x, of_weight.view(weight.shape).permute(0, 3, 1, 2), grad.sum((0, 1, 2))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The rows [M, m] x weight^T + bias of x [M, n] and weight [m, n], either of which may be a
    transposed view.

    PyTorch's one product by oneDNN that takes tensors as they lie and returns one, without copies
    in oneDNN's own layout.
    """
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _of_weight(grad: Tensor, x: Tensor, with_bias: bool = False) -> tuple[Tensor, Tensor | None]:
    """The gradients grad^T x [m, n], and of the bias [m] if wanted, of grad [M, m] and x [M, n]."""
    size = grad.shape[1], x.shape[1]
    if (
        math.prod(size) > grad.numel() + x.numel()
    ):  # the result is what is large: the copies go where it is not
        return _product(grad.T, x.T), grad.sum(0) if with_bias else None
    like = grad.new_empty(size)
    found = torch.ops.aten.mkldnn_linear_backward_weights(
        grad.to_mkldnn(), x.to_mkldnn(), like, with_bias
    )
    return found[0].to_dense(), found[1].to_dense() if with_bias else None


def _surroundings(x: Tensor) -> Tensor:
    """The 3 x 3 surroundings [B, h, w, n, 3, 3] of each position of x [B, h, w, n], zeros beyond
    the border; a view.
    """
    return F.pad(x, (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1)


def _unfold(x: Tensor) -> Tensor:
    """The same as rows [B h w, 9 n], a copy; the channels lie together."""
    return _surroundings(x).permute(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[3])


def _gather(parts: Tensor) -> Tensor:
    """The transpose of `_surroundings`: parts [B, h, w, n, 3, 3] added to the positions they belong
    to, [B, h, w, n].
    """
    batch, height, width, n = parts.shape[:4]
    padded = parts.new_zeros(batch, height + 2, width + 2, n)
    for i in range(3):
        for j in range(3):
            padded[:, i : i + height, j : j + width] += parts[..., i, j]
    return padded[:, 1:-1, 1:-1].contiguous()


def _by_onednn(x: Tensor) -> bool:
    plain = (
        x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    )
    usable = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    return plain and usable and x.numel() > 0 and not torch.compiler.is_compiling()
