"""The tab `dance`: a video, and music for it."""

from functools import partial

import gradio as gr

from cdcd.demo.examples import dances
from cdcd.demo.form import Results, connect, dancer, examples, settings
from cdcd.demo.making import Workshop
from pipeline.generation.music import MusicModel


def dance_tab(model: MusicModel, shop: Workshop) -> None:
    """Lays out the tab for a model."""
    bounds = shop.bounds
    with gr.Row():
        with gr.Column(min_width=280) as left:
            video = gr.Video(
                label=f"A dance, up to {bounds.seconds:g} s, {bounds.megabytes} MB",
                sources=["upload"],
                height=300,
                elem_id="dance_video",
            )
        with gr.Column(min_width=280):
            inputs = {"video": video, **dancer(model), **settings(model, bounds)}
            button = gr.Button("Make music", variant="primary", elem_id="dance_go")
    if model.reads.pose.kind == "coco17":
        films = dances(shop.examples)
        rows = {f"Try {name}": [film, "markers"] for name, film in films.items()}
        with left:
            examples(rows, [video, inputs["pose"]])
    connect("reading the video", inputs, partial(shop.dance, model), Results(True, bounds), button)
