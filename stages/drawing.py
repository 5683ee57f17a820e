"""What all samples are drawn by: the trained network, and tokens from it."""

import numpy as np
import torch

from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.sampler import sample as draw
from pipeline.model.network import Network
from pipeline.model.released import load_network
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import torch_generator
from pipeline.storage.store import Store
from stages.captions import with_captions
from stages.config import AnyDataset, Sample
from stages.paths import MODEL_FILE, Paths


def fitting_model(settings: AnyDataset, paths: Paths, conditions: Store) -> Network:
    """The trained network; raises UserError where it was trained on other conditions."""
    network = load_network(paths.model / MODEL_FILE)
    if network.provenance["conditions"] != conditions.provenance:
        raise UserError(
            f"{paths.model} was trained on other conditions than {paths.conditions} holds; run"
            f" `cdcd train {paths.dataset}`."
        )
    return with_captions(network.to(device()), settings, conditions)


def tokens_for(network: Network, inputs: dict, config: Sample, marks: list[tuple]) -> np.ndarray:
    """Tokens [B, L] for a batch of conditions; each row's noise comes from its own mark, so batches
    do not matter.
    """
    place = next(network.parameters()).device
    inputs = {name: value.to(place) for name, value in inputs.items()}
    with torch.no_grad(), torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda"):
        condition = network.encode(inputs)
        process = MaskAndReplace(network.n_codes, network.n_steps)
        generators = [torch_generator(*mark) for mark in marks]
        sampling, length, grid = config.sampling, network.length, network.grid
        tokens = draw(network, process, condition, length, sampling, generators, grid=grid)
        return tokens.cpu().numpy()
