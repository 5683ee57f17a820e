"""Published denoisers in the stage `train`: in place of a training, or as its start."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.model.network import Network, load_model
from pipeline.model.released import adopt, load_released
from pipeline.model.training import ReleasedWeights
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, write_json
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.store import Store
from pipeline.storage.tensors import read_about
from pipeline.storage.weights import weights_file
from pipeline.training.checkpoint import Damaged, is_checkpoint, read_checkpoint
from pipeline.training.history import write_history
from stages.captions import with_captions
from stages.config import read_dataset
from stages.paths import MODEL_FILE, Paths


def take_released(
    dataset: str, released: ReleasedWeights, tokens: Store, conditions: Store
) -> None:
    """Writes the folder `model` with a published denoiser in place of a training; raises UserError
    where it does not fit the data set's tokens or conditions.
    """
    provenance = {
        "contrast": "vanilla",
        "released": released.weights,
        "codec": tokens.provenance["codec"],
        "conditions": conditions.provenance,
    }
    config = None if released.config is None else Path(released.config).expanduser()
    with atomic(Paths(dataset).model) as temporary:
        temporary.mkdir()
        network = adopt(
            weights_file(released.weights),
            config,
            provenance,
            temporary / MODEL_FILE,
            tuple(conditions.provenance.get("genres", ())),
        )
        for name, own, theirs in (
            ("codes", network.n_codes, tokens.provenance["n_codes"]),
            ("tokens", network.length, tokens["tokens"].shape[1]),
        ):
            if own != theirs:
                raise UserError(
                    f"train.released.weights {released.weights} draws {own} {name}, and those of"
                    f" {dataset} are {theirs}; choose the codec and clip length that it was made"
                    " for."
                )
        with_captions(network, read_dataset(dataset), conditions)
        network.encode(condition_inputs(conditions, np.arange(1)))
        write_history(temporary / "history.csv", [{"step": 0}])
        parameters = sum(p.numel() for p in network.parameters())
        write_json(temporary / "about.json", {"parameters": parameters, **provenance})
    print(f"{dataset}: {released.weights}, {parameters:,} parameters, as published.")


def start_from(network: Network, path: Path, heads: int) -> None:
    """Gives `network` the weights of a model trained here, or its denoiser those of a published one
    with so many `heads`. Raises UserError when it has another architecture.

    Of a state that a training has kept the averages count; of a published one, condition encoders
    and tables of positions of another size stay as drawn.
    """
    try:
        if is_checkpoint(path):
            network.load_state_dict(read_checkpoint(path).state["average"]["module"])
            return
        if (read_about(path) or {}).get("class") == "Network":
            network.load_state_dict(load_model(path).state_dict())
            return
        given = {"heads": heads, "grid": network.grid, "steps": network.n_steps}
        theirs = load_released(path, given).denoiser.state_dict()
        own = network.denoiser.state_dict()
        fitted = {
            name: with_own_rows(tensor, own.get(name))
            for name, tensor in theirs.items()
            if not name.startswith("positions.") or tensor.shape == own.get(name, tensor[:0]).shape
        }
        network.denoiser.load_state_dict(own | fitted)
    except Damaged as damaged:
        raise UserError(f"train.init {path} is damaged ({damaged}); copy it again.") from None
    except RuntimeError as error:
        raise UserError(
            f"train.init {path} does not fit the model that train.model describes:"
            f" {str(error).splitlines()[1].strip()}."
        ) from None


def with_own_rows(theirs: Tensor, own: Tensor | None) -> Tensor:
    """`theirs`, and after its rows the one that `own` has beyond them: that of the absent class,
    which published class models do not know.
    """
    if own is None or own.shape[1:] != theirs.shape[1:] or len(own) != len(theirs) + 1:
        return theirs
    return torch.cat([theirs, own[len(theirs) :]])
