"""`toy_shapes`: captioned scenes of two coloured shapes, drawn from a seed.

The test split holds out combinations: no pair of coloured shapes stands in training in the relation
in which the test shows it, so a model that scores there has put together what it learned and does
not remember.
"""

from itertools import product
from pathlib import Path

from PIL import Image
from pydantic import Field

from pipeline.datasets.captions import CAPTIONS, write_captions
from pipeline.datasets.scenes import COLOURS, SHAPES, SIZES, Scene, Thing, captions, draw
from pipeline.runtime.params import Section, Seed
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip, write_manifest


class ToyShapes(Section):
    """How many scenes to draw for each split, how large, and which share of the combinations only
    the test shows.
    """

    image_size: int = Field(strict=True, ge=32, le=512, multiple_of=32)
    train: int = Field(strict=True, ge=10, le=10**7)
    val: int = Field(strict=True, ge=1, le=10**7)
    test: int = Field(strict=True, ge=1, le=10**7)
    held_out: float = Field(strict=True, ge=0.01, le=0.8)
    seed: Seed


def check(config: ToyShapes) -> list[str]:
    """What is missing before `prepare` can run: nothing, the scenes are drawn here."""
    return []


def prepare(config: ToyShapes, raw: Path) -> list[tuple[str, str]]:
    """The files left out (none); draws pictures and captions into `raw` and writes its manifest."""
    seen, held_out = split_scenes(config.held_out, config.seed)
    plan = [
        ("train", config.train, seen),
        ("val", config.val, seen),
        ("test", config.test, held_out),
    ]
    work = [(split, number, scenes) for split, count, scenes in plan for number in range(count)]
    (raw / "images").mkdir(parents=True, exist_ok=True)
    clips, told = [], {}
    for split, number, scenes in progress(work, "drawing scenes"):
        name = f"{split}_{number:05d}"
        generator = numpy_generator(config.seed, name)
        scene = scenes[generator.integers(len(scenes))]
        Image.fromarray(draw(scene, config.image_size, generator)).save(
            raw / "images" / f"{name}.png"
        )
        clips.append(Clip(name, f"images/{name}.png", split, caption_file=CAPTIONS))
        told[name] = [str(caption) for caption in generator.permutation(captions(scene))]
    write_captions(raw, told)
    write_manifest(raw / "manifest.csv", clips)
    return []


def split_scenes(held_out: float, seed: int) -> tuple[list[Scene], list[Scene]]:
    """The scenes for training and validation, and those for the test: no combination (`Scene.kind`)
    is in both.
    """
    coloured = list(product(COLOURS, SHAPES))
    kinds = [
        (*first, axis, *second)
        for first, axis, second in product(coloured, "xy", coloured)
        if first != second
    ]
    order = numpy_generator(seed, "held out").permutation(len(kinds))
    chosen = {kinds[row] for row in order[: round(held_out * len(kinds))]}
    scenes = [
        Scene(Thing(size_1, colour_1, shape_1), Thing(size_2, colour_2, shape_2), axis)
        for (colour_1, shape_1, axis, colour_2, shape_2), size_1, size_2 in product(
            kinds, SIZES, SIZES
        )
    ]
    return [scene for scene in scenes if scene.kind not in chosen], [
        scene for scene in scenes if scene.kind in chosen
    ]
