"""Where tensors live."""

import os

import torch

from pipeline.runtime.run import run_settings


def device() -> torch.device:
    """The accelerator when there is one, else the CPU; `device` of run.yaml overrides, and
    `CDCD_DEVICE` that.
    """
    if name := os.environ.get("CDCD_DEVICE") or run_settings().device:
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
