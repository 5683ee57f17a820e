import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pipeline.datasets.toy_dance import ToyDance, plan, prepare, read_markers
from pipeline.datasets.toy_dance.dancer import Noise, dance
from pipeline.datasets.toy_dance.markers import COLOURS
from pipeline.datasets.toy_dance.render import render
from pipeline.datasets.toy_dance.songs import GENRES, SONGS_PER_GENRE, compose, split_songs, tempo
from pipeline.media.audio import read_audio
from pipeline.media.video import read_frames, write_video
from pipeline.storage.manifest import read_manifest

RATE = 11025
SMALL = ToyDance(
    train=18, val=2, test=10, clip_seconds=1, fps=20, size=96, sample_rate=RATE, noise=1.0, seed=5
)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def songs():
    return {genre: compose(genre, 2, seed=0, sample_rate=RATE) for genre in GENRES}


@pytest.fixture(scope="module")
def performances(songs):
    """Of every genre, what the camera filmed, where the joints truly are, and the frames after
    compression.
    """
    made = []
    for number, song in enumerate(songs.values()):
        rng = np.random.default_rng(number)
        made.append(render(dance(song, 0.7 * number, 1.0, 20, Noise.of_level(1), rng), 128, rng))
    return made


def test_genres_and_tempi_follow_aist():
    assert GENRES == ("BR", "PO", "LO", "MH", "LH", "HO", "WA", "KR", "JS", "JB")
    assert [tempo("KR", digit) for digit in range(SONGS_PER_GENRE)] == [80, 90, 100, 110, 120, 130]
    assert [tempo("HO", digit) for digit in range(SONGS_PER_GENRE)] == [
        110,
        115,
        120,
        125,
        130,
        135,
    ]


def test_splits_share_no_song_and_hold_out_no_tempo():
    splits = split_songs()
    everything = [song for split in splits.values() for song in split]
    assert len(everything) == len(set(everything)) == 60
    assert {len(splits["val"]), len(splits["test"]), len(splits["train"]) // 4} == {10}
    assert all({genre for genre, _ in split} == set(GENRES) for split in splits.values())
    for genre, digit in splits["val"] + splits["test"]:
        trained = [other for name, other in splits["train"] if name == genre]
        assert min(trained) < digit < max(trained)
    known = {tempo(*song) for song in splits["train"]}
    assert {tempo(*song) for song in splits["test"]} <= known


def test_songs_differ_and_repeat_without_a_seam(songs):
    first, again = (compose("BR", 1, seed=0, sample_rate=RATE).sound for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, compose("BR", 1, seed=1, sample_rate=RATE).sound)
    for song in songs.values():
        assert len(song.sound) == pytest.approx(song.seconds * RATE, abs=1)
        assert 0.5 < np.abs(song.sound).max() <= 1
        over_the_end = song.clip((len(song.sound) - 99.5) / RATE, 200 / RATE, RATE)
        assert np.array_equal(over_the_end, np.concatenate([song.sound[-100:], song.sound[:100]]))
        assert abs(song.sound[0] - song.sound[-1]) <= np.abs(np.diff(song.sound)).max()


@pytest.mark.parametrize("genre", GENRES)
def test_the_sound_starts_anew_at_the_hits(songs, genre):
    song, hop = songs[genre], RATE // 100
    power = np.convolve(song.sound**2, np.ones(hop) / hop, "same")
    rise = np.maximum(np.diff(np.log(power[::hop] + 1e-4)), 0)
    loudest = max(strength for _, strength in song.hits)
    beats = [
        4 * bar + beat for bar in range(8) for beat, strength in song.hits if strength == loudest
    ]
    at_hits = [
        rise[(int(beat * 60 / song.bpm * RATE / hop) + np.arange(-2, 3)) % len(rise)].max()
        for beat in beats
    ]
    assert np.median(at_hits) > 5 * rise.mean()


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
            turn = 2j * np.pi * (times * song.bpm / 60 + offset)
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
    assert np.mean(found) > 0.95
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
        frames, _ = render(empty, 96, rng)
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
    assert len(whole) == 31
    assert all(whole[f"media/{name}"] == digest for name, digest in kept_bytes.items())

    manifest = read_manifest(tmp_path / "whole" / "manifest.csv")
    assert manifest.ids == [take.id for take in plan(SMALL)]
    assert [len(manifest.of(split)) for split in ("train", "val", "test")] == [18, 2, 10]
    assert sorted(manifest.clips[row].genre for row in manifest.of("test")) == sorted(GENRES)
    sound = read_audio(manifest.file(manifest.clips[0]), RATE, 0.0, 1.0)
    assert np.sqrt(np.mean(sound**2)) > 0.02


def test_another_seed_gives_other_dances(songs):
    one, same, other = (
        dance(songs["PO"], 0.0, 1.0, 20, Noise.of_level(1), np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 0.05
