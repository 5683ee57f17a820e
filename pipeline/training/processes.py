"""Device, precision and processes, by Lightning Fabric: one process, or as many as torchrun or srun
started.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch.distributed as dist

from pipeline.runtime.device import device

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def alone(bf16: bool = False) -> "Fabric":
    """One process on `device()`; `bf16` counts on a GPU only."""
    _import_fabric()
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.single_device import SingleDeviceStrategy

    return Fabric(
        accelerator=_accelerator(),
        strategy=SingleDeviceStrategy(device()),
        precision=_precision(bf16),
    )


@contextmanager
def processes(bf16: bool = False) -> Iterator["Fabric"]:
    """This process among those that torchrun or srun announce, or alone; the group ends with the
    block.
    """
    world, machines = _announced()
    if world == 1:
        yield alone(bf16)
        return
    _import_fabric()
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    fabric = Fabric(
        accelerator=_accelerator(),
        strategy=DDPStrategy(find_unused_parameters=True, broadcast_buffers=False),
        devices=world // machines,
        num_nodes=machines,
        precision=_precision(bf16),
    )
    fabric.launch()
    try:
        yield fabric
    finally:
        dist.destroy_process_group()


def _import_fabric() -> None:
    """Imports Fabric, and not torchmetrics with it.

    Fabric loads all of torchmetrics (four seconds, torchvision's models among it) to read its
    version, which only its detection of spikes asks for; told that there is none, it goes without.
    """
    hidden = "torchmetrics" not in sys.modules
    if hidden:
        sys.modules["torchmetrics"] = None  # pyright: ignore[reportArgumentType]
    try:
        importlib.import_module("lightning_fabric")
    finally:
        if hidden:
            del sys.modules["torchmetrics"]


def _announced() -> tuple[int, int]:
    """The processes and the machines of this job."""
    given = os.environ
    if "TORCHELASTIC_RUN_ID" in given:
        world = int(given["WORLD_SIZE"])
        return world, world // int(given["LOCAL_WORLD_SIZE"])
    if "SLURM_STEP_NUM_TASKS" in given:
        return int(given["SLURM_STEP_NUM_TASKS"]), int(given["SLURM_STEP_NUM_NODES"])
    return 1, 1


def _accelerator() -> str:
    return "cuda" if device().type == "cuda" else "cpu"


def _precision(bf16: bool) -> Literal["bf16-mixed", "32-true"]:
    return "bf16-mixed" if bf16 and device().type == "cuda" else "32-true"
