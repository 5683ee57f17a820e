"""What the page's handlers make, and that whatever cannot be used is one sentence."""

from functools import partial

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cdcd.demo import making
from cdcd.demo.answering import answer, done, sentence
from cdcd.demo.app import application, build, listening
from cdcd.demo.examples import dances, digit, scene
from cdcd.demo.form import Results
from pipeline.generation.dances import PoseSource
from pipeline.media.audio import read_audio, write_wav
from pipeline.media.video import probe, read_frames
from pipeline.runtime.errors import UserError
from stages.__main__ import app
from tests.helpers.small_models import RATE, write_dance

USUAL = {"seed": 0, "variants": 1, "steps": 3}
PICTURE = USUAL | {"strength": 1.0}


def heard():
    """A listener that remembers."""
    told = []
    return told, lambda *what: told.append(what)


@pytest.fixture
def music(shop, models):
    return partial(shop.dance, models["dance"])


def test_a_dance_becomes_films_sounds_and_spectrograms(music, films):
    told, listener = heard()
    asked = USUAL | {"video": str(films["one"]), "pose": "markers", "variants": 3, "seed": 5}
    made = answer(music, asked, listener)
    assert [variant.title for variant in made.variants] == ["Seed 5", "Seed 6", "Seed 7"]
    sounds = set()
    for variant in made.variants:
        film, sound = variant.files
        assert variant.shown == film
        assert probe(film).has_audio
        sounds.add(sound.read_bytes())
        assert len(read_audio(sound, RATE)) == round(1.2 * RATE)
        assert np.asarray(Image.open(variant.spectrogram).convert("L")).std() > 5
    assert len(sounds) == 3
    assert "ticks" in done(made).lower()
    seconds = made.timings.seconds
    assert "drawing tokens" in seconds
    assert max(seconds, key=lambda name: seconds[name]) in done(made)  # whichever that was
    steps = [(count, total) for name, count, total in told if name == "drawing tokens" and total]
    assert steps[0] == (1, 2 * 3 * 3)  # windows, variants, steps
    assert [count for count, _ in steps] == list(range(1, 19))
    assert "decoding the sound" in {name for name, _, _ in told}


def test_captions_and_classes_become_pictures(shop, models):
    _, listener = heard()
    for task, words in (("caption", {"text": "a red circle"}), ("label", {"label": "cat"})):
        model = models["class" if task == "label" else task]
        made = answer(
            partial(getattr(shop, task), model), USUAL | words | {"variants": 2}, listener
        )
        pictures = [Image.open(variant.shown) for variant in made.variants]
        assert [picture.size for picture in pictures] == [(8, 8), (8, 8)]
        assert pictures[0].tobytes() != pictures[1].tobytes()
        assert [variant.files for variant in made.variants] == [
            (variant.shown,) for variant in made.variants
        ]


def test_a_part_of_some_music_is_made_anew(shop, models, films, tmp_path):
    song = shop.dance(models["dance"], video=str(films["one"]), pose="markers", **USUAL)
    told, listener = heard()
    asked = USUAL | {"sound": str(song.variants[0].files[1]), "video": str(films["another"])}
    asked |= {"start_s": "0.5", "end_s": "", "strength": 1.0, "pose": "markers"}
    made = answer(partial(shop.edit_music, models["dance"]), asked, listener)
    assert len(read_audio(made.variants[0].files[1], RATE)) == round(1.5 * RATE)
    assert "before" in made.note


@pytest.mark.parametrize("task", ["caption", "class"])
def test_a_part_of_a_picture_is_made_anew(shop, models, tmp_path, task):
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    edit = partial(shop.edit_picture, models[task])
    words = "a red circle" if task == "caption" else "dog"
    asked = PICTURE | {"picture": str(tmp_path / "p.png"), "words": words, "variants": 2}
    parts = {"rectangle": (8, 8, 8, 8), "around": (2, 2, 2, 2), "everything": (0, 0, 0, 0)}
    for part, numbers in parts.items():
        made = answer(edit, asked | {"part": part, "numbers": numbers}, print)
        first, second = (np.asarray(Image.open(v.shown)).astype(int) for v in made.variants)
        assert first.shape == (8, 8, 3)
        assert np.abs(first - second).max() > 0


BAD_DANCES = {
    "text.mp4": "text.mp4 cannot be decoded",
    "flash.mp4": "flash.mp4 lasts 0.10 s",
    "long.mp4": "long.mp4 lasts 4 s, and 3 s are the most",
    "nothing.mp4": "nothing.mp4 does not exist",
}


@pytest.fixture
def bad(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "text.png").write_text("no picture")
    write_dance(tmp_path / "flash.mp4", 0.1)
    write_dance(tmp_path / "long.mp4", 4.0)
    write_wav(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "p.png")
    return tmp_path


@pytest.mark.parametrize(("name", "expected"), BAD_DANCES.items())
def test_bad_dances_are_one_sentence_that_calls_the_file_by_its_name(music, bad, name, expected):
    said = answer(music, USUAL | {"video": str(bad / name), "pose": "markers"}, print)
    assert said.startswith(expected)
    assert str(bad) not in said
    assert "\n" not in said


def test_nobody_in_the_picture_is_one_sentence(music, models, films, monkeypatch):
    reader = models["dance"]._reader(PoseSource("markers")).pose
    monkeypatch.setattr(reader, "_markers", lambda frames: np.zeros((len(frames), 17, 3)))
    said = answer(music, USUAL | {"video": str(films["one"]), "pose": "markers"}, print)
    assert said == "one has no visible dancer."


