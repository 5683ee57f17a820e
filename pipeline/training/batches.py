"""Training batches by step number, so that a resumed run reads exactly what an uninterrupted one
would have read.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pipeline.negatives import reorder_grid, reorder_sequence
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.store import Store


@dataclass(frozen=True)
class Batch:
    """Tokens [B, L], the inputs of the condition encoders by name, and negatives by kind [B, N,
    L]: part `number` of `parts` equal ones of the rows of a step, and whether another part
    follows it in this process.
    """

    x_0: Tensor
    inputs: dict[str, Tensor]
    negatives: dict[str, Tensor]
    number: int = 0
    parts: int = 1
    is_last: bool = True

    def to(self, device: torch.device, non_blocking: bool = True) -> "Batch":
        """The same batch on another device."""
        return self._map(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same batch where a GPU can fetch it while the CPU goes on."""
        return self._map(Tensor.pin_memory)

    def split(self, rows: int | None) -> list["Batch"]:
        """The batch in equal parts of at most `rows` (None: whole)."""
        most = len(self.x_0) if rows is None else rows
        count = next(n for n in range(1, 1 + len(self.x_0)) if _fits(len(self.x_0), n, most))
        size = len(self.x_0) // count
        return [
            replace(
                self._map(lambda value, first=part * size: value[first : first + size]),
                number=self.number * count + part,
                parts=self.parts * count,
                is_last=part == count - 1,
            )
            for part in range(count)
        ]

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            x_0=change(self.x_0),
            inputs={name: change(value) for name, value in self.inputs.items()},
            negatives={name: change(value) for name, value in self.negatives.items()},
        )


def _fits(rows: int, parts: int, most: int) -> bool:
    return rows % parts == 0 and rows // parts <= most


@lru_cache(maxsize=4)
def epoch_order(n_rows: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which epoch `epoch` visits the rows."""
    return numpy_generator(seed, "epoch", epoch).permutation(n_rows)


def rows_at(step: int, batch_size: int, n_rows: int, seed: int) -> np.ndarray:
    """[batch_size] positions among the training rows at `step`: epochs follow one another without a
    gap.
    """
    wanted = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = {
        int(epoch): epoch_order(n_rows, seed, int(epoch)) for epoch in np.unique(wanted // n_rows)
    }
    return np.array([epochs[int(index // n_rows)][index % n_rows] for index in wanted])


class TrainingBatches:
    """`at(step)` is the batch of a step, whatever came before: of its `batch_size` rows the part of
    process `rank` of `world`.
    """

    def __init__(
        self,
        tokens: Store,
        conditions: Store,
        negatives: Store | None,
        rows: list[str],
        kinds: tuple[str, ...],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        self.tokens, self.conditions, self.negatives = tokens, conditions, negatives
        self.kinds, self.batch_size, self.seed = kinds, batch_size, seed
        self.rank, self.world = rank, world
        self.token_rows, self.condition_rows = tokens.rows_of(rows), conditions.rows_of(rows)
        self.negative_rows = negatives.rows_of(rows) if negatives is not None and kinds else None

    def at(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        everyone = rows_at(step, self.batch_size, len(self.token_rows), self.seed)
        share = self.batch_size // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        choose = numpy_generator(self.seed, "captions", step)
        inputs = condition_inputs(self.conditions, self.condition_rows[everyone], choose, mine)
        positions = everyone[mine]
        x_0 = torch.from_numpy(self.tokens["tokens"][self.token_rows[positions]].astype(np.int64))
        negatives = {kind: self._negatives(kind, positions, x_0) for kind in self.kinds}
        return Batch(x_0, inputs, negatives, self.rank, self.world)

    def _negatives(self, kind: str, positions: np.ndarray, x_0: Tensor) -> Tensor:
        """[B, N, L] tokens: stored codes or orders (intra), or the rows that are pointed to
        (inter).
        """
        assert self.negatives is not None
        assert self.negative_rows is not None
        stored = self.negatives[kind][self.negative_rows[positions]].astype(np.int64)
        if kind == "inter":
            return torch.from_numpy(
                self.tokens["tokens"][stored.ravel()].astype(np.int64)
            ).unflatten(0, stored.shape)
        orders = torch.from_numpy(stored)
        match self.negatives.provenance:
            case {"intra": "tokens", "grid": [int(rows), int(columns)]} if rows > 1:
                return reorder_grid(x_0, orders, (rows, columns))
            case {"intra": "tokens" | "sequence"}:
                return reorder_sequence(x_0, orders)
        return orders
