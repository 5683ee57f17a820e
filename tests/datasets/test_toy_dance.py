import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import librosa
import mir_eval
import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.datasets.toy_dance import ToyDance, check, plan, prepare, read_markers, sound
from pipeline.datasets.toy_dance.camera import RATES, frame_rate, set_up
from pipeline.datasets.toy_dance.dancer import Noise, dance
from pipeline.datasets.toy_dance.markers import COLOURS
from pipeline.datasets.toy_dance.render import render
from pipeline.datasets.toy_dance.songs import GENRES, Title, compose, split_songs
from pipeline.datasets.toy_dance.sound import play
from pipeline.media.audio import read_audio
from pipeline.media.midi import Note, drum_class, read_score, score_bytes, write_score
from pipeline.media.video import read_frames, write_video
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import read_manifest

RATE = 11025
SMALL = ToyDance(
    train=18,
    val=2,
    test=10,
    clip_seconds=1,
    size=96,
    sample_rate=RATE,
    noise=1.0,
    variety=1.0,
    seed=5,
)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def songs():
    return {genre: compose(Title(genre, "test", 1), seed=0) for genre in GENRES}


@pytest.fixture(scope="module")
def performances(songs):
    """Of every genre, what the camera filmed, where the joints truly are, and the frames after
    compression.
    """
    made = []
    for number, song in enumerate(songs.values()):
        rng = np.random.default_rng(number)
        joints = dance(song, 0.7 * number, 1.0, 20, Noise.of_level(1), rng)
        made.append(render(joints, set_up(np.arange(20) / 20, 128, 1.0, rng), 20, rng))
    return made


def test_genres_and_tempi_follow_aist():
    assert GENRES == ("BR", "PO", "LO", "MH", "LH", "HO", "WA", "KR", "JS", "JB")
    for genre in GENRES:
        tempi = {Title(genre, "train", number).bpm for number in range(6)}
        slow, step = (110, 5) if genre == "HO" else (80, 10)
        assert tempi == set(range(slow, slow + 6 * step, step))
    assert len({Title(genre, "val", 0).bpm for genre in GENRES}) > 5


def default_config() -> ToyDance:
    settings = YAML(typ="safe").load(Path(__file__).parents[2] / "params" / "toy_dance.yaml")
    return ToyDance(**settings["download"], clip_seconds=settings["media"]["clip_seconds"])


def test_splits_share_no_song_and_hold_out_no_tempo():
    config = default_config()
    splits = split_songs({"train": config.train, "val": config.val, "test": config.test})
    everything = [song for split in splits.values() for song in split]
    assert len(everything) == len(set(everything)) == len({str(song) for song in everything})
    assert len(splits["train"]) >= 500
    assert min(len(splits["val"]), len(splits["test"])) >= 60
    for split in splits.values():
        assert len(set(Counter(song.genre for song in split).values())) == 1
        assert {song.genre for song in split} == set(GENRES)
    for song in splits["val"] + splits["test"]:
        assert song.bpm in {other.bpm for other in splits["train"] if other.genre == song.genre}


def test_default_clips_hear_every_song_once_or_twice():
    for split, least in (("train", 1000), ("val", 120), ("test", 120)):
        takes = [take for take in plan(default_config()) if take.song.split == split]
        assert len(takes) >= least
        assert set(Counter(take.song for take in takes).values()) <= {1, 2}


def test_equal_seeds_compose_and_play_the_same_bytes():
    title = Title("BR", "train", 7)
    first, again, other = (compose(title, seed) for seed in (0, 0, 1))
    assert score_bytes(first.score) == score_bytes(again.score) != score_bytes(other.score)
    assert np.array_equal(play(first.score, 3, 1, RATE), play(again.score, 3, 1, RATE))
    names = {score_bytes(compose(song, 0).score) for song in split_songs({"val": 60})["val"]}
    assert len(names) == 30


def test_songs_have_sections_chords_and_a_band(songs):
    for song in songs.values():
        score = song.score
        assert song.seconds == pytest.approx(18 * 4 * song.beat_s)
        assert np.allclose(np.diff(score.beats), song.beat_s)
        assert np.array_equal(score.downbeats, score.beats[::4])
        assert [chord.start_s for chord in score.chords[1:]] == pytest.approx(
            [chord.end_s for chord in score.chords[:-1]]
        )
        assert len({chord.name for chord in score.chords}) > 2
        assert len({note.program for note in score.notes if not note.is_drum}) == 4
        assert len({note.velocity for note in score.notes}) > 20
        verse, chorus = (score.stretch(bar * 4 * song.beat_s, 16 * song.beat_s) for bar in (2, 6))
        assert len(chorus.notes) > len(verse.notes)


