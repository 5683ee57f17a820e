"""What every codec of sound asks of its input, and how much of it one pass takes."""

import torch
from torch import Tensor

from pipeline.runtime.errors import UserError

SAMPLES_AT_ONCE = {
    "cpu": 2**18,
    "cuda": 2**23,
}  # in one pass; bounds the memory for any length and any batch


def check_waveform(waveform: Tensor, shortest: int) -> None:
    """Raises UserError unless waveforms are [B, T] numbers with at least `shortest` samples."""
    if waveform.dim() != 2:
        raise UserError(f"Expected waveforms shaped (batch, samples), got {tuple(waveform.shape)}.")
    if waveform.shape[1] < shortest:
        raise UserError(
            f"A waveform of {waveform.shape[1]} samples is shorter than one code ({shortest}"
            " samples)."
        )
    if not torch.isfinite(waveform).all():
        raise UserError(
            "The waveform holds values that are not numbers (NaN or infinity); check the file"
            " it came from."
        )


def check_codes(codes: Tensor, n_codes: int) -> None:
    """Raises UserError unless codes are [B, L], at least one each, and below `n_codes`."""
    if codes.dim() != 2 or codes.shape[1] == 0:
        raise UserError(f"Expected codes shaped (batch, length), got {tuple(codes.shape)}.")
    if codes.min() < 0 or codes.max() >= n_codes:
        raise UserError(
            f"These codes run from {codes.min()} to {codes.max()}; this codec has codes 0 to"
            f" {n_codes - 1}."
        )


def at_once(length: int, hop: int, device: torch.device, samples: int | None) -> tuple[int, int]:
    """How many rows of a batch of `length` codes and how many codes of a row one pass takes."""
    samples = samples or SAMPLES_AT_ONCE.get(device.type, SAMPLES_AT_ONCE["cpu"])
    window = max(1, samples // hop)
    return max(1, window // max(1, length)), window
