"""A picture model as one object: pictures for captions or classes, made or changed."""

from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from pipeline.codecs.used_codes import UsedCodes
from pipeline.codecs.vqgan import VQGAN
from pipeline.diffusion.sampler import Sampling
from pipeline.features.text import ClipText, tokenise
from pipeline.generation.canvas import Margins, Rectangle, inner_tokens, on_canvas, touched_tokens
from pipeline.generation.drawing import FREE, checked_strength, drawn, encoded, loosened
from pipeline.generation.files import ModelFiles
from pipeline.generation.music import Drawing
from pipeline.generation.results import Pictures, checked_seeds
from pipeline.generation.settings import Captions, Classes, drawn_with
from pipeline.generation.timings import Timings
from pipeline.media.image import load_rgb
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import steps
from pipeline.runtime.seeds import numpy_generator, torch_generator


class PictureModel:
    """A finished caption or class model: `generate` makes pictures, `edit` changes part of one."""

    def __init__(self, files: ModelFiles, timings: Timings | None = None):
        assert isinstance(files.settings.reads, Captions | Classes)
        self.settings, self.reads, self.files = files.settings, files.settings.reads, files
        self.name, self.card, self.task = files.settings.name, files.card, self.reads.task
        with (timings or Timings()).of("opening the model"):
            self.network = files.load_network()
            table = None if files.used_codes is None else UsedCodes.read(files.used_codes)
            self.codec = VQGAN.load(files.codec, used_codes=table).to(device())
            clip = files.extractors.get("clip")
            self.clip = None if clip is None else ClipText.load(clip).to(device())

    @property
    def size(self) -> int:
        """The side of the pictures in pixels."""
        return isqrt(self.network.length) * self.codec.factor

    def generate(
        self,
        *,
        text: str | None = None,
        label: int | str | None = None,
        seeds: Sequence[int] = (0,),
        **drawing: Unpack[Drawing],
    ) -> Pictures:
        """A picture of `text` (a caption model) or of the class `label` (its name, or its number),
        for each of `seeds` another.

        Raises UserError for an empty caption, one that is longer than the model reads, a class
        that does not exist, and a setting out of range.
        """
        timings = Timings()
        tokens = np.full(self.network.length, FREE)
        rows = np.stack([tokens for _ in checked_seeds(seeds)])
        return self._drawn(rows, self._inputs(text, label, timings), seeds, drawing, timings)

    def edit(
        self,
        picture: Path | str,
        *,
        text: str | None = None,
        label: int | str | None = None,
        rectangle: Rectangle | None = None,
        margins: Margins | None = None,
        strength: float = 1.0,
        seeds: Sequence[int] = (0,),
        **drawing: Unpack[Drawing],
    ) -> Pictures:
        """The picture with a part made anew for `text` or `label`, its square middle at the model's
        size.

        The part is the `rectangle` (left, top, width, height in pixels of the picture), or what
        lies around the picture when it is shrunk to leave `margins` (left, top, right, bottom in
        pixels of the result): out-painting; without either, everything. `strength` below 1 replaces
        only that share of the tokens there: a variation. The other tokens stay as they are. Raises
        UserError as `generate` does, and for a file that is no picture, a rectangle that does not
        lie in it, and margins that leave nothing.
        """
        checked_strength(strength)
        if rectangle is not None and margins is not None:
            raise UserError("rectangle and margins are two ways to edit; give one of them.")
        timings, side = Timings(), isqrt(self.network.length)
        image = load_rgb(Path(picture))
        with timings.of("encoding the picture"):
            canvas = on_canvas(image, self.size, margins)
            tokens = self.codec.encode(canvas.to(device()))[0].cpu().numpy()
        if margins is not None:
            region = ~inner_tokens(margins, side, self.codec.factor)
        elif rectangle is not None:
            region = touched_tokens(rectangle, image, side)
        else:
            region = np.ones(len(tokens), bool)
        rows = np.stack(
            [
                loosened(tokens, region, strength, numpy_generator(seed, "edit"))
                for seed in checked_seeds(seeds)
            ]
        )
        return self._drawn(rows, self._inputs(text, label, timings), seeds, drawing, timings)

    def _drawn(
        self,
        rows: np.ndarray,
        inputs: dict[str, Tensor],
        seeds: Sequence[int],
        drawing: Drawing,
        timings: Timings,
    ) -> Pictures:
        """Pictures of `rows` of tokens [n, L], what is FREE in them drawn."""
        sampling: Sampling = drawn_with(self.settings.sampling, drawing)
        step = steps("drawing tokens", len(rows) * sampling.steps)
        with timings.of("drawing tokens"):
            condition = encoded(self.network, inputs)
            for row, seed in zip(rows, seeds):
                generator = torch_generator(seed, "generate")
                row[:] = drawn(self.network, condition, sampling, generator, row, step)
        with timings.of("decoding the pictures"), torch.inference_mode():
            images = [self.codec.decode(torch.from_numpy(row)[None].to(device())) for row in rows]
            images = torch.cat(images).float().cpu().numpy()
        return Pictures(rows, images, tuple(seeds), timings)

    def _inputs(
        self, text: str | None, label: int | str | None, timings: Timings
    ) -> dict[str, Tensor]:
        """The caption or class as the network's inputs; raises UserError for one that is of the
        other task, missing, empty, too long or unknown.
        """
        if isinstance(self.reads, Classes):
            if label is None or text is not None:
                raise UserError(f"The model {self.name} makes pictures of classes; give a label.")
            return {"label": torch.tensor([class_number(label, self.reads.classes, self.name)])}
        if text is None or label is not None:
            raise UserError(f"The model {self.name} makes pictures of captions; give a text.")
        if not text.strip():
            raise UserError("The caption is empty; say in words what the picture shows.")
        captions = tokenise([text])
        if captions.n_cut:
            raise UserError(
                f"The caption has {len(text.split())} words, more than CLIP's 77 tokens hold;"
                " shorten it."
            )
        if self.clip is None:
            return {"text": captions.tokens}
        with timings.of("reading the caption (CLIP)"):
            return {"clip_text": self.clip.features(captions.tokens.to(device()))}


def class_number(label: int | str, classes: tuple[str, ...], name: str) -> int:
    """The number of a class by its name, else the number itself; raises UserError for neither."""
    if str(label) in classes:
        return classes.index(str(label))
    if str(label).isdecimal() and int(label) < len(classes):
        return int(label)
    some = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    raise UserError(
        f"{label!r} is no class of the model {name}; it has {len(classes)}: {some} (or a number"
        f" from 0 to {len(classes) - 1})."
    )