def test_the_score_of_any_stretch_survives_its_file(songs, tmp_path):
    rng = np.random.default_rng(4)
    for song in songs.values():
        score = song.score.stretch(rng.uniform(0, song.seconds - 2), 2.0)
        write_score(tmp_path / "clip.mid", score)
        again = read_score(tmp_path / "clip.mid")
        assert len(again.notes) == len(score.notes) > 5
        for part in {(note.program, note.is_drum, note.pitch) for note in score.notes}:
            times, read = (
                [n.start_s for n in each.notes if (n.program, n.is_drum, n.pitch) == part]
                for each in (score, again)
            )
            assert read == pytest.approx(times, abs=1e-3)
        assert again.beats == pytest.approx(score.beats, abs=1e-3)
        assert again.key == score.key
        assert [chord.name for chord in again.chords] == [chord.name for chord in score.chords]


def test_players_keep_time_like_people(songs):
    """Kicks lie near the grid of sixteenths, never all on it, machines nearer than a jazz band."""

    def strays(genre):
        song = songs[genre]
        kicks = [note.start_s for note in song.score.notes if drum_class(note.pitch) == "kick"]
        on_beat = np.array(kicks) / song.beat_s
        off = np.abs(on_beat - np.round(on_beat)) * song.beat_s
        return off[off < 0.03]

    assert 0 < strays("HO").mean() < 0.004 < strays("JS").mean() < 0.015


def test_swing_delays_what_is_off_the_beat(songs):
    """Where the second eighths of the ride cymbal and of the hats fall in their beats."""
    for genre, cymbals, place in (("JS", (51,), 0.66), ("PO", (42, 46), 0.5)):
        song = songs[genre]
        hits = [note.start_s for note in song.score.notes if note.pitch in cymbals and note.is_drum]
        phase = np.array(hits) / song.beat_s % 1
        assert np.median(phase[(phase > 0.4) & (phase < 0.74)]) == pytest.approx(place, abs=0.02)


@pytest.mark.parametrize("genre", GENRES)
def test_no_stretch_is_silent_or_clips(songs, genre):
    song = songs[genre]
    for start_s in (0.0, 0.4 * song.seconds, song.seconds - 1.0):
        wave = play(song.score, start_s, 1.0, RATE)
        assert len(wave) == RATE
        assert wave.dtype == np.float32
        assert np.abs(wave).max() == pytest.approx(0.9, abs=1e-4)
        assert np.sqrt(np.mean(wave**2)) > 0.02


