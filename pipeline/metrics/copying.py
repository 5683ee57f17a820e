"""Does a sample copy what the model was trained on? Token distance to the nearest training item."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Nearest:
    """The nearest training row of each sample, and the share of token positions in which the two
    differ, in percent.
    """

    row: np.ndarray
    distance: np.ndarray


def nearest_training_item(samples: np.ndarray, training, chunk: int = 512) -> Nearest:
    """For each of `samples` [n, L], the row of `training` [m, L] that agrees in most positions.

    `training` may be anything that slices to arrays (a field of a store), so that the whole set is
    never in memory. A token distance near 0 is a copy; what unseen real items have is the
    yardstick.
    """
    samples = np.asarray(samples)
    agreement = np.full(len(samples), -1)
    row = np.zeros(len(samples), dtype=np.int64)
    for start in range(0, len(training), chunk):
        block = np.asarray(training[start : start + chunk])
        for sample, tokens in enumerate(samples):
            same = (block == tokens).sum(axis=1)
            best = int(same.argmax())
            if same[best] > agreement[sample]:
                agreement[sample], row[sample] = same[best], start + best
    return Nearest(row, 100.0 * (1 - agreement / samples.shape[1]))
