"""The card of a finished model: what it is for, what it learned from, what was measured beside
which controls, and what it cannot do. Markdown, with the heading that model hubs read.
"""

from dataclasses import dataclass

from pipeline.generation.settings import Captions, Classes, Dances, ModelSettings
from pipeline.metrics.results import Result
from pipeline.reporting.tables import blocks, legend, markdown

HUB_LICENCES = ("mit", "apache-2.0", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0")
_TAGS = {"dance": "video-to-audio", "caption": "text-to-image", "class": "class-to-image"}
_DOES = {
    "dance": "Makes music for dance videos of any length and frame rate.",
    "caption": "Makes pictures for captions.",
    "class": "Makes pictures of classes.",
}
_COMMAND = {
    "dance": "cdcd generate dance.mp4 --model {name}",
    "caption": 'cdcd generate --text "..." --model {name}',
    "class": "cdcd generate --label {label} --model {name}",
}
_CALL = {
    "dance": 'model.generate("dance.mp4", seeds=[0, 1]).save("music.mp4")',
    "caption": 'model.generate(text="...", seeds=[0, 1]).save("picture.png")',
    "class": 'model.generate(label="{label}", seeds=[0, 1]).save("picture.png")',
}
_LIMITS = {
    "dance": (
        "It follows one dancer, read from the pictures; of a crowd it takes the most visible one.",
        "It hears nothing: the sound of the clip, words and mood are unknown to it.",
        "Windows of {seconds:g} s continue one another; there is no form over longer stretches.",
        "A metronome beats every model on beat bins of one second; read the finer measures.",
    ),
    "caption": (
        "Words that its training captions did not hold are one unknown word to a text encoder that"
        " was learned with it.",
        "Pictures are {size} pixels a side.",
    ),
    "class": ("It knows its {count} classes and nothing else; pictures are {size} pixels a side.",),
}


@dataclass(frozen=True)
class Facts:
    """What is known of a model's training: its rows, its contrastive setting, the steps taken, the
    parameters, and the results of its evaluation (none: it was not evaluated).
    """

    rows: int
    contrast: str
    steps: int
    parameters: int
    results: list[Result]


def model_card(settings: ModelSettings, facts: Facts) -> str:
    """The card as README.md of a hub's folder."""
    task, label = settings.reads.task, "0"
    if settings.reads.task == "class":
        label = settings.reads.classes[0]
    command = _COMMAND[task].format(name=settings.name, label=label)
    lines = [
        _front_matter(settings),
        f"# {settings.name}\n",
        f"{_DOES[task]} A discrete contrastive diffusion model of cdcd (after ICLR 2023, arXiv"
        " 2206.07771), with its codec and what reads its conditions in one file.\n",
        "## Use\n",
        f"    cdcd load model.safetensors\n    {command}\n",
        "```python\nimport cdcd\n",
        'model = cdcd.load("model.safetensors")',
        f"{_CALL[task].format(label=label)}\n```\n",
        "## Training\n",
        f"Data: {settings.data}, {facts.rows:,} training items. Contrast: `{facts.contrast}`;"
        f" {facts.steps:,} steps; {facts.parameters:,} parameters in the denoiser and its condition"
        f" encoders. Drawn with {_drawing(settings)} unless told otherwise.\n",
        "## Measured\n",
        _measured(facts.results),
        "## Limits\n",
        "\n".join(f"- {line}" for line in _limits(settings)) + "\n",
        "## Licence\n",
        f"{settings.licence}\n",
    ]
    return "\n".join(lines)


def _front_matter(settings: ModelSettings) -> str:
    licence = settings.licence.lower()
    known = licence in HUB_LICENCES
    named = "" if known else f"\nlicense_name: {settings.licence!r}"
    return (
        f"---\nlicense: {licence if known else 'other'}{named}\nlibrary_name: cdcd\n"
        f"tags: [cdcd, discrete-diffusion, {_TAGS[settings.reads.task]}]\n---\n"
    )


def _drawing(settings: ModelSettings) -> str:
    drawn = settings.sampling
    way = "" if drawn.guidance_schedule == "constant" else f" {drawn.guidance_schedule}"
    return (
        f"{drawn.steps} steps, truncation {drawn.truncation:g}, temperature"
        f" {drawn.temperature:g}, guidance {drawn.guidance:g}{way}, order {drawn.order}"
    )


def _measured(results: list[Result]) -> str:
    """The tables of the evaluation, controls included, or that there was none."""
    if not results:
        return "It was not evaluated (`cdcd evaluate` does it); nothing is claimed.\n"
    tables = [f"{block.title}\n\n{markdown(block)}\n{legend(block)}\n" for block in blocks(results)]
    return "\n".join(
        ["Every table shows the model beside its controls, on held-out items.\n", *tables]
    )


def _limits(settings: ModelSettings) -> list[str]:
    """What the model cannot do."""
    match settings.reads:
        case Dances(clip_seconds=seconds):
            numbers = {"seconds": seconds}
        case Captions(image_size=size):
            numbers = {"size": size}
        case Classes(image_size=size, classes=classes):
            numbers = {"size": size, "count": len(classes)}
    own = [line.format(**numbers) for line in _LIMITS[settings.reads.task]]
    return [*own, f"It knows what {settings.data} shows, with its biases, and little beyond."]