def test_no_instrument_is_buried(songs):
    """Alone, each part's loud moments lie within 30 dB of the loudest part's."""
    for song in songs.values():
        chorus = song.score.stretch(6 * 4 * song.beat_s, 4.0)
        levels = {}
        for program, is_drum in {(note.program, note.is_drum) for note in chorus.notes}:
            own = [n for n in chorus.notes if (n.program, n.is_drum) == (program, is_drum)]
            wave, _ = sound._render(replace(chorus, notes=tuple(own)))
            blocks = wave.mean(axis=1)[: len(wave) // 2400 * 2400].reshape(-1, 2400)
            power = (blocks**2).mean(axis=1)
            levels[program, is_drum] = 10 * np.log10(np.percentile(power, 95))
        assert max(levels.values()) - min(levels.values()) < 30
        assert len(levels) == 5


@pytest.mark.parametrize("genre", GENRES)
def test_the_sound_starts_anew_at_the_hits(songs, genre):
    song, hop, rate = songs[genre], 110, 22050
    start_s = 6 * 4 * song.beat_s
    wave = play(song.score, start_s, 8.0, rate)
    power = np.convolve(wave**2, np.ones(hop) / hop, "same")
    rise = np.maximum(np.diff(np.log(power[::hop] + 1e-4)), 0)
    hits = song.accents(start_s, start_s + 7.9)
    loudest = max(strength for _, strength in hits)
    at = [time_s - start_s for time_s, strength in hits if strength > 0.9 * loudest]
    around = [int(time_s * rate / hop) + np.arange(-2, 6) for time_s in at if time_s > 0.05]
    assert np.median([rise[rows].max() for rows in around]) > 5 * np.median(rise)
    assert np.median([rise[rows].max() for rows in around]) > 2 * rise.mean()


def test_scores_agree_with_estimators_on_the_sound(songs):
    """The written onsets and tempi are those that librosa hears."""
    agreement, in_time = [], []
    for song in songs.values():
        start_s = 6 * 4 * song.beat_s
        wave, score = play(song.score, start_s, 8.0, 22050), song.score.stretch(start_s, 8.0)
        written = np.unique([note.start_s for note in score.notes if note.start_s > 0])
        written = written[np.diff(written, prepend=-1) > 0.03]
        heard = librosa.onset.onset_detect(y=wave, sr=22050, units="time", hop_length=256)
        agreement.append(mir_eval.onset.f_measure(written, heard, window=0.05)[0])
        tempo = float(librosa.feature.tempo(y=wave, sr=22050)[0])
        octaves = np.log2(tempo / song.title.bpm)
        in_time.append(min(abs(octaves - k) for k in (-1, 0, 1)) < np.log2(1.04))
    assert np.median(agreement) > 0.8
    assert sorted(agreement)[1] > 0.8  # soft broken chords of one genre may be missed
    assert np.mean(in_time) >= 0.7


def test_a_missing_or_damaged_sound_font_is_one_sentence(tmp_path, monkeypatch):
    sound.sound_font.cache_clear()
    monkeypatch.setattr(sound, "SOUND_FONT", tmp_path / "TimGM6mb.sf2")
    for words in ("TimGM6mb.sf2 is missing; install pretty_midi again", "TimGM6mb.sf2 is damaged"):
        with pytest.raises(UserError, match=words):
            prepare(SMALL, tmp_path / "raw")
        assert [words in finding for finding in check(SMALL)] == [True]
        assert not (tmp_path / "raw").exists()
        sound.SOUND_FONT.write_bytes(b"RIFF")
    monkeypatch.undo()
    assert check(SMALL) == []


def test_what_the_sound_font_lacks_and_what_clips_is_refused(songs, monkeypatch):
    score = songs["BR"].score
    for is_drum, name in ((True, "Drum kit"), (False, "Program")):
        foreign = replace(score, notes=(Note(0.0, 1.0, 40, 90, 129 - 2 * is_drum, is_drum),))
        with pytest.raises(UserError, match=f"{name} {129 - 2 * is_drum} is not in the sound font"):
            play(foreign, 0.0, 1.0, RATE)
    crowd = [Note(0.0, 1.0, pitch, 127, 38, False) for pitch in range(30, 90)]
    with pytest.raises(UserError, match="clips"):
        play(replace(score, notes=tuple(crowd)), 0.0, 1.0, RATE)
    with pytest.raises(UserError, match="silent"):
        play(replace(score, notes=()), 0.0, 1.0, RATE)


def test_bones_keep_their_length(songs):
    joints = dance(songs["KR"], 3.0, 4.0, 20, Noise.of_level(1), np.random.default_rng(0))
    assert joints.shape == (80, 17, 3)
    assert np.isfinite(joints).all()
    for a, b in (
        (5, 7),
        (7, 9),
        (6, 8),
        (8, 10),
        (11, 13),
        (13, 15),
        (12, 14),
        (14, 16),
        (5, 6),
        (11, 12),
        (3, 4),
    ):
        length = np.linalg.norm(joints[:, a] - joints[:, b], axis=1)
        assert np.ptp(length) < 1e-6


def beat_lock(songs, level: float, shuffle: bool) -> float:
    """How sharply the dancers' brakings gather at one phase of the beat, 0..1, mean over genres;
    shuffled: at random starts.
    """
    rng = np.random.default_rng(3)
    locks = []
    for song in songs.values():
        phases = []
        for _ in range(12):
            start_s = rng.uniform(0, song.seconds)
            joints = dance(song, start_s, 2.0, 20, Noise.of_level(level), rng)
            braking = np.linalg.norm(np.diff(joints[:, 7:], n=2, axis=0), axis=2).mean(axis=1)
            times = start_s + (1 + np.arange(len(braking))) / 20
            offset = rng.random() if shuffle else 0.0
            turn = 2j * np.pi * (times / song.beat_s + offset)
            phases.append(np.angle(((braking - braking.mean()) * np.exp(turn)).sum()))
        locks.append(np.abs(np.exp(1j * np.array(phases)).mean()))
    return float(np.mean(locks))


def test_accents_fall_on_the_beat_but_not_perfectly(songs):
    perfect, human, wild, shuffled = (
        beat_lock(songs, *case) for case in ((0, False), (1, False), (3, False), (1, True))
    )
    assert human > 0.5 > shuffled + 0.15
    assert perfect > human > wild


def test_styles_tell_genres_apart(songs):
    rng = np.random.default_rng(1)

    def manner(song):
        joints = dance(song, rng.uniform(0, song.seconds), 3.0, 20, Noise.of_level(1), rng)
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=2)
        return np.concatenate(
            [joints.mean(axis=0).ravel(), joints.std(axis=0).ravel(), 5 * speed.mean(axis=0)]
        )

    seen = np.array([[manner(song) for _ in range(8)] for song in songs.values()])
    seen = (seen - seen.mean(axis=(0, 1))) / seen.std(axis=(0, 1))
    centre, probe = seen[:, :6].mean(axis=1), seen[:, 6:].reshape(-1, seen.shape[-1])
    guess = np.linalg.norm(probe[:, None] - centre, axis=2).argmin(axis=1)
    assert (guess == np.repeat(np.arange(10), 2)).mean() > 0.4  # one in ten by chance


