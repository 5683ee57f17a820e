"""The figures of the dance task: what is heard in a clip, and how it compares with the true music,
its score and the dance.

Every row is measured alike, sampling seed by sampling seed and clip by clip;
`pipeline.metrics.dance_summary` turns that into `Result`s.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.metrics import timing
from pipeline.metrics.alignment import alignment
from pipeline.metrics.beats import (
    Protocol,
    bin_counts,
    clip_scores,
    onset_envelope,
    onset_times,
)
from pipeline.metrics.harmony import triad_share
from pipeline.metrics.loudness import loudness_lufs
from pipeline.metrics.midi_truth import Truth, agreement
from pipeline.metrics.music import Spectra, flatness_db, likeness, spectra
from pipeline.metrics.own_vs_others import PROTOCOL, Dances, best_lag, own_and_others, shifted
from pipeline.metrics.transcript import Transcript, transcribe

Figures = dict[tuple[str, str], np.ndarray]  # (metric, protocol) -> [seeds, clips], NaN = undefined


@dataclass(frozen=True)
class Heard:
    """What is heard in one clip of sound: onsets by protocol, tempo, beats (seconds), its embedding
    [D], what can be written down of it, flatness (dB), loudness (LUFS), how clear its chords are
    (%), and how like the true music it sounds (None where there is none).
    """

    onsets: dict[str, np.ndarray]
    tempo: float
    beats: np.ndarray
    embedding: np.ndarray
    transcript: Transcript
    flatness: float
    loudness: float
    triad_share: float
    likeness: dict[str, float] | None = None


@dataclass(frozen=True)
class Clips:
    """The clips of an evaluation, in order, all of one length. `heard` is their true music; it,
    `genres` and `truths`, what the scores of some or all of them say, may be missing.
    """

    ids: list[str]
    songs: list[str]
    genres: list[str] | None
    seconds: float
    accents: list[np.ndarray]
    heard: list[Heard] | None
    truths: list[Truth | None] | None = None

    @property
    def dances(self) -> Dances:
        """The dances as own against others takes them."""
        return Dances(self.accents, [self.seconds] * len(self.ids), self.songs)


def listen(audio: np.ndarray, sample_rate: int, embed, true: Spectra | None = None) -> Heard:
    """What is heard in `audio` [T]; `embed` is one of `pipeline.metrics.embeddings`, `true` the
    spectra of the music it is compared with.
    """
    envelope = onset_envelope(audio, sample_rate)
    onsets = {name: onset_times(envelope, name) for name in ("d2m", "loris", "5hz")}
    tempo, beats = timing.track_beats(envelope)
    seen = spectra(audio, sample_rate)
    transcript = transcribe(seen, sample_rate)
    return Heard(
        onsets,
        tempo,
        beats,
        embed(audio, sample_rate),
        transcript,
        flatness_db(seen.magnitudes),
        loudness_lufs(audio, sample_rate),
        triad_share(transcript.chroma, transcript.chroma_times),
        likeness(true, seen) if true is not None else None,
    )


def measure(
    clips: Clips, rows: list[list[Heard]], protocols: Iterable[Protocol], gallery
) -> Figures:
    """The figures of one row, heard once per seed: `rows` is [seeds][clips]."""
    figures: Figures = {}
    figures["alignment", "motion"] = _each(
        rows, lambda i, heard: alignment(clips.accents[i], heard.onsets["loris"])
    )
    if len(set(clips.songs)) > 1:
        figures |= against_others(clips, [[heard.onsets["loris"] for heard in row] for row in rows])
    for name in ("flatness", "loudness", "triad_share"):
        figures[name, "music"] = _each(rows, lambda _, heard, name=name: getattr(heard, name))
    if clips.truths is not None:
        figures |= _against_scores(clips.truths, rows)
    if clips.heard is not None:
        figures |= _compared(clips.heard, clips.seconds, rows, protocols)
    if clips.genres is not None:
        right = [gallery.retrieve(embeddings(heard)) == np.asarray(clips.genres) for heard in rows]
        figures["genre_accuracy", gallery.name] = 100.0 * np.array(right)
    return figures


def against_others(clips: Clips, rows: list[list[np.ndarray]]) -> Figures:
    """The fit of onsets `rows` [seeds][clips] to their own dances, that of other songs' music, and
    the gain.
    """
    pairs = [own_and_others(clips.dances, row) for row in rows]
    own, others = (np.array(parts) for parts in zip(*pairs))
    named = {"fit_own": own, "fit_others": others, "fit_gain": own - others}
    return {(name, PROTOCOL): values for name, values in named.items()}


def at_best_lag(clips: Clips, rows: list[list[Heard]]) -> tuple[float, Figures]:
    """(the constant lag in seconds that suits a row best, the row's fit moved by it)."""
    onsets = [[heard.onsets["loris"] for heard in row] for row in rows]
    lag = best_lag(clips.dances, onsets)
    moved = [[shifted(times, lag, clips.seconds) for times in row] for row in onsets]
    return lag, against_others(clips, moved)


def _against_scores(truths: list[Truth | None], rows: list[list[Heard]]) -> Figures:
    """The figures that need a score; NaN for the clips that have none."""
    found = [
        [
            agreement(truth, heard.transcript, heard.beats) if truth is not None else {}
            for truth, heard in zip(truths, row, strict=True)
        ]
        for row in rows
    ]
    names = dict.fromkeys(name for row in found for figures in row for name in figures)
    return {
        (name, "midi"): np.array([[one.get(name, np.nan) for one in row] for row in found])
        for name in names
    }


def _compared(
    true: list[Heard], seconds: float, rows: list[list[Heard]], protocols: Iterable[Protocol]
) -> Figures:
    """The figures that need the true music."""
    figures: Figures = {}
    for protocol in protocols:
        counts = [_counts(true, heard, seconds, protocol) for heard in rows]
        scores = [clip_scores(one, protocol) for one in counts]
        for name in ("coverage", "hit", "precision"):
            figures[f"beats_{name}", protocol] = np.array([score[name] for score in scores])
    for name in _likeness(rows[0][0]):
        figures[name, "music"] = _each(rows, lambda _, heard, name=name: _likeness(heard)[name])
    figures["onset_f", "70ms"] = _each(
        rows,
        lambda i, heard: timing.onset_f_measure(true[i].onsets["loris"], heard.onsets["loris"]),
    )
    figures["beat_f", "70ms"] = _each(
        rows, lambda i, heard: timing.beat_f_measure(true[i].beats, heard.beats)
    )
    figures["tempo_difference", "bpm"] = _each(
        rows, lambda i, heard: timing.tempo_difference(true[i].tempo, heard.tempo)
    )
    return figures


def _likeness(heard: Heard) -> dict[str, float]:
    assert heard.likeness is not None, "clips with true music are heard against it"
    return heard.likeness


def _counts(
    true: list[Heard], heard: list[Heard], seconds: float, protocol: Protocol
) -> np.ndarray:
    return np.array(
        [
            bin_counts(a.onsets[protocol], b.onsets[protocol], seconds, protocol)
            for a, b in zip(true, heard, strict=True)
        ]
    )


def _each(rows: list[list[Heard]], figure) -> np.ndarray:
    return np.array(
        [[figure(i, heard) for i, heard in enumerate(row)] for row in rows], dtype=float
    )


def embeddings(heard: list[Heard]) -> np.ndarray:
    """The embeddings [n, D] of what was heard."""
    return np.array([one.embedding for one in heard])
