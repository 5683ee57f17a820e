"""A finished model, of whichever task, from its files."""

from pipeline.generation.files import ModelFiles
from pipeline.generation.music import MusicModel
from pipeline.generation.pictures import PictureModel
from pipeline.generation.settings import Dances
from pipeline.generation.timings import Timings

Model = MusicModel | PictureModel


def open_model(files: ModelFiles, timings: Timings | None = None) -> Model:
    """The model in `files`, on the accelerator if there is one; `timings` learns how long it
    took.
    """
    kind = MusicModel if isinstance(files.settings.reads, Dances) else PictureModel
    return kind(files, timings)
