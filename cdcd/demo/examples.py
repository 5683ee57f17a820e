"""Inputs to begin with, made here from a seed: dances of drawn dancers, captions, pictures."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from pipeline.runtime.files import atomic

CAPTIONS = {
    "toy_shapes": (
        "a small red circle left of a large blue square",
        "a large green triangle above a small yellow circle",
        "a small purple square below a large red triangle",
    )
}
OTHER_CAPTIONS = ("a small bird with a red head and white wings", "a dog on the beach")
_DANCES = {"a drawn break dancer": 0, "a drawn krump dancer": 7}  # numbers of test songs
_SECONDS, _SIDE = 4.0, 128


def dances(folder: Path) -> dict[str, Path]:
    """Two films of dancers with markers under their songs, by what they show; made once, which
    takes some seconds.
    """
    from pipeline.datasets.toy_dance.dataset import ToyDance, film, plan
    from pipeline.datasets.toy_dance.songs import compose

    config = ToyDance(
        train=10,
        val=1,
        test=10,
        clip_seconds=_SECONDS,
        size=_SIDE,
        sample_rate=22_050,
        noise=0.3,
        variety=0.0,
        seed=0,
    )
    takes = [take for take in plan(config) if take.song.split == "test"]
    films = {}
    for name, number in _DANCES.items():
        take = takes[number]
        path = folder / f"dance_{take.song.genre}.mp4"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder) as work:
                film(config, take, compose(take.song, config.seed), Path(work) / path.name)
                (Path(work) / path.name).rename(path)
        films[name] = path
    return films


def scene(folder: Path, size: int) -> Path:
    """A picture of the world of `toy_shapes`."""
    from pipeline.datasets.scenes import draw, parse

    drawn = draw(parse(CAPTIONS["toy_shapes"][0]), size, np.random.default_rng(0))
    return _written(folder / f"shapes_{size}.png", drawn)


def digit(folder: Path, size: int) -> Path:
    """A scan of a handwritten digit."""
    from sklearn.datasets import load_digits

    scans, _ = load_digits(return_X_y=True)
    grey = Image.fromarray(np.round(scans[3].reshape(8, 8) * 255 / 16).astype(np.uint8))
    enlarged = grey.resize((size, size), Image.Resampling.BICUBIC)
    return _written(folder / f"digit_{size}.png", np.asarray(enlarged))


def _written(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")
    return path
