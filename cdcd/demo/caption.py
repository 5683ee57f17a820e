"""The tab `caption`: words, and pictures of them."""

from functools import partial

import gradio as gr

from cdcd.demo.examples import CAPTIONS, OTHER_CAPTIONS
from cdcd.demo.form import Results, connect, examples, settings
from cdcd.demo.making import Workshop
from pipeline.generation.pictures import PictureModel


def caption_tab(model: PictureModel, shop: Workshop) -> None:
    """Lays out the tab for a model."""
    told = CAPTIONS.get(model.settings.data, OTHER_CAPTIONS)
    text = gr.Textbox(
        label="Caption", placeholder=told[0], lines=2, max_lines=6, elem_id="caption_text"
    )
    examples({caption: [caption] for caption in told}, [text])
    inputs = {"text": text, **settings(model, shop.bounds)}
    button = gr.Button("Make pictures", variant="primary", elem_id="caption_go")
    results = Results(False, shop.bounds)
    connect("reading the caption", inputs, partial(shop.caption, model), results, button)
