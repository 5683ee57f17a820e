"""The pictures a page shows: for some captions or classes the real picture, its reconstruction and
the model's samples.

`examples.json` is described in `pipeline.reporting.examples`; `grid.png` shows the same at one
glance, a line for each item.
"""

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pipeline.metrics.image_controls import nearest_training_pictures
from pipeline.metrics.image_data import ImageData
from pipeline.reporting.glossary import row_title
from pipeline.reporting.style import figure
from pipeline.runtime.files import write_json
from pipeline.storage.manifest import spread

Column = tuple[
    str, list[Tensor], list[int]
]  # row, a picture for each item, the manifest rows whose caption it belongs to
SHOWN_SIDE = 128  # pixels; smaller pictures are enlarged, every pixel a square


def write_image_examples(data: ImageData, n_examples: int, seed: int, folder: Path) -> None:
    """Fills `folder` with examples.json, grid.png and the pictures of `n_examples` measured items,
    each of another kind.
    """
    chosen = spread([data.caption(number) for number in data.numbers], n_examples)
    numbers = [data.numbers[position] for position in chosen]
    columns = _columns(data, numbers, seed)
    items = []
    for position, number in enumerate(numbers):
        home = folder / f"item_{number:05d}"
        home.mkdir(parents=True)
        images = []
        for row, pictures, belongs_to in columns:
            name = f"{home.name}/{len(images)}_{row}.png"
            as_image(pictures[position]).save(folder / name)
            images.append(
                {"row": row, "image": name, "caption": data.caption(belongs_to[position])}
            )
        items.append(
            {
                "id": data.manifest.clips[number].id,
                "caption": data.caption(number),
                "images": images,
            }
        )
    _draw_grid(folder / "grid.png", [item["caption"] for item in items], columns)
    write_json(folder / "examples.json", {"task": "image", "items": items})


def _columns(data: ImageData, numbers: list[int], seed: int) -> list[Column]:
    """What is shown of each item; the model's column repeats, once for each sampling seed."""
    own = data.tokens["tokens"][data.tokens.rows_of([clip.id for clip in data.clips(numbers)])]
    samples = data.sampled("tokens", numbers)
    columns = [
        ("ground_truth", _all(data.real(numbers)), numbers),
        ("reconstruction", _all(data.decoded(own)), numbers),
    ]
    columns += [
        ("model", _all(data.decoded(samples[:, number])), numbers)
        for number in range(samples.shape[1])
    ]
    if "shuffled" in data.samples:
        others = [int(row) for row in data.sampled("shuffled_from", numbers)]
        shuffled = data.sampled("shuffled", numbers)[:, 0]
        columns.append(("model_shuffled", _all(data.decoded(shuffled)), others))
    if data.manifest.of("train"):
        nearest = nearest_training_pictures(data, numbers, seed)
        columns.append(("nearest_neighbour", _all(data.real(nearest)), nearest))
    return columns


def _all(batches) -> list[Tensor]:
    return [picture for batch in batches for picture in batch.cpu()]


def as_image(picture: Tensor) -> Image.Image:
    """The picture [3, H, W] in [0, 1] as 8-bit RGB."""
    pixels = (picture.permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    scale = -(-SHOWN_SIDE // min(image.size))
    return (
        image
        if scale == 1
        else image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    )


def _draw_grid(path: Path, captions: list[str], columns: list[Column]) -> None:
    """A line for each item, its caption on the left; a column for each row of the table."""
    with figure(path, len(columns) + 2.2, len(captions) + 0.5, colours=None) as canvas:
        panels = canvas.subplots(len(captions), len(columns), squeeze=False)
        for column, (row, pictures, _) in enumerate(columns):
            panels[0, column].set_title(textwrap.fill(row_title(row), 16), fontsize=7)
            for line, picture in enumerate(pictures):
                panel = panels[line, column]
                panel.imshow(as_image(picture))
                panel.set(xticks=[], yticks=[])
                panel.grid(visible=False)
        for line, caption in enumerate(captions):
            told = textwrap.fill(caption, 32, max_lines=6, placeholder=" …")
            panels[line, 0].set_ylabel(told, rotation=0, ha="right", va="center", fontsize=7)
