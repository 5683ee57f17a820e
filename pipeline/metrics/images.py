"""The evaluation of a picture data set: the pictures of every row, the model's and the controls',
measured and summed up.

Rows. `ground_truth`: the real test pictures. `reconstruction`: the same through the codec, the best
a model can reach. `model`: samples under the pictures' own captions or classes. `model_shuffled`:
samples of the same model under another item's caption or class. `shuffled_pairs`: the real picture
of another caption or class. `nearest_neighbour`: a training picture whose caption is nearest (or of
the same class). `mean_image`: the mean training picture, which knows nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline.datasets.captions import captions_of
from pipeline.media.content import Images
from pipeline.metrics.bootstrap import draw_weights
from pipeline.metrics.clip_score import draw_distractors
from pipeline.metrics.controls import partners
from pipeline.metrics.copying import FieldRows, nearest_training_item
from pipeline.metrics.fid import Features, Reference, joined, kept_features
from pipeline.metrics.image_figures import (
    Figures,
    Wanted,
    by_picture,
    distance_line,
    measure,
    stack,
    summarise,
)
from pipeline.metrics.judges import Judge
from pipeline.metrics.results import Evaluation
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Amount, Draws, Percent, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store

BATCH = 64
MEAN_OF = 2000  # training pictures, evenly spread, whose mean is the mean image
_SAME_AS_REFERENCE = (
    "ground_truth",
    "shuffled_pairs",
)  # made of the test pictures: at distance 0 from them by definition


class EvaluateImages(Section):
    """How samples of pictures are measured.

    `references`: the real pictures that FID compares with, the test split's, all training pictures,
    or both. `exact_shapes`: captions are of `toy_shapes` and are checked on the picture itself.
    `bootstrap_draws`: of pictures. `copied_below`: a sample whose tokens differ from a training
    item's in fewer percent of positions counts as copied. `examples`: pictures shown on the page.
    """

    references: tuple[Literal["test", "train"], ...] = Field(min_length=1)
    exact_shapes: bool = False
    bootstrap_draws: Draws
    seed: Seed = 0
    copied_below: Percent
    examples: Amount


@dataclass(frozen=True)
class ImageData:
    """What an evaluation reads. `raw`: where the captions lie; `decode` turns tokens [n, L] into
    pictures [n, 3, H, W].
    """

    pictures: Images
    raw: Path
    tokens: Store
    samples: Store
    judge: Judge
    decode: Callable[[Tensor], Tensor]
    further: Store | None = None  # samples of the captions after the first, rows named ID#NUMBER

    @property
    def manifest(self) -> Manifest:
        """The data set's pictures."""
        return self.pictures.manifest

    @cached_property
    def numbers(self) -> list[int]:
        """The manifest rows that are measured: the test pictures for whose captions or classes
        there are samples.
        """
        sampled = set(self.samples.ids) & set(self.tokens.ids)
        numbers = [
            number
            for number in self.manifest.of("test")
            if self.manifest.clips[number].id in sampled
        ]
        if len(numbers) < 2:
            raise UserError(
                "There is nothing to evaluate: fewer than two pictures of the test split have"
                " samples."
            )
        return numbers

    def clips(self, numbers: list[int]) -> list[Clip]:
        """The clips of manifest rows."""
        return [self.manifest.clips[number] for number in numbers]

    def caption(self, number: int) -> str:
        """The caption of a manifest row that is sampled for, the first; or its class where it has
        none.
        """
        clip = self.manifest.clips[number]
        return captions_of(clip, self.raw)[0] if clip.caption_file else str(clip.label)

    def real(self, numbers: list[int]) -> Iterator[Tensor]:
        """The pictures of manifest rows in batches."""
        for start in range(0, len(numbers), BATCH):
            yield self.pictures.read(numbers[start : start + BATCH])

    def decoded(self, tokens: np.ndarray) -> Iterator[Tensor]:
        """The pictures of tokens [n, L] in batches."""
        for start in range(0, len(tokens), BATCH):
            yield self.decode(torch.from_numpy(tokens[start : start + BATCH].astype(np.int64)))

    def sampled(self, field: str, numbers: list[int]) -> np.ndarray:
        """A field of the samples for manifest rows: `tokens` or `shuffled` [n, seeds, L], or
        `shuffled_from` [n].
        """
        return self.samples[field][self.samples.rows_of([clip.id for clip in self.clips(numbers)])]


