"""Outputs for dances as the rows of a table, between the true music and controls that know nothing.

Every figure is `pipeline.metrics.dance`'s, summed up as an evaluation sums it up.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain

import numpy as np

from pipeline.metrics import controls
from pipeline.metrics.bootstrap import draw_weights
from pipeline.metrics.dance import Clips, Heard, at_best_lag, listen, measure
from pipeline.metrics.dance_rows import EvaluateDance
from pipeline.metrics.dance_summary import by_clip, distances, summarise
from pipeline.metrics.genre import Gallery
from pipeline.metrics.music import Spectra, likeness, spectra
from pipeline.metrics.results import Evaluation
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.scoring.outputs import Outputs
from pipeline.scoring.sounds import Sounds

OF_DANCES = ("alignment", "fit_own", "fit_others", "fit_gain")
Row = tuple[str, list[list[Heard]]]


@dataclass(frozen=True)
class MusicBench:
    """What outputs are laid against: the clips with their true music (read by `true`, by position;
    None where there is none), how everything is heard and judged, and, where training clips are
    known, the music of those whose conditions are nearest.
    """

    clips: Clips
    true: Callable[[int], np.ndarray] | None
    sounds: Sounds
    gallery: Gallery
    settings: EvaluateDance
    nearest: Callable[[], Iterable[np.ndarray]] | None = None

    @cached_property
    def true_spectra(self) -> Callable[[int], Spectra] | None:
        """The spectra of a clip's true music, by position; the last few hundred are kept."""
        if (true := self.true) is None:
            return None
        return lru_cache(256)(lambda position: spectra(true(position), self.sounds.sample_rate))

    def listen(self, position: int, sound: np.ndarray) -> Heard:
        """What is heard in `sound` [T], against the true music of the clip at `position`."""
        true = self.true_spectra(position) if self.true_spectra else None
        return listen(sound, self.sounds.sample_rate, self.gallery.embed, true)


def score_music(bench: MusicBench, rows: list[Outputs]) -> Evaluation:
    """The lines of every row: the outputs first, then the controls."""
    clips, settings = bench.clips, bench.settings
    weights = draw_weights(
        clips.songs, settings.bootstrap_draws, numpy_generator(settings.seed, "bootstrap")
    )
    danced = any(len(accents) for accents in clips.accents)
    results, lines, lags = [], [], {}
    ours = {outputs.row for outputs in rows}
    n_seeds = max(len(outputs.sets) for outputs in rows)
    for row, heard in chain(_outputs(bench, rows), _controls(bench, n_seeds)):
        figures = measure(clips, heard, settings.protocols, bench.gallery)
        results += summarise(row, figures, clips, weights)
        lines += by_clip(row, figures, clips)
        if clips.heard is not None:
            results += distances(row, clips, clips.heard, heard, bench.gallery)
        if row in ours and danced and len(set(clips.songs)) > 1:
            lags[row], moved = at_best_lag(clips, heard)
            results += summarise(f"{row}, best lag", moved, clips, weights)
    if not danced:  # nothing is known of any movement
        results = [result for result in results if result.metric not in OF_DANCES]
    return Evaluation(results, lines, {"best_lag_s": lags} if lags else {})


def _outputs(bench: MusicBench, rows: list[Outputs]) -> Iterator[Row]:
    for outputs in rows:
        seeds = []
        for number, files in enumerate(outputs.sets, start=1):
            told = progress(files, f"listening: {outputs.row}, {number}", len(files))
            seeds.append(
                [bench.listen(at, bench.sounds.read(file)) for at, file in enumerate(told)]
            )
        yield outputs.row, seeds


def _controls(bench: MusicBench, n_seeds: int) -> Iterator[Row]:
    """The control rows, made as the evaluation makes them."""
    clips, seed = bench.clips, bench.settings.seed
    if clips.heard is not None:
        yield "ground_truth", [clips.heard]
    shape, count = (bench.sounds.seconds, bench.sounds.sample_rate), len(clips.ids)
    fixed = {
        "metronome": controls.metronome(*shape, bench.settings.metronome_bpm),
        "silence": controls.silence(*shape),
    }
    for row, sound in fixed.items():
        yield row, [[bench.listen(at, sound) for at in range(count)]]
    noises = []
    for number in range(n_seeds):
        generator = numpy_generator(seed, "noise", number)
        noises.append([bench.listen(at, controls.noise(*shape, generator)) for at in range(count)])
    yield "noise", noises
    if clips.heard is not None and len(set(clips.songs)) > 1:
        generators = [numpy_generator(seed, "pairs", number) for number in range(n_seeds)]
        pairs = [controls.partners(clips.songs, generator) for generator in generators]
        yield "shuffled_pairs", [_swapped(bench, clips.heard, pair) for pair in pairs]
    if bench.nearest is not None:
        heard = [bench.listen(at, sound) for at, sound in enumerate(bench.nearest())]
        yield "nearest_neighbour", [heard]


def _swapped(bench: MusicBench, heard: list[Heard], partners: np.ndarray) -> list[Heard]:
    """The true music of each clip's partner, heard against the clip's own."""
    true = bench.true_spectra
    assert true is not None, "clips with true music have its spectra"
    return [
        replace(heard[other], likeness=likeness(true(own), true(int(other))))
        for own, other in enumerate(partners)
    ]
