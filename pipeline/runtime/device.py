"""Where tensors live."""

import os

import torch


def device() -> torch.device:
    """The accelerator when there is one, else the CPU; `CDCD_DEVICE` overrides."""
    if name := os.environ.get("CDCD_DEVICE"):
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
