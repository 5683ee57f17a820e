"""Device, precision and processes, by Lightning Fabric: one process, or as many as torchrun or srun
started.
"""

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed as dist

from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.run import run_settings

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
    block. Raises UserError where another of them ends, or is not heard of for `wait_s` of run.yaml.
    """
    world, machines = announced()
    if world == 1:
        yield alone(bf16)
        return
    _import_fabric()
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    fabric = Fabric(
        accelerator=_accelerator(),
        strategy=DDPStrategy(
            broadcast_buffers=False, timeout=timedelta(seconds=run_settings().wait_s)
        ),
        devices=world // machines,
        num_nodes=machines,
        precision=_precision(bf16),
    )
    fabric.launch()
    is_whole = True
    try:
        yield fabric
    except RuntimeError as error:
        is_whole = not _is_about_others(error)
        if is_whole:
            raise
        reason = _REASON.search(str(error))
        raise UserError(
            f"Another of the {world} processes of this training has ended or is not heard of"
            f" ({reason[0] if reason else 'no answer'}), and so all end; run the same command"
            " again, with as many processes or another number: it goes on from the last checkpoint."
        ) from None
    finally:
        if is_whole:
            dist.destroy_process_group()


_REASON = re.compile(r"connection \w+ by peer|timed out|timeout", re.IGNORECASE)


def _is_about_others(error: RuntimeError) -> bool:
    """Whether an error says that another process does not answer, in the words of gloo or NCCL."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


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


def announced() -> tuple[int, int]:
    """The processes and the machines of this job."""
    given = os.environ
    if "TORCHELASTIC_RUN_ID" in given:
        world = int(given["WORLD_SIZE"])
        return world, world // int(given["LOCAL_WORLD_SIZE"])
    if "SLURM_STEP_NUM_TASKS" in given:
        return int(given["SLURM_STEP_NUM_TASKS"]), int(given["SLURM_STEP_NUM_NODES"])
    return 1, 1


def _accelerator() -> str:
    """What Fabric calls it; float32 products of a GPU go through TF32 unless run.yaml says no."""
    if device().type != "cuda":
        return "cpu"
    torch.set_float32_matmul_precision("high" if run_settings().tf32 else "highest")
    return "cuda"


def _precision(bf16: bool) -> Literal["bf16-mixed", "32-true"]:
    return "bf16-mixed" if bf16 and device().type == "cuda" else "32-true"
