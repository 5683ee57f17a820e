"""A tiny finished data set: songs whose timbre goes with their genre, dancers who rest on the
beats, a perfect model.
"""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.media.content import AudioClips
from pipeline.media.video import write_video
from pipeline.metrics.dance_data import DanceData
from pipeline.metrics.dance_rows import EvaluateDance, describe_clips, evaluate_dance
from pipeline.metrics.genre import JudgeDance, build_gallery, load_gallery
from pipeline.metrics.results import write_evaluation
from pipeline.reporting.examples import write_dance_examples
from pipeline.runtime.seeds import numpy_generator
from pipeline.storage.manifest import Clip, Manifest
from pipeline.storage.store import Store, write_store

RATE, SECONDS, FPS = 22050, 2.0, 30
N_CLIPS, N_TRAINING = 18, 12
GENRES = {"break": 300, "house": 1200}
SETTINGS = EvaluateDance(
    protocols=("d2m", "loris", "5hz"),
    bootstrap_draws=200,
    seed=1,
    noise_reduce=False,
    metronome_bpm=120,
    copied_below=10,
    examples=2,
)


def beats_of(generator):
    return np.cumsum(generator.uniform(0.28, 0.5, 8)) - 0.1


def music(beats, pitch):
    time = np.arange(int(RATE * SECONDS)) / RATE
    since = np.where(time[:, None] >= beats[None], time[:, None] - beats[None], 9.0).min(axis=1)
    return (0.7 * np.sin(2 * np.pi * pitch * since) * np.exp(-12 * since)).astype(np.float32)


def dance(beats):
    times = np.arange(int(FPS * SECONDS)) / FPS
    position = np.interp(times, np.concatenate([[-1], beats, [9]]), np.arange(len(beats) + 2))
    eased = np.floor(position) + (1 - np.cos(np.pi * (position % 1))) / 2
    motion = np.ones((len(times), 17, 3), dtype=np.float32)
    motion[..., 0] = eased[:, None]
    return motion


@pytest.fixture(scope="session")
def dance_data(tmp_path_factory):
    root = tmp_path_factory.mktemp("dance")
    clips, waves, motions = [], [], []
    for number in range(N_CLIPS):
        genre = list(GENRES)[number % 2]
        split = "train" if number < N_TRAINING else "test"
        generator = numpy_generator(3, "clip", number)
        beats = beats_of(generator)
        waves.append(music(beats, GENRES[genre] * generator.uniform(0.97, 1.03)))
        motions.append(dance(beats))
        clips.append(
            Clip(
                f"{genre}_{number}",
                f"{number}.mp4",
                split,
                song=f"{split}{number // 2}",
                genre=genre,
            )
        )
        frames = np.full((int(FPS * SECONDS), 48, 64, 3), 90, dtype=np.uint8)
        write_video(root / f"{number}.mp4", frames, FPS, waves[-1], RATE)
    ids, tests = (
        [clip.id for clip in clips],
        [n for n, clip in enumerate(clips) if clip.split == "test"],
    )
    waves = np.array(waves)
    own = np.repeat(np.arange(N_CLIPS, dtype=np.uint16)[:, None], 5, axis=1)
    other = np.array([tests[(k + 3) % len(tests)] for k in range(len(tests))])
    with write_store(root / "tokens.h5", "tokens", ids, {"codec": "test"}) as store:
        store.field("tokens", (5,), "uint16")
        store.write("tokens", slice(None), own)
    with write_store(
        root / "conditions.h5", "conditions", ids, {"fps": FPS, "extractor": "i3d train"}
    ) as store:
        store.field("motion", (int(FPS * SECONDS), 17, 3), "float32")
        store.write("motion", slice(None), np.array(motions))
    facts = {"contrast": "sample_inter", "genre_input": False, "seeds": [0, 1], "steps": 20}
    with write_store(root / "samples.h5", "samples", [ids[n] for n in tests], facts) as store:
        store.field("tokens", (2, 5), "uint16")
        store.field("shuffled", (2, 5), "uint16")
        store.write("tokens", slice(None), np.repeat(own[tests][:, None], 2, axis=1))
        store.write("shuffled", slice(None), np.repeat(own[other][:, None], 2, axis=1))
    genres = [clip.genre for clip in clips[:N_TRAINING]]
    judge = JudgeDance(embedding="mfcc", weights=None)
    build_gallery(root / "judge", judge, waves[:N_TRAINING], genres, waves[:2], genres[:2], RATE)
    sound = AudioClips(Manifest(tuple(clips), root), RATE, SECONDS, None)
    stores = {
        kind: Store(root / f"{kind}.h5", kind) for kind in ("tokens", "conditions", "samples")
    }
    return DanceData(
        sound,
        gallery=load_gallery(root / "judge"),
        decode=lambda tokens: waves[tokens[:, 0]],
        **stores,
    )


@pytest.fixture(scope="session")
def evaluated(dance_data, tmp_path_factory):
    """(the evaluation, a reports folder with its metrics and examples under the name `toy`)."""
    reports = tmp_path_factory.mktemp("reports")
    clips = describe_clips(dance_data)
    evaluation = evaluate_dance(dance_data, clips, SETTINGS)
    facts = {
        "contrast": "sample_inter",
        "genre_input": False,
        "seeds": [0, 1],
        "sampling_steps": 20,
        "parameters": 1234567,
    }
    evaluation = replace(evaluation, remarks=evaluation.remarks | facts)
    write_evaluation(evaluation, reports / "metrics" / "toy")
    examples = reports / "examples" / "toy"
    write_dance_examples(dance_data, clips.songs, SETTINGS.examples, examples)
    (examples / "curves").mkdir()
    curve = "step,loss,accuracy\n" + "\n".join(
        f"{s},{3 / (1 + s):.4f},{s / 50:.2f}" for s in range(20)
    )
    (examples / "curves" / "model.csv").write_text(curve + "\n")
    return evaluation, reports
