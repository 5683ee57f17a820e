"""What a training of the denoiser begins with besides its settings, and what it leaves besides its
model.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from pipeline.model.network import Network, save_model
from pipeline.runtime.errors import UserError
from pipeline.runtime.run import run_settings
from pipeline.runtime.scratch import home
from pipeline.training.checkpoint import (
    Checkpoint,
    Damaged,
    is_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from pipeline.training.following import snapshot_file


@dataclass(frozen=True)
class Around:
    """The checkpoint of another training to begin with, where the weights of a step go, and what
    keeps the state at the end.
    """

    begin_with: Checkpoint | None = None
    snapshot: Callable[[nn.Module, int], None] | None = None
    ended: Callable[[Checkpoint], None] | None = None


NOTHING = Around()


def around(name: str, init: Path | None, folder: Path, provenance: dict) -> Around:
    """The surroundings of the training `name` in a scratch folder: `init` is where it starts,
    `provenance` what its snapshots say of themselves. Raises UserError where `init` is damaged.
    """
    begin_with = None
    if init is not None and is_checkpoint(init):
        try:
            begin_with = read_checkpoint(init)
        except Damaged as damaged:
            raise UserError(f"train.init {init} is damaged ({damaged}); copy it again.") from None

    def snapshot(network: nn.Module, step: int) -> None:
        assert isinstance(network, Network)
        save_model(deepcopy(network).cpu(), snapshot_file(folder, step), provenance)

    def keep(ended: Checkpoint) -> None:
        kept = home() / "trained" / f"{name}_{folder.name[:8]}.safetensors"
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(kept, ended)
        print(f"{name}: optimiser and averages are kept in {kept}, for train.init.")

    return Around(begin_with, snapshot, keep if run_settings().keep_optimiser else None)
