"""What the forms of all tabs have in common: settings, results side by side, and the button."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from cdcd.demo.answering import answer, done, sentence
from cdcd.demo.bounds import Bounds
from cdcd.demo.making import Made, Variant
from pipeline.diffusion.sampler import Sampling
from pipeline.features.pose_reader import SEEN
from pipeline.generation.music import MusicModel, takes_genre
from pipeline.generation.opening import Model

READERS = {
    "blazepose": "BlazePose: people",
    "movenet": "MoveNet: people",
    "keypoint_rcnn": "Keypoint R-CNN: people, slow",
    "markers": "markers: drawn dancers",
}


def picture_input(label: str, elem_id: str) -> gr.Image:
    """A picture to be chosen, which is handed on as the file it came in: a broken one is told by
    us.
    """
    picture = gr.Image(
        label=label,
        type="filepath",
        sources=["upload"],
        height=300,
        elem_id=elem_id,
        elem_classes="pixels",
    )
    picture.preprocess = lambda payload: None if payload is None else payload.path
    return picture


def settings(model: Model, bounds: Bounds) -> dict[str, Component]:
    """Seed, number of variants and, folded away, how tokens are drawn; by the names that the
    handlers give them.
    """
    usual: Sampling = model.settings.sampling
    with gr.Row():
        named: dict[str, Component] = {
            "seed": gr.Number(0, label="Seed", precision=0, min_width=100),
            "variants": gr.Slider(1, bounds.variants, 1, step=1, label="Variants", min_width=180),
        }
    with gr.Accordion("How it is drawn", open=False), gr.Row():
        most = model.network.n_steps
        named["steps"] = gr.Slider(1, most, usual.steps, step=1, label="Steps", min_width=200)
        named["truncation"] = gr.Slider(
            0.05, 1, usual.truncation, step=0.01, label="Truncation: share of codes", min_width=200
        )
        named["temperature"] = gr.Slider(
            0.1, 2, usual.temperature, step=0.05, label="Temperature", min_width=200
        )
        named["guidance"] = gr.Slider(
            1, max(6, usual.guidance), usual.guidance, step=0.1, label="Guidance", min_width=200
        )
    return named


def dancer(model: MusicModel) -> dict[str, Component]:
    """Who reads the dancer, and the genre for models that take one."""
    named: dict[str, Component] = {
        "pose": gr.Dropdown(
            [(READERS[name], name) for name in SEEN], value="blazepose", label="Who is dancing"
        )
    }
    if takes_genre(model.network):
        named["genre"] = gr.Dropdown(list(model.reads.genres), label="Genre")
    return named


class Results:
    """Places for as many variants as the bounds allow, and a sentence above them."""

    def __init__(self, heard: bool, bounds: Bounds):
        self.heard, self.places = heard, []
        self.said = gr.HTML(elem_classes="answer", padding=False)
        with gr.Row(elem_classes="variants"):
            for _ in range(bounds.variants):
                self.places.append(self._place())

    def _place(self) -> list[Component | gr.Column]:
        with gr.Column(visible=False, min_width=240, elem_classes="variant") as column:
            if not self.heard:
                picture = gr.Image(
                    type="filepath",
                    interactive=False,
                    height=260,
                    buttons=["fullscreen"],
                    elem_classes="pixels",
                )
                return [column, picture, gr.DownloadButton("Picture (png)", size="sm")]
            film = gr.Video(interactive=False, buttons=[])
            spectrogram = gr.Image(
                type="filepath",
                interactive=False,
                buttons=["fullscreen"],
                show_label=False,
                elem_classes="spectrogram",
            )
            with gr.Row():
                buttons = [
                    gr.DownloadButton(name, size="sm", min_width=100)
                    for name in ("Film (mp4)", "Sound (wav)")
                ]
            return [column, film, spectrogram, *buttons]

    @property
    def outputs(self) -> list[Any]:
        """Every component that an answer fills, in the order of `filled`."""
        return [self.said, *(part for place in self.places for part in place)]

    def filled(self, answered: Made | str) -> list[Any]:
        """The values of `outputs`: results, or a sentence and nothing else."""
        variants = [] if isinstance(answered, str) else answered.variants
        said = sentence(answered) if isinstance(answered, str) else done(answered)
        values: list[Any] = [said]
        for number, place in enumerate(self.places):
            variant = variants[number] if number < len(variants) else None
            values += self._values(variant, len(place))
        return values

    def _values(self, variant: Variant | None, count: int) -> list[Any]:
        if variant is None:
            return [gr.update(visible=False), *[gr.update(value=None)] * (count - 1)]
        shown = gr.update(value=str(variant.shown), label=variant.title)
        files = [gr.update(value=str(file)) for file in variant.files]
        heard = [gr.update(value=str(variant.spectrogram))] if self.heard else []
        return [gr.update(visible=True), shown, *heard, *files]


def connect(
    title: str,
    inputs: dict[str, Component],
    make: Callable[..., Made],
    results: Results,
    button: gr.Button,
) -> None:
    """Lets the button fill the results with what `make` makes of the inputs, one at a time for the
    whole page, while the rest of it stays usable.
    """

    def handler(data: dict, progress=gr.Progress()) -> list[Any]:  # noqa: B008
        share = 0.0

        def listener(doing: str, count: int, total: int | None) -> None:
            nonlocal share
            share = count / total if total else share
            progress(share, desc=doing)

        listener(title, 0, None)
        asked = {name: data[component] for name, component in inputs.items()}
        return results.filled(answer(make, asked, listener))

    button.click(
        handler,
        inputs=set(inputs.values()),
        outputs=results.outputs,
        concurrency_id="model",
        concurrency_limit=1,
        show_progress="full",
        show_progress_on=results.said,
        api_visibility="private",
    )


def examples(rows: Mapping[str, Sequence[Any]], inputs: Sequence[Component]) -> None:
    """A button for each row of inputs to begin with, by its name."""
    with gr.Row(elem_classes="examples"):
        for name, row in rows.items():
            values = [str(value) if isinstance(value, Path) else value for value in row]
            button = gr.Button(name, size="sm", min_width=150)
            button.click(
                partial(_only, values),
                outputs=list(inputs),
                api_visibility="private",
                queue=False,
                show_progress="hidden",
            )


def _only(values: list[Any]) -> Any:
    """The values as Gradio wants them returned: of one alone, itself."""
    return values if len(values) > 1 else values[0]
