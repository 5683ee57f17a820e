"""From vectors to codes and back: nearest codeword (Jukebox, VQ-GAN f16) and the logits of a Gumbel
quantiser (VQ-GAN f8).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

ROWS_AT_ONCE = 8192  # bounds the table of distances, whatever the length of the sequence


def nearest_codes(
    vectors: Float[Tensor, "N D"], codebook: Float[Tensor, "K D"]
) -> Int[Tensor, " N"]:
    """Codes [N] int64 of the codewords [K, D] nearest to the vectors [N, D] in Euclidean distance,
    the first among equals.
    """
    middle = codebook.mean(0)  # distances do not depend on the origin, but their rounding does
    codebook = codebook - middle
    squares = codebook.square().sum(1)
    pieces = [
        torch.addmm(squares, part - middle, codebook.T, alpha=-2).argmin(1)
        for part in vectors.split(ROWS_AT_ONCE)
    ]
    return torch.cat(pieces)


def as_rows(latent: Float[Tensor, "B D *S"]) -> Float[Tensor, "N D"]:
    """Vectors [N, D] of a channel-first latent [B, D, ...], row-major over batch and positions."""
    return latent.movedim(1, -1).reshape(-1, latent.shape[1])


def as_latent(rows: Float[Tensor, "N D"], like: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *S"]:
    """Inverse of `as_rows`: vectors [N, D] laid out as [B, D, ...] with the batch and positions of
    `like`.
    """
    return rows.unflatten(0, (like.shape[0], *like.shape[2:])).movedim(-1, 1)


class Codebook(nn.Module):
    """Jukebox's codebook: `k` [K, D] is its only entry in a state dict, and no gradient reaches
    it.
    """

    k: Tensor

    def __init__(self, n_codes: int, dimension: int):
        super().__init__()
        self.register_buffer("k", torch.zeros(n_codes, dimension))

    def codes(self, rows: Float[Tensor, "N D"]) -> Int[Tensor, " N"]:
        """Codes [N] of the vectors [N, D]."""
        return nearest_codes(rows, self.k)

    def vectors(self, codes: Int[Tensor, "*N"]) -> Float[Tensor, "*N D"]:
        """Codewords [..., D] of codes [...]."""
        return self.k[codes]

    @property
    def table(self) -> Float[Tensor, "K D"]:
        """The codewords [K, D]."""
        return self.k


class NearestQuantiser(nn.Module):
    """The quantiser of VQ-GAN f16: nearest codeword of `embedding` [K, D]."""

    def __init__(self, n_codes: int, dimension: int):
        super().__init__()
        self.embedding = nn.Embedding(n_codes, dimension)
        self.embedding.weight.requires_grad_(False)  # moved by averages, not by gradients

    def codes(self, rows: Float[Tensor, "N D"]) -> Int[Tensor, " N"]:
        """Codes [N] of the vectors [N, D]."""
        return nearest_codes(rows, self.embedding.weight)

    def vectors(self, codes: Int[Tensor, "*N"]) -> Float[Tensor, "*N D"]:
        """Codewords [..., D] of codes [...]."""
        return self.embedding(codes)

    @property
    def table(self) -> Float[Tensor, "K D"]:
        """The codewords [K, D]."""
        return self.embedding.weight


class GumbelQuantiser(nn.Module):
    """The quantiser of VQ-GAN f8: a 1x1 convolution gives K logits, the codeword of the largest one
    is taken.
    """

    def __init__(self, n_codes: int, dimension: int):
        super().__init__()
        self.proj = nn.Conv2d(dimension, n_codes, 1)
        self.embed = nn.Embedding(n_codes, dimension)

    def logits(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """Logits [N, K] of the vectors [N, D]."""
        return nn.functional.linear(rows, self.proj.weight.flatten(1), self.proj.bias)

    def codes(
        self, rows: Float[Tensor, "N D"], generator: torch.Generator | None = None
    ) -> Int[Tensor, " N"]:
        """Codes [N] of the vectors [N, D]: the arg-max of the logits, or with a generator a sample,
        as the original draws.
        """
        pieces = []
        for part in rows.split(ROWS_AT_ONCE):
            logits = self.logits(part)
            if generator is not None:
                logits = logits + gumbel_noise(logits, generator)
            pieces.append(logits.argmax(1))
        return torch.cat(pieces)

    def vectors(self, codes: Int[Tensor, "*N"]) -> Float[Tensor, "*N D"]:
        """Codewords [..., D] of codes [...]."""
        return self.embed(codes)

    @property
    def table(self) -> Float[Tensor, "K D"]:
        """The codewords [K, D]."""
        return self.embed.weight


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise in the shape of `like`."""
    return -torch.empty_like(like).exponential_(generator=generator).clamp_min(1e-30).log()


def perplexity(histogram: Tensor) -> float:
    """The exponential of the entropy of a histogram of codes [K]: how many codes are in effective
    use, 1 to K.
    """
    total = histogram.sum()
    if total == 0:
        return math.nan
    share = histogram.double() / total
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))