def evaluate_images(data: ImageData, settings: EvaluateImages) -> Evaluation:
    """Every line of the tables for a picture task, and the remarks needed to read them."""
    wanted = describe(data, settings)
    weights = draw_weights(
        wanted.ids, settings.bootstrap_draws, numpy_generator(settings.seed, "bootstrap")
    )
    rows = {split: data.manifest.of(split) for split in settings.references}
    references = {
        split: Reference(
            map(
                data.judge.features,
                progress(data.real(numbers), f"{split} pictures", -(-len(numbers) // BATCH)),
            )
        )
        for split, numbers in rows.items()
    }
    results, lines = [], []
    for row, sets, extra in _rows(data, settings):
        batches = -(-len(wanted.ids) // BATCH)
        seen = [
            measure(wanted, data.judge, progress(one, f"{row}, {n}", batches))
            for n, one in enumerate(sets, start=1)
        ]
        figures = {**stack(seen), **extra}
        results += summarise(row, figures, weights)
        lines += by_picture(row, figures, wanted)
        for split, reference in references.items():
            if split == "test" and row in _SAME_AS_REFERENCE:
                continue
            generator = numpy_generator(settings.seed, "fid", row, split)
            protocol = f"{data.judge.features_name}, {split}"
            features = [one.features for one in seen]
            results.append(
                distance_line(
                    row, protocol, reference, features, generator, settings.bootstrap_draws
                )
            )
            if row == "model" and data.further is not None:
                every = [
                    joined(*pair) for pair in zip(features, further_features(data, data.further))
                ]
                results.append(
                    distance_line(
                        row, f"{protocol}, all captions", reference, every, generator, draws=0
                    )
                )
    return Evaluation(results, lines, _remarks(data, wanted, references))


def further_features(data: ImageData, further: Store) -> Iterator[Features]:
    """The features [n, D] of the samples of further captions of the measured pictures, seed by
    seed: with those of the first captions, the set whose distance is published.
    """
    measured = {clip.id for clip in data.clips(data.numbers)}
    rows = [row for row, name in enumerate(further.ids) if name.rsplit("#", 1)[0] in measured]
    tokens = further["tokens"][rows]
    for seed in range(tokens.shape[1]):
        batches = progress(data.decoded(tokens[:, seed]), f"further captions, {seed + 1}")
        yield kept_features(data.judge.features(batch) for batch in batches)


def describe(data: ImageData, settings: EvaluateImages) -> Wanted:
    """What the measured pictures should show."""
    clips, judge = data.clips(data.numbers), data.judge
    captions = labels = told = distractors = None
    if all(clip.caption_file for clip in clips):
        captions = [data.caption(number) for number in data.numbers]
    if judge.classes is not None and all(clip.label for clip in clips):
        labels = torch.tensor([judge.classes.get(str(clip.label), -1) for clip in clips])
    if captions and judge.embed_captions is not None:
        told = judge.embed_captions(captions)
        distractors = draw_distractors(captions, numpy_generator(settings.seed, "distractors"))
    return Wanted(
        [clip.id for clip in clips], captions, labels, told, distractors, settings.exact_shapes
    )


def _rows(
    data: ImageData, settings: EvaluateImages
) -> Iterator[tuple[str, list[Iterator[Tensor]], Figures]]:
    """(row, pictures [seeds] in batches, figures that need the tokens) for the model and every
    control.
    """
    numbers, training = data.numbers, data.manifest.of("train")
    own = data.tokens["tokens"][data.tokens.rows_of([clip.id for clip in data.clips(numbers)])]
    known = FieldRows(
        data.tokens["tokens"], data.tokens.rows_of([clip.id for clip in data.clips(training)])
    )
    yield "ground_truth", [data.real(numbers)], {}
    yield "reconstruction", [data.decoded(own)], _copying(known, [own], settings)
    seeds = range(data.samples["tokens"].shape[1])
    for row, field in (("model", "tokens"), ("model_shuffled", "shuffled")):
        drawn = [data.sampled(field, numbers)[:, seed] for seed in seeds]
        yield row, [data.decoded(tokens) for tokens in drawn], _copying(known, drawn, settings)
    kinds = [data.caption(number) for number in numbers]
    pairs = [partners(kinds, numpy_generator(settings.seed, "pairs", seed)) for seed in seeds]
    yield "shuffled_pairs", [data.real([numbers[other] for other in pair]) for pair in pairs], {}
    if training:
        yield (
            "nearest_neighbour",
            [data.real(nearest_training_pictures(data, numbers, settings.seed))],
            {},
        )
        yield "mean_image", [_repeated(_mean_picture(data, training), len(numbers))], {}


def nearest_training_pictures(data: ImageData, numbers: list[int], seed: int) -> list[int]:
    """For each manifest row a training picture: that with the nearest caption (TF-IDF of words and
    pairs of words, cosine), or, where the condition is a class, one of the same class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    training = data.manifest.of("train")
    told, known = ([data.caption(number) for number in several] for several in (numbers, training))
    if data.manifest.clips[numbers[0]].caption_file:
        vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\w+", min_df=1).fit(known)
        index = NearestNeighbors(n_neighbors=1, metric="cosine").fit(vectors.transform(known))
        return [
            training[row]
            for row in index.kneighbors(vectors.transform(told), return_distance=False)[:, 0]
        ]
    members = {label: np.flatnonzero(np.asarray(known) == label) for label in set(known)}
    generator = numpy_generator(seed, "same class")
    return [training[generator.choice(members.get(label, np.arange(len(known))))] for label in told]


def _copying(training: FieldRows, drawn: list[np.ndarray], settings: EvaluateImages) -> Figures:
    """How far each sample's tokens are from the nearest training item, and whether that counts as a
    copy.
    """
    if not len(training):
        return {}
    distance = nearest_training_item(np.concatenate(drawn), training).distance
    distance = distance.reshape(len(drawn), -1)
    return {
        ("copy_distance", "tokens"): distance,
        ("copied", "tokens"): 100.0 * (distance < settings.copied_below),
    }


def _mean_picture(data: ImageData, training: list[int]) -> Tensor:
    """The mean [3, H, W] of training pictures."""
    chosen = training[:: -(-len(training) // MEAN_OF)]
    sums = [batch.sum(0) for batch in data.real(chosen)]
    return torch.as_tensor(sum(sums)) / len(chosen)


def _repeated(picture: Tensor, count: int) -> Iterator[Tensor]:
    for start in range(0, count, BATCH):
        yield picture.expand(min(BATCH, count - start), -1, -1, -1)


def _remarks(
    data: ImageData, wanted: Wanted, references: dict[str, Reference]
) -> dict[str, object]:
    facts = {
        key: value
        for key, value in data.judge.facts.items()
        if key not in ("vocabulary", "classes")
    }
    return {
        "task": "caption" if wanted.captions else "class",
        "samples": data.samples.provenance,
        "tokens": data.tokens.provenance,
        "n_pictures": len(wanted.ids),
        "n_training_pictures": len(data.manifest.of("train")),
        "judge": facts,
        "fid_features": data.judge.features_name,
        "fid_references": {split: reference.count for split, reference in references.items()},
        "clip_prefix": "A photo depicts" if data.judge.matcher_name == "vit_b32" else None,
        "r_precision_candidates": (
            None if wanted.distractors is None else wanted.distractors.shape[1] + 1
        ),
    }
