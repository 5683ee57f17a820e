"""The evaluation of a picture data set: the pictures of every row, the model's and the controls',
measured and summed up.

Rows. `ground_truth`: the real test pictures. `reconstruction`: the same through the codec, the best
a model can reach. `model`: samples under the pictures' own captions or classes. `model_shuffled`:
samples of the same model under another item's caption or class. `shuffled_pairs`: the real picture
of another caption or class. `nearest_neighbour`: a training picture whose caption is nearest (or of
the same class). `mean_image`: the mean training picture, which knows nothing.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.metrics.controls import drawn_rows
from pipeline.metrics.copying import FieldRows, nearest_training_item
from pipeline.metrics.fid import Features, Reference, kept_features
from pipeline.metrics.image_controls import control_rows
from pipeline.metrics.image_data import EvaluateImages, ImageData
from pipeline.metrics.image_figures import Figures, Wanted
from pipeline.metrics.image_rows import Bench, Row, measure_rows, read_reference, wanted_of
from pipeline.metrics.results import Evaluation
from pipeline.runtime.progress import progress
from pipeline.storage.store import Store


def evaluate_images(data: ImageData, settings: EvaluateImages) -> Evaluation:
    """Every line of the tables for a picture task, and the remarks needed to read them."""
    bench = bench_of_data(data, settings)
    results, lines = measure_rows(bench, _rows(data, settings))
    return Evaluation(results, lines, _remarks(data, bench.wanted, bench.references))


def bench_of_data(data: ImageData, settings: EvaluateImages) -> Bench:
    """What the rows of a data set's test pictures are laid against."""
    wanted, judge, further = _wanted(data, settings), data.judge, data.further
    rows = {split: data.manifest.of(split) for split in settings.references}
    references = {
        split: read_reference(judge, data.real(numbers), split, len(numbers))
        for split, numbers in rows.items()
    }
    return Bench(
        wanted,
        judge,
        references,
        settings.bootstrap_draws,
        settings.seed,
        {} if further is None else {"model": lambda: further_features(data, further)},
    )


def _wanted(data: ImageData, settings: EvaluateImages) -> Wanted:
    """What the measured pictures should show."""
    clips = data.clips(data.numbers)
    captions = labels = None
    if all(clip.caption_file for clip in clips):
        captions = [data.caption(number) for number in data.numbers]
    if all(clip.label for clip in clips):
        labels = [str(clip.label) for clip in clips]
    ids = [clip.id for clip in clips]
    return wanted_of(ids, captions, labels, data.judge, settings.seed, settings.exact_shapes)


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


def _rows(data: ImageData, settings: EvaluateImages) -> Iterator[Row]:
    """The model and, where they are wanted, every control; with the figures of the tokens."""
    numbers, training = data.numbers, data.manifest.of("train")
    own = data.tokens["tokens"][data.tokens.rows_of([clip.id for clip in data.clips(numbers)])]
    known = FieldRows(
        data.tokens["tokens"], data.tokens.rows_of([clip.id for clip in data.clips(training)])
    )
    if settings.controls:
        yield "ground_truth", [data.real(numbers)], {}
        yield "reconstruction", [data.decoded(own)], _copying(known, [own], settings)
    seeds = range(data.samples["tokens"].shape[1])
    for row, field in drawn_rows(data.samples):
        drawn = [data.sampled(field, numbers)[:, seed] for seed in seeds]
        yield row, [data.decoded(tokens) for tokens in drawn], _copying(known, drawn, settings)
    if settings.controls:
        yield from control_rows(data, settings.seed, len(seeds))


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


def _remarks(
    data: ImageData, wanted: Wanted, references: Mapping[str, Reference]
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
