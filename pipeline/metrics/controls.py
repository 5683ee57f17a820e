"""Control rows: what an evaluation must be read beside. Sounds without music, and pairings without
knowledge.
"""

import librosa
import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.storage.store import Store


def drawn_rows(samples: Store) -> list[tuple[str, str]]:
    """(row, field of the samples) of what a model drew: under the clips' own conditions and, where
    the sampling had its control, under another clip's.
    """
    rows = [("model", "tokens"), ("model_shuffled", "shuffled")]
    return [(row, field) for row, field in rows if field in samples]


def metronome(duration: float, sample_rate: int, bpm: float = 120.0) -> np.ndarray:
    """A click track [T]: a click every 60 / bpm seconds, the first a quarter of a second in."""
    times = np.arange(0.25, duration - 0.05, 60 / bpm)
    return librosa.clicks(times=times, sr=sample_rate, length=round(duration * sample_rate)).astype(
        np.float32
    )


def silence(duration: float, sample_rate: int) -> np.ndarray:
    """Zeros [T]."""
    return np.zeros(round(duration * sample_rate), dtype=np.float32)


def noise(duration: float, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
    """White noise [T] with a standard deviation of 0.1."""
    return 0.1 * generator.standard_normal(round(duration * sample_rate), dtype=np.float32)


def partners(songs: list[str], generator: np.random.Generator) -> np.ndarray:
    """For each clip the number of a clip of another song, [n]; every clip of the other songs is
    equally likely.

    Raises UserError when there is only one song: its clips cannot be shuffled.
    """
    names = np.asarray(songs, dtype=str)
    if len(np.unique(names)) < 2:
        raise UserError(
            "A shuffled control needs test clips of at least two songs; there is one. Add clips to"
            " the test split."
        )
    return np.array([generator.choice(np.flatnonzero(names != song)) for song in names])


def nearest_condition(test: np.ndarray, training: np.ndarray) -> np.ndarray:
    """For each row of `test` [n, D] the nearest row of `training` [m, D], features standardised on
    the training rows.
    """
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(training)
    index = NearestNeighbors(n_neighbors=1).fit(scaler.transform(training))
    return index.kneighbors(scaler.transform(test), return_distance=False)[:, 0]
