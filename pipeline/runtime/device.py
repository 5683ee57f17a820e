"""Where tensors live."""

import os

import torch
from torch import Tensor

from pipeline.runtime.errors import UserError
from pipeline.runtime.run import run_file, run_settings


def device() -> torch.device:
    """The accelerator when there is one, else the CPU; `device` of run.yaml overrides, and
    `CDCD_DEVICE` that; raises UserError for a name that is none.
    """
    if name := os.environ.get("CDCD_DEVICE") or run_settings().device:
        try:
            return torch.device(name)
        except RuntimeError:
            where = "CDCD_DEVICE" if os.environ.get("CDCD_DEVICE") else f"{run_file()}: device"
            raise UserError(f"{where} is {name!r}, which is no device; cpu and cuda are.") from None
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sent(value: Tensor, there: torch.device) -> Tensor:
    """`value` on the device `there`; the CPU does not wait for a GPU to take it."""
    if value.device.type == "cpu" and there.type == "cuda":
        return value.pin_memory().to(there, non_blocking=True)
    return value.to(there)
