"""The codes of a large codebook that a dataset uses, renumbered 0, 1, 2, ...: a smaller vocabulary
for the diffusion.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.codecs.quantisers import nearest_codes
from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_tensors


class UsedCodes(nn.Module):
    """Both directions: `restricted` [K] maps a full code to its restricted one, `full` [n] a
    restricted code back.

    The tables travel with the module between devices but stay out of the state dict.
    """

    restricted: Tensor
    full: Tensor

    def __init__(self, restricted: Tensor, full: Tensor):
        super().__init__()
        self.register_buffer("restricted", restricted.long(), persistent=False)
        self.register_buffer("full", full.long(), persistent=False)

    def __len__(self) -> int:
        return len(self.full)

    def restrict(self, codes: Tensor) -> Tensor:
        """Restricted codes of full codes, any shape."""
        return self.restricted[codes]

    def expand(self, codes: Tensor) -> Tensor:
        """Full codes of restricted codes, any shape."""
        return self.full[codes]

    @classmethod
    def from_table(cls, table: Tensor) -> "UsedCodes":
        """From a published table [K] (VQ-Diffusion's taming_vqvae_2887.pt and _974.pt): full code
        to restricted code.

        The inverse takes the first full code of each value; codes that the dataset never used share
        the restricted code 0.
        """
        values, inverse = torch.unique(table.long(), return_inverse=True)
        if table.dim() != 1 or not torch.equal(values, torch.arange(len(values))):
            raise UserError(
                "A table of used codes must be one row of whole numbers that cover 0, 1, 2, ..."
                " without a gap."
            )
        positions = torch.arange(len(table))
        first = torch.full((len(values),), len(table)).scatter_reduce_(
            0, inverse, positions, "amin"
        )
        return cls(table, first)

    @classmethod
    def from_dataset(cls, codes: Iterable[Tensor], codebook: Tensor) -> "UsedCodes":
        """From the full codes of a dataset (batches of any shape) and the codewords [K, D]; a code
        the dataset lacks, which may still occur elsewhere, maps to the nearest codeword in use.
        """
        seen = torch.zeros(len(codebook), dtype=torch.bool)
        for batch in codes:
            seen[batch.flatten().cpu()] = True
        full = seen.nonzero().squeeze(1)
        if len(full) == 0:
            raise UserError(
                "No codes were seen; a dataset of at least one image is needed to find the used"
                " codes."
            )
        table = codebook.detach().float().cpu()
        restricted = nearest_codes(table, table[full])
        restricted[full] = torch.arange(len(full))
        return cls(restricted, full)

    @classmethod
    def read(cls, path: Path) -> "UsedCodes":
        """From a published .pt file that holds one table."""
        content = read_tensors(path)
        tensors = [value for value in content.values() if isinstance(value, Tensor)]
        if len(tensors) != 1 or tensors[0].is_floating_point():
            raise UserError(
                f"{path} is no table of used codes; expected one tensor of whole numbers"
                " (taming_vqvae_2887.pt)."
            )
        return cls.from_table(tensors[0])
