"""Genre accuracy: the share of generated clips whose nearest neighbour in a gallery of training
music has the right genre.

The gallery holds the *codec's reconstructions* of the training clips: with the original recordings
as gallery, the codec's colouring decides which neighbour is nearest, and the measure judges the
codec instead of the genre.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.metrics.embeddings import EmbeddingName, load_embedding
from pipeline.runtime.arrays import read_arrays
from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic, read_json, write_json
from pipeline.runtime.params import Section
from pipeline.runtime.progress import progress
from pipeline.storage.weights import weights_file


class JudgeDance(Section):
    """The evaluation network of the dance task.

    `weights`: a name of `cdcd weights list` or a file (for `musicnn` the folder of its checkpoint);
    null for `mfcc`, which needs none.
    """

    embedding: EmbeddingName
    weights: str | None = None


@dataclass(frozen=True)
class Gallery:
    """Embeddings [n, D] of training music, the genre of each, the function that made them, and how
    well it judges.
    """

    embeddings: np.ndarray
    genres: np.ndarray
    name: str
    embed: object
    held_out_accuracy: float | None = None

    @cached_property
    def _nearest(self):
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), KNeighborsClassifier(n_neighbors=1)).fit(
            self.embeddings, self.genres
        )

    def retrieve(self, queries: np.ndarray) -> np.ndarray:
        """The genre of the nearest member, [n], of each query embedding [n, D]; features are
        standardised on the gallery.
        """
        return self._nearest.predict(queries)

    def accuracy(self, queries: np.ndarray, genres: Iterable[str]) -> float:
        """The percentage of `queries` [n, D] whose retrieved genre is the one in `genres`."""
        return 100 * float(np.mean(self.retrieve(queries) == np.asarray(list(genres))))


def build_gallery(
    folder: Path,
    settings: JudgeDance,
    training: Iterable[np.ndarray],
    training_genres: list[str],
    held_out: Iterable[np.ndarray],
    held_out_genres: list[str],
    sample_rate: int,
) -> float | None:
    """Writes the gallery of `training` waveforms [T] (codec reconstructions) to `folder`; returns
    its held-out accuracy.

    The folder holds gallery.npz, judge.json (embedding, counts, accuracy in percent on `held_out`)
    and a copy of the embedding's weights, so that it needs nothing else to be read. Where there are
    no genres, give "" for each: the gallery then only names the embedding of KAD and FAD, and has
    no accuracy (None), as when nothing is held out.
    """
    weights = weights_file(settings.weights) if settings.weights else None
    embed = load_embedding(settings.embedding, weights)
    embeddings = _embed_all(
        embed, training, sample_rate, "judge: training music", len(training_genres)
    )
    if len(embeddings) != len(training_genres) or not len(embeddings):
        raise UserError(
            f"The gallery needs a genre for each clip: {len(embeddings)} clips,"
            f" {len(training_genres)} genres."
        )
    gallery = Gallery(embeddings, np.asarray(training_genres, dtype=str), settings.embedding, embed)
    queries = _embed_all(
        embed, held_out, sample_rate, "judge: held-out music", len(held_out_genres)
    )
    judged = len(queries) and len(np.unique(gallery.genres)) > 1
    accuracy = gallery.accuracy(queries, held_out_genres) if judged else None
    with atomic(folder) as temporary:
        temporary.mkdir()
        np.savez(temporary / "gallery.npz", embeddings=gallery.embeddings, genres=gallery.genres)
        if weights and Path(weights).is_dir():
            shutil.copytree(weights, temporary / "weights")
        elif weights:
            shutil.copy(weights, temporary / "weights")
        facts = {
            "embedding": gallery.name,
            "n_gallery": len(embeddings),
            "n_genres": len(np.unique(gallery.genres)),
        }
        held_out_facts = {"held_out_accuracy": accuracy, "n_held_out": len(queries)}
        write_json(temporary / "judge.json", {**facts, **held_out_facts})
    return accuracy


def load_gallery(folder: Path) -> Gallery:
    """The gallery in a judge folder; raises UserError when it is missing or damaged."""
    folder = Path(folder)
    facts = read_json(folder / "judge.json")
    try:
        arrays = read_arrays(folder / "gallery.npz")
        embeddings, genres = arrays["embeddings"], arrays["genres"]
    except FileNotFoundError:
        raise UserError(f"{folder / 'gallery.npz'} is missing; run `cdcd judge` first.") from None
    except KeyError:
        raise DamagedFile(folder / "gallery.npz", "it lacks embeddings or genres") from None
    weights = folder / "weights"
    embed = load_embedding(facts["embedding"], weights if weights.exists() else None)
    return Gallery(embeddings, genres, facts["embedding"], embed, facts["held_out_accuracy"])


def _embed_all(
    embed, clips: Iterable[np.ndarray], sample_rate: int, title: str, total: int
) -> np.ndarray:
    return np.array([embed(clip, sample_rate) for clip in progress(clips, title, total)])
