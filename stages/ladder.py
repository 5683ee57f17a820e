"""Part of the stage `sample`: a few conditions drawn again under other guidance weights, with the
same noise, so that a reader sees and hears what a stronger adherence does.
"""

import numpy as np

from pipeline.model.network import Network
from pipeline.runtime.progress import progress
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.manifest import Clip, spread
from pipeline.storage.store import Store, write_store
from stages.config import Sample
from stages.drawing import tokens_for
from stages.paths import LADDER_FILE, Paths

SOUNDS, PICTURES = 4, 12


def sample_ladder(
    network: Network, conditions: Store, clips: list[Clip], config: Sample, paths: Paths
) -> None:
    """Writes samples/ladder.h5: for the first of `clips`, as many songs or classes as they can
    show, the tokens [weights, L] at each weight of `sample.ladder`.
    """
    kinds = [clip.song or clip.label or clip.id for clip in clips]
    ids = [
        clips[place].id for place in spread(kinds, SOUNDS if "motion" in conditions else PICTURES)
    ]
    inputs = condition_inputs(conditions, conditions.rows_of(ids))
    marks = [(config.seeds[0], "tokens", one) for one in ids]
    drawn = [
        tokens_for(network, inputs, _at(config, weight), marks)
        for weight in progress(config.ladder, f"{paths.dataset}: guidance")
    ]
    provenance = {**network.provenance, "weights": list(config.ladder)}
    with write_store(paths.samples / LADDER_FILE, "samples", ids, provenance) as store:
        store.field("tokens", (len(config.ladder), network.length), "uint16")
        store.write("tokens", slice(None), np.stack(drawn, axis=1))


def _at(config: Sample, weight: float) -> Sample:
    sampling = config.sampling.model_copy(update={"guidance": weight})
    return config.model_copy(update={"sampling": sampling})