def test_markers_are_read_from_compressed_video(performances, tmp_path):
    errors, found = [], []
    for number, (frames, truth) in enumerate(performances):
        write_video(tmp_path / f"{number}.mp4", frames, 20)
        joints = read_markers(np.stack(list(read_frames(tmp_path / f"{number}.mp4", 20, 0.0, 1.0))))
        assert joints.shape == (20, 17, 3)
        seen = joints[..., 2] == 1
        assert (joints[~seen] == 0).all()
        errors.append(np.linalg.norm(joints[..., :2] - truth, axis=-1)[seen])
        found.append(seen)
    errors = np.concatenate(errors)
    assert np.mean(found) > 0.85  # others are hidden, or outside the picture
    assert np.median(errors) < 0.8
    assert (errors > 4).mean() < 0.01


def test_markers_sit_where_they_are_drawn():
    frame = np.full((1, 96, 128, 3), 90, np.uint8)
    frame[0, 40:45, 100:105] = COLOURS[9]
    joints = read_markers(frame)[0]
    assert joints[9] == pytest.approx([102, 42, 1])
    assert joints[np.arange(17) != 9].max() == 0


def test_nothing_but_markers_looks_like_a_marker():
    rng = np.random.default_rng(0)
    empty = np.full((4, 17, 3), 50.0)  # a dancer far outside the picture
    for _ in range(10):
        frames, _ = render(empty, set_up(np.arange(4) / 20, 96, 1.0, rng), 20, rng)
        assert read_markers(frames)[..., 2].sum() == 0


@pytest.mark.parametrize("rate", [11025, 22050])
def test_sound_and_pictures_stay_together(tmp_path, rate):
    clicks = np.zeros(2 * rate, np.float32)
    times = (0.25, 0.9, 1.6)
    for time_s in times:
        clicks[int(time_s * rate) :][:40] = 0.8
    frames = np.zeros((40, 96, 96, 3), np.uint8)
    frames[[5, 18, 32]] = 255
    write_video(tmp_path / "clicks.mp4", frames, 20, clicks, rate)
    sound = np.abs(read_audio(tmp_path / "clicks.mp4", rate, 0.0, 2.0))
    light = np.array([frame.mean() for frame in read_frames(tmp_path / "clicks.mp4", 20, 0.0, 2.0)])
    for time_s in times:
        near = slice(int((time_s - 0.1) * rate), int((time_s + 0.1) * rate))
        assert (
            near.start + np.argmax(sound[near] > 0.4 * sound[near].max())
        ) / rate == pytest.approx(time_s, abs=0.01)
    assert np.flatnonzero(light > 128).tolist() == [5, 18, 32]


def test_one_performance_is_the_same_at_any_frame_rate(songs):
    for song in songs.values():
        coarse, fine = (
            dance(song, 3.0, 2.0, fps, Noise.of_level(1), np.random.default_rng(2))
            for fps in (20, 60)
        )
        np.testing.assert_allclose(fine[::3], coarse, atol=1e-9)


def test_bars_are_held_stepped_flown_and_turned():
    """Of forty performances some stand nearly still for a beat, some go around, some step often."""
    stillest, turned, steps = [], [], []
    for number in range(40):
        song = compose(Title(GENRES[number % 10], "val", number), 0)
        joints = dance(song, 4.0, 4.0, 20, Noise.of_level(0.3), np.random.default_rng(number))
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=2).mean(axis=1) * 20
        beat = round(20 * song.beat_s)
        stillest.append(np.convolve(speed, np.ones(beat) / beat, "valid").min() / speed.mean())
        turned.append(((joints[:, 5] - joints[:, 6])[:, 0] < 0).any())
        lifted = joints[:, 15:, 1] > 0.08
        steps.append((np.diff(lifted.astype(int), axis=0) > 0).sum())
    assert 3 <= (np.array(stillest) < 0.4).sum() <= 30
    assert 2 <= np.sum(turned) <= 20
    assert 5 <= (np.array(steps) > 4).sum() <= 35


