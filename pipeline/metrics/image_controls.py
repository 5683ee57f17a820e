"""Pictures beside which samples are read: other items' real pictures, training pictures, the mean
picture.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.metrics.controls import partners
from pipeline.metrics.image_data import BATCH, ImageData
from pipeline.metrics.image_rows import Row
from pipeline.runtime.seeds import numpy_generator

MEAN_OF = 2000  # pictures, evenly spread, whose mean is the mean image


def control_rows(data: ImageData, seed: int, n_seeds: int) -> Iterator[Row]:
    """The rows of another item's real picture and, where there is training, of the nearest training
    picture and the mean one.
    """
    numbers, training = data.numbers, data.manifest.of("train")
    pairs = shuffles([data.caption(number) for number in numbers], seed, n_seeds)
    if pairs:
        swapped = [data.real([numbers[other] for other in pair]) for pair in pairs]
        yield "shuffled_pairs", swapped, {}
    if training:
        yield (
            "nearest_neighbour",
            [data.real(nearest_training_pictures(data, numbers, seed))],
            {},
        )
        yield "mean_image", [repeated(mean_picture(data.real, training), len(numbers))], {}


def shuffles(kinds: list[str], seed: int, n_seeds: int) -> list[np.ndarray]:
    """For each of `n_seeds` the number of an item of another kind (caption, class) for every one
    [n]; none where all are of one kind.
    """
    if len(set(kinds)) < 2:
        return []
    return [partners(kinds, numpy_generator(seed, "pairs", number)) for number in range(n_seeds)]


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


def mean_picture(read: Callable[[list[int]], Iterator[Tensor]], numbers: list[int]) -> Tensor:
    """The mean [3, H, W] of the pictures at `numbers`, which `read` gives in batches."""
    chosen = numbers[:: -(-len(numbers) // MEAN_OF)]
    sums = [batch.sum(0) for batch in read(chosen)]
    return torch.as_tensor(sum(sums)) / len(chosen)


def repeated(picture: Tensor, count: int) -> Iterator[Tensor]:
    """The one picture [3, H, W], `count` times, in batches."""
    for start in range(0, count, BATCH):
        yield picture.expand(min(BATCH, count - start), -1, -1, -1)
