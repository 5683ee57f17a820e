"""Everything a training needs to go on as if it had never stopped, in one file that appears whole
or not at all.
"""

from pathlib import Path

import torch

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic


def save_checkpoint(path: Path, state: dict) -> None:
    """Writes tensors, numbers and containers of them, atomically."""
    with atomic(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, device: torch.device) -> dict | None:
    """What `save_checkpoint` wrote, on `device`; None when there is none yet."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"{path} is damaged ({str(error).splitlines()[0]}); delete it to train from the start."
        ) from None