WORDS = [
    ("caption", {"text": ""}, "The caption is empty"),
    ("caption", {"text": None}, "The caption is empty"),
    ("caption", {"text": "word " * 500}, "The caption has 500 words"),
    ("caption", {"text": "x" * 5001}, "The caption has 5001 letters"),
    ("label", {"label": "bird"}, "'bird' is no class"),
    ("label", {"label": " "}, "Choose a class first."),
    ("label", {"label": "cat", "variants": 5}, "There are 1 to 4 variants"),
    ("label", {"label": "cat", "seed": None}, "The seed is a whole number"),
    ("label", {"label": "cat", "steps": 99}, "sample.steps is 99"),
    ("dance", {"video": None, "pose": "markers"}, "Choose a video of a dance first."),
]


@pytest.mark.parametrize(("task", "asked", "expected"), WORDS)
def test_bad_words_are_one_sentence(shop, models, task, asked, expected):
    make = partial(getattr(shop, task), models["class" if task == "label" else task])
    assert answer(make, USUAL | asked, print).startswith(expected)


PICTURES = [
    ({"numbers": (9, 9, 9, 9)}, "The rectangle 9,9,9,9"),
    ({"numbers": (0, 0, 0, 0)}, "Say which part"),
    ({"numbers": (0, 0, None, 1)}, "The part is four numbers"),
    ({"part": "around", "numbers": (4, 4, 4, 4)}, "The margins 4,4,4,4"),
    ({"picture": "text.png"}, "text.png cannot be read as an image"),
    ({"picture": None}, "Choose a picture first."),
    ({"words": "bird"}, "'bird' is no class"),
]


@pytest.mark.parametrize(("asked", "expected"), PICTURES)
def test_bad_edits_of_pictures_are_one_sentence(shop, models, bad, asked, expected):
    usual = PICTURE | {"picture": "p.png", "words": "cat", "part": "rectangle"}
    told = usual | {"numbers": (0, 0, 8, 8)} | asked
    told["picture"] = told["picture"] and str(bad / told["picture"])
    assert answer(partial(shop.edit_picture, models["class"]), told, print).startswith(expected)


MUSIC = [
    ({"sound": None}, "Choose the music"),
    ({"sound": "silent.wav"}, "silent.wav is silent"),
    ({"sound": "text.mp4"}, "text.mp4 cannot be decoded"),
    ({"start_s": "two"}, "The part goes from 'two'"),
    ({"start_s": "2", "end_s": "9"}, "The span 2 to 9 s does not lie in one.mp4"),
]


@pytest.mark.parametrize(("asked", "expected"), MUSIC)
def test_bad_edits_of_music_are_one_sentence(shop, models, bad, films, asked, expected):
    usual = {"sound": "flash.wav", "start_s": "", "end_s": "", "strength": 1.0, "pose": "markers"}
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    write_wav(bad / "flash.wav", noise, RATE)
    told = USUAL | usual | {"video": str(films["one"])} | asked
    told["sound"] = told["sound"] and str(bad / told["sound"])
    assert answer(partial(shop.edit_music, models["dance"]), told, print).startswith(expected)


def test_a_fault_of_ours_is_a_sentence_too_and_the_terminal_says_more(capsys):
    def broken():
        raise ZeroDivisionError

    said = answer(broken, {}, print)
    assert "not your mistake (ZeroDivisionError)" in said
    assert "Traceback" in capsys.readouterr().err
    html = sentence("<b> is no file; run `cdcd x` & see")
    assert "&lt;b&gt; is no file; run <code>cdcd x</code> &amp; see" in html


def test_old_results_go(tmp_path, shop, monkeypatch):
    monkeypatch.setattr(making, "KEPT", 3)
    place = making.Workshop(tmp_path, tmp_path, shop.bounds)
    folders = [place.new_folder() for _ in range(5)]
    assert [folder.exists() for folder in folders] == [False, False, True, True, True]


def test_a_tab_without_a_model_says_which_command_makes_it(models, shop):
    missing = UserError("No model: run `cdcd train digits`.")
    page = build({**models, "class": missing}, shop)
    shown = [str(getattr(block, "value", "")) for block in page.blocks.values()]
    assert sum("<code>cdcd train digits</code>" in text for text in shown) == 2  # and among edits
    assert not page.analytics_enabled
    assert application(page, shop).routes
    assert page.max_file_size == 2**20
    for place in page.fns.values():
        if place.queue:
            assert (place.concurrency_id, place.concurrency_limit) == ("model", 1)


def test_a_mistake_empties_the_results(shop):
    import gradio as gr

    with gr.Blocks():
        results = Results(True, shop.bounds)
    values = results.filled("No.")
    assert len(values) == len(results.outputs)
    assert "No." in values[0]
    assert not [value for value in values[1:] if value.get("visible") or value.get("value")]


def test_examples_are_read_by_the_readers_of_markers(tmp_path):
    from pipeline.datasets.toy_dance import read_markers

    for film in dances(tmp_path).values():
        frames = np.stack(list(read_frames(film, 5.0)))
        assert read_markers(frames)[..., 2].mean() > 0.7
        assert probe(film).has_audio
    assert Image.open(scene(tmp_path, 32)).size == Image.open(digit(tmp_path, 32)).size == (32, 32)


def test_a_port_that_is_taken_is_one_sentence():
    server = listening("127.0.0.1", 0)
    with server, pytest.raises(UserError, match="choose another port or host"):
        listening("127.0.0.1", server.getsockname()[1])


def test_without_gradio_the_command_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install 'cdcd\[demo\]'"):
        CliRunner().invoke(app, ["demo"], catch_exceptions=False)


def test_without_any_model_the_command_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match="--dance-model"):
        CliRunner().invoke(app, ["demo", "--port", "0"], catch_exceptions=False)
