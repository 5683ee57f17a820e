"""Discrete contrastive diffusion for music and images: the public Python name.

`import cdcd` costs nothing: each name is brought in from `pipeline` when it is first used.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdcd.finding import load
    from cdcd.scoring import score
    from pipeline.codecs.jukebox import JukeboxVQVAE
    from pipeline.codecs.vqgan import VQGAN
    from pipeline.generation.dances import PoseSource
    from pipeline.generation.music import MusicModel
    from pipeline.generation.pictures import PictureModel
    from pipeline.metrics.beats import beat_scores
    from pipeline.model.network import load_model
    from pipeline.model.released import load_released
    from pipeline.runtime.errors import UserError
    from pipeline.scoring.scores import Scores

__version__ = version("cdcd")
__all__ = [
    "JukeboxVQVAE",
    "MusicModel",
    "PictureModel",
    "PoseSource",
    "Scores",
    "UserError",
    "VQGAN",
    "beat_scores",
    "load",
    "load_model",
    "load_released",
    "score",
]

_HOMES = {
    "JukeboxVQVAE": "pipeline.codecs.jukebox",
    "MusicModel": "pipeline.generation.music",
    "PictureModel": "pipeline.generation.pictures",
    "PoseSource": "pipeline.generation.dances",
    "Scores": "pipeline.scoring.scores",
    "UserError": "pipeline.runtime.errors",
    "VQGAN": "pipeline.codecs.vqgan",
    "beat_scores": "pipeline.metrics.beats",
    "load": "cdcd.finding",
    "load_model": "pipeline.model.network",
    "load_released": "pipeline.model.released",
    "score": "cdcd.scoring",
}


def __getattr__(name: str) -> object:
    """The public name, from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cdcd' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
