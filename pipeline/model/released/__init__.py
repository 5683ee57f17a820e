"""The published checkpoints: their names, sizes and condition networks, read into this project's
model.
"""

from pipeline.model.released.adopted import adopt, load_network
from pipeline.model.released.checkpoint import ReleasedModel, load_released

__all__ = ["ReleasedModel", "adopt", "load_network", "load_released"]
