"""The inputs of a condition encoder, read off conditions.h5."""

import numpy as np
import torch
from torch import Tensor

from pipeline.storage.store import Store


def condition_inputs(
    conditions: Store,
    rows: np.ndarray,
    choose: np.random.Generator | None = None,
    mine: slice = slice(None),
    caption: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """The fields of conditions.h5 at `rows` as tensors; of several captions a picture has, one.

    Captions [n, C, 77] are drawn with `choose`, or those numbered `caption` [n] are taken, by
    default the first; `captions` [n] counts the real ones. Of the rows only those at `mine` are
    read; captions are drawn for all, so that each gets the same whoever reads it. Where a store
    holds no features of captions, `clip_text` are their tokens [n, 77], for the encoder to read.
    """
    inputs = {}
    for name in conditions.provenance["inputs"]:
        stored = name if name in conditions else "text"
        values = conditions[stored][rows[mine]]
        if name in ("text", "clip_text"):
            counts = conditions["captions"][rows]
            first = np.zeros(len(rows), dtype=np.int64) if caption is None else caption
            picked = first if choose is None else choose.integers(0, counts)
            values = values[np.arange(len(values)), picked[mine]]
        inputs[name] = torch.from_numpy(
            np.ascontiguousarray(values.astype(np.int64) if values.dtype.kind in "iu" else values)
        )
    return inputs
