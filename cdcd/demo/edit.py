"""The tab `edit`: a part of some music or of a picture made anew, the rest stays."""

from functools import partial

import gradio as gr

from cdcd.demo.examples import CAPTIONS, OTHER_CAPTIONS, dances, digit, scene
from cdcd.demo.form import Results, connect, dancer, examples, picture_input, settings
from cdcd.demo.label import class_choice
from cdcd.demo.making import Made, Workshop
from pipeline.generation.music import MusicModel
from pipeline.generation.pictures import PictureModel
from pipeline.generation.settings import Classes

PARTS = {
    "rectangle": ("Left", "Top", "Width", "Height"),
    "around": ("Left", "Top", "Right", "Bottom"),
    "everything": ("", "", "", ""),
}
WAYS = [
    ("a rectangle of the picture, in its pixels", "rectangle"),
    ("what lies around it, in pixels of the result", "around"),
    ("everything", "everything"),
]


def music_editor(model: MusicModel, shop: Workshop) -> None:
    """Lays out the editor of music."""
    bounds = shop.bounds
    with gr.Row():
        with gr.Column(min_width=280) as left:
            sound = gr.File(
                label="Music, or a film with sound",
                file_types=["audio", "video"],
                height=170,
                elem_id="edit_sound",
            )
            video = gr.Video(
                label=f"The dance to follow, up to {bounds.seconds:g} s",
                sources=["upload"],
                height=260,
                elem_id="edit_video",
            )
        with gr.Column(min_width=280):
            with gr.Row():
                start_s, end_s = (
                    gr.Textbox(label=label, placeholder=empty, max_length=12, min_width=120)
                    for label, empty in (("From second", "beginning"), ("To second", "end"))
                )
            inputs = {"sound": sound, "video": video, "start_s": start_s, "end_s": end_s}
            inputs |= {"strength": strength(), **dancer(model), **settings(model, bounds)}
            button = gr.Button("Make the part anew", variant="primary", elem_id="edit_music_go")
    if model.reads.pose.kind == "coco17":
        first, second = dances(shop.examples).values()
        row = [first, second, "markers", "2", "4"]
        with left:
            chosen = [sound, video, inputs["pose"], start_s, end_s]
            examples({"Try the end of a song for another dancer": row}, chosen)
    results = Results(True, bounds)
    connect("reading the video", inputs, partial(shop.edit_music, model), results, button)


def picture_editor(model: PictureModel, shop: Workshop) -> None:
    """Lays out the editor of pictures for words, or for classes."""
    name, reads = f"edit_{model.task}", model.reads
    told = CAPTIONS.get(model.settings.data, OTHER_CAPTIONS)
    with gr.Row():
        with gr.Column(min_width=280) as left:
            picture = picture_input("A picture: touch two corners", f"{name}_picture")
        with gr.Column(min_width=280):
            words = (
                class_choice(model, f"{name}_words")
                if isinstance(reads, Classes)
                else gr.Textbox(
                    label="Caption of the new part", placeholder=told[1], elem_id=f"{name}_words"
                )
            )
            part = gr.Radio(WAYS, value="rectangle", label="What is made anew")
            with gr.Row(elem_id=f"{name}_numbers"):
                numbers = [
                    gr.Number(0, label=label, min_width=60, precision=0)
                    for label in PARTS["rectangle"]
                ]
            inputs = {"picture": picture, "words": words, "part": part, "strength": strength()}
            inputs |= {f"number_{n}": number for n, number in enumerate(numbers)}
            inputs |= settings(model, shop.bounds)
            button = gr.Button("Make the part anew", variant="primary", elem_id=f"{name}_go")
    if (file := _example(model, shop)) is not None:
        side = model.size // 2
        said = reads.classes[-1] if isinstance(reads, Classes) else told[1]
        row = [file, said, "rectangle", 0, 0, side, side]
        with left:
            examples({"Try it on a picture": row}, [picture, words, part, *numbers])
    part.change(_named, part, numbers, api_visibility="private", queue=False)
    corner = gr.State(None)
    picture.select(_touched, corner, [corner, *numbers], api_visibility="private", queue=False)
    picture.clear(lambda: None, None, corner, api_visibility="private", queue=False)
    results = Results(False, shop.bounds)
    connect("reading the picture", inputs, partial(_edited, shop, model), results, button)


def strength() -> gr.Slider:
    """The share of the part's tokens that is made anew."""
    return gr.Slider(0.05, 1, 1, step=0.05, label="Strength: share of its codes that is made anew")


def _edited(shop: Workshop, model: PictureModel, **asked) -> Made:
    numbers = [asked.pop(f"number_{n}") for n in range(4)]
    return shop.edit_picture(model, numbers=numbers, **asked)


def _named(part: str) -> list[dict]:
    """The four numbers, called as the part needs them."""
    return [gr.update(label=label, visible=bool(label)) for label in PARTS[part]]


def _touched(corner: list[int] | None, touch: gr.SelectData) -> list:
    """The first corner kept, or the rectangle between it and the second."""
    x, y = touch.index
    if corner is None:
        return [[x, y], x, y, 0, 0]
    left, top = min(x, corner[0]), min(y, corner[1])
    return [None, left, top, abs(x - corner[0]) + 1, abs(y - corner[1]) + 1]


def _example(model: PictureModel, shop: Workshop):
    """A picture of the model's own world, for the embedded ones."""
    made = {"toy_shapes": scene, "digits": digit}.get(model.settings.data)
    return None if made is None else made(shop.examples, model.size)
