"""The evaluation of a dance data set: the sound of every row, the model's and the controls',
measured and summed up.

Rows. `ground_truth`: the true music. `reconstruction`: the same through the codec, the best a model
can reach. `model`: samples under the clips' own dances. `model_shuffled`: samples of the same model
under another song's dance. `shuffled_pairs`: another song's true music (if there is one).
`nearest_neighbour`: the music of the training clip whose condition is nearest. `metronome`,
`silence` and `noise` know nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from pydantic import Field

from pipeline.media.audio import reduce_noise
from pipeline.metrics import controls
from pipeline.metrics.alignment import dance_accents
from pipeline.metrics.beats import Protocol
from pipeline.metrics.bootstrap import draw_weights
from pipeline.metrics.copying import FieldRows, nearest_training_item
from pipeline.metrics.dance import Clips, Figures, Heard, at_best_lag, listen, measure
from pipeline.metrics.dance_data import DanceData, listener
from pipeline.metrics.dance_summary import by_clip, distances, summarise
from pipeline.metrics.music import Spectra, likeness, spectra
from pipeline.metrics.results import Evaluation
from pipeline.runtime.engine import results
from pipeline.runtime.params import Amount, Draws, Percent, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.store import Store


class EvaluateDance(Section):
    """How samples of music are measured.

    `protocols`: which beat protocols. `bootstrap_draws`: of songs. `noise_reduce`: spectral gating
    of the model's sound before it is measured, as the published evaluation does (one-sided, hence
    off by default). `copied_below`: a sample whose tokens differ from a training item's in fewer
    percent of positions counts as copied. `examples`: clips shown on the page. `controls`: also the
    rows that are not the model's.
    """

    protocols: tuple[Protocol, ...] = Field(default=("d2m", "loris", "5hz"), min_length=1)
    bootstrap_draws: Draws
    seed: Seed = 0
    noise_reduce: bool = False
    metronome_bpm: float = Field(default=120.0, strict=True, ge=20, le=400)
    copied_below: Percent
    examples: Amount
    controls: bool = True


def evaluate_dance(data: DanceData, clips: Clips, settings: EvaluateDance) -> Evaluation:
    """Every line of the tables for the dance task, and the remarks needed to read them; `clips` by
    `describe_clips`.
    """
    weights = draw_weights(
        clips.songs, settings.bootstrap_draws, numpy_generator(settings.seed, "bootstrap")
    )
    results, lines, remarks = [], [], _remarks(data, settings, clips)
    for row, heard, extra in _rows(data, settings, clips):
        figures = {**measure(clips, heard, settings.protocols, data.gallery), **extra}
        results += summarise(row, figures, clips, weights)
        lines += by_clip(row, figures, clips)
        if clips.heard is not None:
            results += distances(row, clips, clips.heard, heard, data.gallery)
        if row == "model" and len(set(clips.songs)) > 1:
            remarks["best_lag_s"], moved = at_best_lag(clips, heard)
            results += summarise("model_best_lag", moved, clips, weights)
    return Evaluation(results, lines, remarks)


def describe_clips(data: DanceData) -> Clips:
    """The measured clips: their songs, genres, accents of the dance and true music."""
    chosen = [data.manifest.clips[number] for number in data.numbers]
    motion = data.conditions["motion"][data.conditions.rows_of([clip.id for clip in chosen])]
    genres = [clip.genre for clip in chosen if clip.genre]
    labelled = len(genres) == len(chosen) and len(set(data.gallery.genres)) > 1
    return Clips(
        ids=[clip.id for clip in chosen],
        songs=[clip.song or clip.id for clip in chosen],
        genres=genres if labelled else None,
        seconds=data.seconds,
        accents=[dance_accents(frames, data.conditions.provenance["fps"]) for frames in motion],
        heard=(
            _heard(data, map(data.true_music, data.numbers), "ground truth")
            if data.have_music
            else None
        ),
        truths=data.truths,
    )


def _rows(
    data: DanceData, settings: EvaluateDance, clips: Clips
) -> Iterator[tuple[str, list[list[Heard]], Figures]]:
    """(row, what is heard [seeds][clips], figures that need the tokens) for the model and, where
    they are wanted, every control.
    """
    rows = data.samples.rows_of(clips.ids)
    seeds = range(data.samples["tokens"].shape[1])
    if clips.heard is not None and settings.controls:
        own = data.tokens["tokens"][data.tokens.rows_of(clips.ids)]
        yield "ground_truth", [clips.heard], {}
        yield (
            "reconstruction",
            [_heard(data, data.decoded(own), "reconstruction")],
            _copying(data, [own], settings),
        )
    for row, field in controls.drawn_rows(data.samples):
        drawn = [data.samples[field][rows][:, seed] for seed in seeds]
        sounds = [_cleaned(data, data.decoded(tokens), settings) for tokens in drawn]
        yield (
            row,
            [_heard(data, sound, f"{row}, seed {n}") for n, sound in enumerate(sounds)],
            _copying(data, drawn, settings),
        )
    if not settings.controls:
        return
    yield from _knowing_nothing(data, settings, clips, len(seeds))
    if clips.heard is not None and len(set(clips.songs)) > 1:
        pairs = [
            controls.partners(clips.songs, numpy_generator(settings.seed, "pairs", seed))
            for seed in seeds
        ]
        yield "shuffled_pairs", [_swapped(data, clips.heard, pair) for pair in pairs], {}
    if nearest := nearest_training_clips(data, clips.ids):
        yield (
            "nearest_neighbour",
            [_heard(data, map(data.true_music, nearest), "nearest neighbour")],
            {},
        )


def _swapped(data: DanceData, heard: list[Heard], partners: np.ndarray) -> list[Heard]:
    """The true music of each clip's partner, heard against the clip's own."""

    def true(position: int) -> Spectra:
        return data.true_spectra(data.numbers[position])

    return [
        replace(heard[other], likeness=likeness(true(own), true(other)))
        for own, other in enumerate(partners)
    ]


def _knowing_nothing(
    data: DanceData, settings: EvaluateDance, clips: Clips, n_seeds: int
) -> Iterator[tuple]:
    shape, n_clips = (data.seconds, data.sample_rate), len(clips.ids)
    fixed = {
        "metronome": controls.metronome(*shape, settings.metronome_bpm),
        "silence": controls.silence(*shape),
    }
    for row, sound in fixed.items():
        heard = listen(sound, data.sample_rate, data.gallery.embed)
        if data.have_music:
            seen = spectra(sound, data.sample_rate)
            each = [
                replace(heard, likeness=likeness(data.true_spectra(number), seen))
                for number in data.numbers
            ]
        else:
            each = [heard] * n_clips
        yield row, [each], {}
    noises = []
    for seed in range(n_seeds):
        generator = numpy_generator(settings.seed, "noise", seed)
        noises.append(_heard(data, (controls.noise(*shape, generator) for _ in clips.ids), "noise"))
    yield "noise", noises, {}


def nearest_training_clips(data: DanceData, ids: list[str]) -> list[int]:
    """For each id the manifest row of the training clip whose condition is nearest (means and
    deviations over time).
    """
    if not data.training:
        return []
    summaries = [
        _summary(data.conditions, data.conditions.rows_of(names))
        for names in (ids, data.ids(data.training))
    ]
    return [data.training[row] for row in controls.nearest_condition(*summaries)]


def _summary(conditions: Store, rows: np.ndarray) -> np.ndarray:
    """Motion and visual features [n, T, ...] summed up over time as [n, D]."""
    parts = []
    for field in ("motion", "visual"):
        if field in conditions:
            values = np.array([conditions[field][int(row)] for row in rows], dtype=np.float32)
            values = values.reshape(len(rows), values.shape[1], -1)
            parts += [values.mean(axis=1), values.std(axis=1)]
    return np.concatenate(parts, axis=1)


def _copying(data: DanceData, drawn: list[np.ndarray], settings: EvaluateDance) -> Figures:
    """How far each sample's tokens are from the nearest training item, and whether that counts as a
    copy.
    """
    if not data.training:
        return {}
    training = FieldRows(data.tokens["tokens"], data.tokens.rows_of(data.ids(data.training)))
    distance = nearest_training_item(np.concatenate(drawn), training).distance
    distance = distance.reshape(len(drawn), -1)
    return {
        ("copy_distance", "tokens"): distance,
        ("copied", "tokens"): 100.0 * (distance < settings.copied_below),
    }


def _cleaned(
    data: DanceData, sounds: Iterable[np.ndarray], settings: EvaluateDance
) -> Iterator[np.ndarray]:
    return (
        reduce_noise(sound, data.sample_rate) if settings.noise_reduce else sound
        for sound in sounds
    )


def _heard(data: DanceData, sounds: Iterable[np.ndarray], title: str) -> list[Heard]:
    sounds = progress(sounds, f"listening: {title}", len(data.numbers))
    pieces = (([pair],) for pair in zip(data.numbers, sounds, strict=True))
    opener = partial(listener, data.music, data.gallery.embed, data.have_music)
    return [part["heard"][0] for (part,) in results(opener, pieces)]


def _remarks(data: DanceData, settings: EvaluateDance, clips: Clips) -> dict[str, object]:
    undefined = (
        0 if clips.heard is None else sum(not len(heard.onsets["d2m"]) for heard in clips.heard)
    )
    return {
        "task": "dance",
        "samples": data.samples.provenance,
        "conditions": data.conditions.provenance,
        "tokens": data.tokens.provenance,
        "n_clips": len(clips.ids),
        "n_songs": len(set(clips.songs)),
        "n_training_clips": len(data.training),
        "references_without_onset": undefined,
        "clips_with_score": sum(truth is not None for truth in clips.truths or []),
        "clips_without_accent": sum(not len(accents) for accents in clips.accents),
        "embedding": data.gallery.name,
        "held_out_accuracy": data.gallery.held_out_accuracy,
        "extractor": data.conditions.provenance.get("extractor"),
        "pose_source": data.conditions.provenance.get("pose_source"),
        "noise_reduced": settings.noise_reduce,
    }
