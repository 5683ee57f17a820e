"""An evaluation of clips some of which have a score beside them: figures against the notes, counts,
and the table they stand in.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipeline.media.content import AudioClips
from pipeline.media.midi import Chord, Note, Score, write_score
from pipeline.metrics.dance_rows import describe_clips, evaluate_dance
from pipeline.reporting.tables import blocks, heading, legend
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Manifest
from tests.reporting.conftest import GENRES, SETTINGS, beats_of


@pytest.fixture(scope="module")
def scored(dance_data, tmp_path_factory):
    """The finished data set with a score beside all test clips but one."""
    root = tmp_path_factory.mktemp("scored")
    clips = dance_data.manifest.clips
    for number, clip in enumerate(clips):
        shutil.copy(dance_data.manifest.file(clip), root)
        if clip.split == "test" and number != len(clips) - 1:
            write_score((root / clip.path).with_suffix(".mid"), score_of(number, clip.genre))
    sound = AudioClips(Manifest(clips, root), dance_data.sample_rate, dance_data.seconds, None)
    return replace(dance_data, music=sound)


def score_of(number, genre):
    beats = beats_of(numpy_generator(3, "clip", number))
    beats = beats[(beats > 0) & (beats < 1.9)]
    pitch = {"break": 62, "house": 86}[genre]  # 294 and 1,175 Hz, what the fixture plays
    notes = tuple(Note(time, time + 0.1, pitch, 90, 0, False) for time in beats)
    return Score(notes, beats, beats[::4], (Chord(0.0, 2.0, 2, "min"),), "D:min", 2.0)


def test_figures_against_the_notes_stand_in_a_table_of_their_own(scored):
    assert set(GENRES) == {"break", "house"}
    evaluation = evaluate_dance(scored, describe_clips(scored), SETTINGS)
    table = {(r.row, r.metric): r for r in evaluation.results if r.protocol == "midi"}
    assert evaluation.remarks["clips_with_score"] == 5
    truth, other = table["ground_truth", "note_onset_f"], table["shuffled_pairs", "note_onset_f"]
    assert (truth.n_clips, truth.n_songs) == (5, 3)
    assert truth.mean > 90
    assert truth.mean > other.mean + 30
    assert table["model", "note_onset_f"].mean == pytest.approx(truth.mean, abs=5)
    assert table["silence", "note_onset_f"].mean == 0
    assert np.isnan(table["ground_truth", "kick_f"].mean)
    found = {block.name: block for block in blocks(evaluation.results)}
    assert [name for name, _ in found["midi"].columns][:3] == [
        "key_agreement",
        "chord_agreement",
        "note_onset_f",
    ]
    assert [heading(column) for column in found["music"].columns] == [
        "Mel distance ↓",
        "Spectral convergence ↓",
        "Chroma similarity ↑",
        "Flatness",
        "Loudness",
        "Triads",
    ]
    for block in (found["midi"], found["music"], found["own_vs_others"]):
        assert all(
            heading(column).split(" ↓")[0].split(" ↑")[0] in legend(block)
            for column in block.columns
        )
