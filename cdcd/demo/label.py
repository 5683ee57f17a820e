"""The tab `class`: the name of a class, and pictures of it."""

from functools import partial

import gradio as gr

from cdcd.demo.form import Results, connect, settings
from cdcd.demo.making import Workshop
from pipeline.generation.pictures import PictureModel
from pipeline.generation.settings import Classes


def class_tab(model: PictureModel, shop: Workshop) -> None:
    """Lays out the tab for a model."""
    label = class_choice(model, elem_id="class_label")
    inputs = {"label": label, **settings(model, shop.bounds)}
    button = gr.Button("Make pictures", variant="primary", elem_id="class_go")
    results = Results(False, shop.bounds)
    connect("reading the class", inputs, partial(shop.label, model), results, button)


def class_choice(model: PictureModel, elem_id: str) -> gr.Dropdown:
    """The model's classes to choose from, or to type the name or number of one."""
    assert isinstance(model.reads, Classes)
    return gr.Dropdown(
        list(model.reads.classes),
        value=model.reads.classes[0],
        label=f"Class: one of {len(model.reads.classes)}, by name or number",
        allow_custom_value=True,
        elem_id=elem_id,
    )
