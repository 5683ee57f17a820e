"""The adherence of a finished model to its conditions, measured on the validation split beside the
same under other items' conditions.

No sample is drawn: it is the true content whose likelihood with and without its condition is
compared (`pipeline.diffusion.adherence`).
"""

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.diffusion.adherence import NAMES, PARTS, condition_gains
from pipeline.diffusion.predictions import C, Network
from pipeline.diffusion.process import MaskAndReplace
from pipeline.metrics.bootstrap import draw_weights, interval
from pipeline.metrics.results import ClipResult, Result
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator, torch_generator
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.manifest import Clip
from pipeline.storage.store import Store

ITEMS = 1000  # measured at the most, evenly spread over the split
ROUNDS = 8  # noisings of each item, one in each eighth of the steps
BATCH = 32  # a constant: the noise is drawn batch by batch
PROTOCOL = "validation"


def evaluate_adherence(
    network: Network[C],
    process: MaskAndReplace,
    tokens: Store,
    conditions: Store,
    clips: Sequence[Clip],
    bootstrap_draws: int,
    seed: int,
) -> tuple[list[Result], list[ClipResult]]:
    """The lines of `adherence` for the rows `model` and `model_shuffled` over the items `clips`,
    and item by item; nothing where there are no items.
    """
    known = set(tokens.ids) & set(conditions.ids)
    clips = [clip for clip in clips if clip.id in known]
    if not clips:
        return [], []
    clips = [clips[place] for place in np.unique(np.linspace(0, len(clips) - 1, ITEMS).astype(int))]
    own = np.arange(len(clips))
    order = numpy_generator(seed, "adherence", "others").permutation(len(clips))
    others = np.empty_like(own)
    others[order] = np.roll(order, 1)
    songs = [clip.song or clip.id for clip in clips]
    weights = draw_weights(songs, bootstrap_draws, numpy_generator(seed, "adherence", "bootstrap"))
    results, lines = [], []
    for row, given in (("model", own), ("model_shuffled", others)):
        sums = _sums(network, process, tokens, conditions, [clip.id for clip in clips], given, seed)
        results += _results(row, sums, weights, len(set(songs)))
        of_items = sums.sum(1)
        lines += [
            ClipResult(clip.id, row, "adherence", PROTOCOL, float(nats / masks))
            for clip, (nats, masks) in zip(clips, of_items)
            if masks > 0
        ]
    return results, lines


def _sums(
    network: Network[C],
    process: MaskAndReplace,
    tokens: Store,
    conditions: Store,
    ids: list[str],
    given: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Nats and masks [n, PARTS, 2] of n items under the conditions of the items numbered `given`;
    the noise is the same whatever these are.
    """
    place = network.output.weight.device
    token_rows, condition_rows = tokens.rows_of(ids), conditions.rows_of(ids)
    sums, last = np.zeros((len(ids), PARTS, 2)), process.n_steps - 1
    for start in progress(range(0, len(ids), BATCH), "adherence"):
        batch = slice(start, start + BATCH)
        x_0 = torch.from_numpy(tokens["tokens"][token_rows[batch]].astype(np.int64)).to(place)
        inputs = condition_inputs(conditions, condition_rows[given[batch]])
        with torch.no_grad():
            condition = network.encode({name: value.to(place) for name, value in inputs.items()})
        generator = torch_generator(seed, "adherence", start)
        for number in range(ROUNDS):
            within = torch.rand(len(x_0), generator=generator, dtype=torch.float64)
            t = ((number + within) / ROUNDS * process.n_steps).long().clamp(max=last) + 1
            gains = condition_gains(network, process, x_0, condition, t, generator)
            sums[batch] += gains.by_part(process.n_steps).cpu().numpy()
    return sums


def _results(row: str, sums: np.ndarray, weights: np.ndarray, n_songs: int) -> list[Result]:
    """The lines of a row: all steps, then each quarter of them; an item counts as its masks do."""
    found = []
    for name, of_items in zip(("adherence", *NAMES), (sums.sum(1), *sums.swapaxes(0, 1))):
        nats, masks = of_items.sum(0)
        if masks > 0:
            drawn = weights @ of_items
            with np.errstate(invalid="ignore", divide="ignore"):
                low, high = interval(drawn[:, 0] / drawn[:, 1])
            counts = (len(of_items), n_songs, 1)
            found.append(
                Result(row, name, PROTOCOL, float(nats / masks), np.nan, low, high, *counts)
            )
    return found