def test_cameras_and_frame_rates_differ_as_people_film():
    rng = np.random.default_rng(0)
    cameras = [set_up(np.arange(60) / 30, 128, 1.0, rng) for _ in range(100)]
    shapes = {(camera.width > camera.height) - (camera.width < camera.height) for camera in cameras}
    assert shapes == {-1, 0, 1}
    assert all(abs(c.width * c.height / 128**2 - 1) < 0.03 for c in cameras)
    assert all(c.width % 2 == c.height % 2 == 0 for c in cameras)
    moving = [np.ptp(camera.origin, axis=0).max() > 1.0 for camera in cameras]
    assert 20 < sum(moving) < 90
    assert np.std([camera.yaw[0] for camera in cameras]) > 0.2
    bodies = [camera.scale[0] / camera.height for camera in cameras]
    assert min(bodies) < 0.65 < 0.8 < max(bodies)
    assert {frame_rate(1.0, rng) for _ in range(200)} == set(RATES)
    assert min(RATES) == 24
    assert max(RATES) > 59


def test_without_variety_all_film_alike():
    rng = np.random.default_rng(0)
    plain = [set_up(np.arange(60) / 30, 128, 0.0, rng) for _ in range(20)]
    assert {(c.width, c.height, c.yaw.max(), c.pitch) for c in plain} == {(128, 128, 0.0, 0.0)}
    assert all(np.ptp(c.origin, axis=0).max() == 0 for c in plain)
    assert {frame_rate(0.0, rng) for _ in range(20)} == {30.0}


def digests(folder) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*.*")
    }


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path):
    script = f"""
import pathlib
from pipeline.datasets.toy_dance import ToyDance, prepare
prepare(ToyDance(**{SMALL.model_dump()!r}), pathlib.Path({str(tmp_path / "killed")!r}))
"""
    run = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": "."},
        stderr=subprocess.DEVNULL,
    )
    scratch = tmp_path / "home" / "scratch"
    deadline = time.monotonic() + 120
    while (
        len(list(scratch.glob("*/[!.]*.mp4"))) < 5
        and run.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    kept = {file.name: file.stat().st_mtime_ns for file in scratch.glob("*/[!.]*.mp4")}
    assert 5 <= len(kept) < 30
    assert not (tmp_path / "killed" / "manifest.csv").exists()
    kept_bytes = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in scratch.glob("*/[!.]*.mp4")
    }

    filmed = []
    with pytest.MonkeyPatch.context() as patch:
        from pipeline.datasets.toy_dance import dataset

        film = dataset.film
        patch.setattr(
            dataset,
            "film",
            lambda config, take, *rest: (filmed.append(take.id), film(config, take, *rest)),
        )
        assert prepare(SMALL, tmp_path / "killed") == []
    assert len(filmed) == 30 - len(kept)
    assert not {f"{name}.mp4" for name in filmed} & set(kept)
    assert not scratch.exists() or not list(scratch.iterdir())

    prepare(SMALL, tmp_path / "whole")
    whole = digests(tmp_path / "whole")
    assert digests(tmp_path / "killed") == whole
    assert len(whole) == 61
    assert all(whole[f"media/{name}"] == digest for name, digest in kept_bytes.items())

    manifest = read_manifest(tmp_path / "whole" / "manifest.csv")
    assert manifest.ids == [take.id for take in plan(SMALL)]
    assert [len(manifest.of(split)) for split in ("train", "val", "test")] == [18, 2, 10]
    assert sorted(manifest.clips[row].genre for row in manifest.of("test")) == sorted(GENRES)
    for clip in manifest.clips:
        wave = read_audio(manifest.file(clip), RATE, 0.0, 1.0)
        score = read_score(manifest.file(clip).with_suffix(".mid"))
        assert np.sqrt(np.mean(wave**2)) > 0.02
        assert score.duration_s == pytest.approx(1.0, abs=1e-3)
        assert 1 <= len(score.beats) <= 3
        assert score.notes


def test_another_seed_gives_other_dances(songs):
    one, same, other = (
        dance(songs["PO"], 0.0, 1.0, 20, Noise.of_level(1), np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 0.05
