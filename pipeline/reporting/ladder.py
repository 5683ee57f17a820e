"""The ladder on the page: the same conditions and the same noise under rising guidance, so that one
sees or hears what a stronger adherence does.

`ladder.json` has the layout of `examples.json` (pipeline.reporting.examples), a row a guidance
weight.
"""

from pathlib import Path

import numpy as np

from pipeline.metrics.beats import onset_envelope, onset_times
from pipeline.metrics.dance_data import DanceData
from pipeline.metrics.image_data import ImageData
from pipeline.reporting.examples import facts_of, write_sound
from pipeline.reporting.image_examples import as_image
from pipeline.runtime.files import write_json
from pipeline.storage.store import Store


def write_dance_ladder(data: DanceData, ladder: Store, folder: Path) -> None:
    """Fills `folder` with ladder.json and the sounds of its clips, one a weight; the dances are
    those of the examples, where they show the same clips.
    """
    entries = []
    for place, number in enumerate(_numbers(data, ladder)):
        clip, home = data.manifest.clips[number], folder / f"ladder_{place:02d}"
        home.mkdir()
        reference = None
        if clip.split != "infer":
            envelope = onset_envelope(data.true_music(number), data.sample_rate)
            reference = onset_times(envelope, "5hz")
        sounds = [
            write_sound(home, row, audio, data.sample_rate, reference)
            for row, audio in zip(_rows(ladder), data.decoded(ladder["tokens"][place]))
        ]
        video = f"clip_{number:05d}/dance.mp4"
        shown = video if (folder / video).exists() else None
        entries.append({**facts_of(clip), "video": shown, "sounds": sounds})
    write_json(folder / "ladder.json", {"task": "dance", "clips": entries})


def write_picture_ladder(data: ImageData, ladder: Store, folder: Path) -> None:
    """Fills `folder` with ladder.json and the pictures of its items, one a weight."""
    items = []
    for place, number in enumerate(_numbers(data, ladder)):
        home = folder / f"ladder_{place:02d}"
        home.mkdir()
        images = []
        (pictures,) = data.decoded(ladder["tokens"][place])
        for row, picture in zip(_rows(ladder), pictures):
            name = f"{home.name}/{row.replace(' ', '_')}.png"
            as_image(picture.cpu()).save(folder / name)
            images.append({"row": row, "image": name})
        clip = data.manifest.clips[number]
        items.append({"id": clip.id, "caption": data.caption(number), "images": images})
    write_json(folder / "ladder.json", {"task": "image", "items": items})


def _rows(ladder: Store) -> list[str]:
    return [f"guidance {weight:g}" for weight in ladder.provenance["weights"]]


def _numbers(data: DanceData | ImageData, ladder: Store) -> list[int]:
    """The manifest rows of the ladder's items."""
    places = {clip.id: number for number, clip in enumerate(data.manifest.clips)}
    return [places[one] for one in np.asarray(ladder.ids)]
