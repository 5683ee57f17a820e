"""`generate`, `edit`, `export` and `load` from the command line: what they write, and that every
mistake is one sentence.
"""

import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.generation import dances
from pipeline.generation.bundle import write_bundle
from pipeline.media.audio import read_audio
from pipeline.runtime.errors import UserError
from stages.__main__ import app
from tests.helpers.small_models import RATE, dance_files, moving, picture_files, write_dance


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A folder with a small model of each task in one file."""
    folder = tmp_path_factory.mktemp("bundles")
    for task in ("dance", "caption", "class"):
        (folder / "parts" / task).mkdir(parents=True)
        make = dance_files if task == "dance" else picture_files
        words = () if task == "dance" else (task,)
        write_bundle(make(folder / "parts" / task, *words), folder / f"{task}.safetensors")
    return folder


@pytest.fixture
def inside(tmp_path, monkeypatch, bundles):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(dances, "read_markers", moving)
    return tmp_path


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_folder_of_dances_with_one_that_is_none(inside, bundles):
    for name, seconds in (("one", 1.0), ("two", 1.2)):
        (inside / "dances").mkdir(exist_ok=True)
        write_dance(inside / "dances" / f"{name}.mp4", seconds)
    (inside / "dances" / "text.mp4").write_text("no film")
    model = bundles / "dance.safetensors"
    words = ["generate", inside / "dances", "--model", model, "--pose", "markers", "-v"]
    with pytest.raises(UserError, match="1 of 3 could not be used"):
        run(*words, "--variants", 2, "--format", "flac", "--out", "made")
    made = sorted(file.name for file in (inside / "made").iterdir())
    assert made == [
        f"{name}_seed{s}.{e}" for name in ("one", "two") for s in (0, 1) for e in ("flac", "mp4")
    ]
    assert len(read_audio(inside / "made" / "two_seed1.flac", RATE)) == round(1.2 * RATE)
    told = run(*words[:1], inside / "dances" / "one.mp4", *words[2:], "--sound-only", "--out", "x")
    assert [file.name for file in (inside / "x").iterdir()] == ["one.wav"]
    assert re.search(r"\d s  drawing tokens", told)
    assert re.search(r"\d s  opening the model", told)


def test_a_reader_that_is_not_there_is_told_once(inside, bundles):
    for name in ("one", "two"):
        write_dance(inside / "dances" / f"{name}.mp4", 1.0)
    with pytest.raises(UserError, match="cdcd weights get blazepose"):
        run("generate", inside / "dances", "--model", bundles / "dance.safetensors")


def test_words_and_classes(inside, bundles):
    run("generate", "--text", "a red circle", "--model", bundles / "caption.safetensors")
    assert Image.open("generated/a_red_circle.png").size == (8, 8)
    model = bundles / "class.safetensors"
    run("generate", "--label", "cat", "--label", "1", "--model", model, "--steps", 2)
    assert Image.open("generated/cat.png").size == Image.open("generated/1.png").size
    kept = (inside / "generated" / "cat.png").read_bytes()
    with pytest.raises(UserError, match="--force"):
        run("generate", "--label", "cat", "--model", model)
    run("generate", "--label", "cat", "--model", model, "--steps", 2, "--force")
    assert (inside / "generated" / "cat.png").read_bytes() == kept


def test_edits(inside, bundles):
    write_dance(inside / "dance.mp4", 1.5)
    music = ["--model", bundles / "dance.safetensors", "--pose", "markers"]
    run("generate", "dance.mp4", *music)
    write_dance(inside / "other.mp4", 1.5, seed=2)
    song = "generated/dance.wav"
    run("edit", song, "--dance", "other.mp4", "--span", "0.5:1", *music)
    assert len(read_audio(inside / "edited" / "dance.wav", RATE)) == round(1.5 * RATE)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("picture.png")
    model = ["--label", "dog", "--model", bundles / "class.safetensors"]
    run("edit", "picture.png", *model, "--rectangle", "0,0,4,8", "--variants", 2)
    run("edit", "picture.png", *model, "--margins", "2,2,2,2", "--out", "wider")
    assert sorted(file.name for file in (inside / "edited").glob("*.png")) == [
        "picture_seed0.png",
        "picture_seed1.png",
    ]


def test_a_model_is_loaded_under_a_name(inside, bundles):
    told = run("load", bundles / "class.safetensors", "--name", "pets")
    assert "small_class makes pictures of classes" in told
    run("generate", "--label", "cat", "--model", "pets")
    with pytest.raises(UserError, match="already"):
        run("load", bundles / "class.safetensors", "--name", "pets")
    run("load", bundles / "class.safetensors", "--name", "pets", "--force")
    for name in ("digits", "a/b", "cdcd_aist"):
        with pytest.raises(UserError, match="cannot be called"):
            run("load", bundles / "class.safetensors", "--name", name)


MISTAKES = [
    ("generate nothing.mp4 --pose markers", "dance", "nothing.mp4 does not exist"),
    ("generate text.mp4 --pose markers", "dance", "text.mp4 cannot be decoded"),
    ("generate flash.mp4 --pose markers", "dance", "lasts 0.10 s"),
    ("generate dance.mp4 --pose markers --longest 0.8", "dance", "unless asked"),
    ("generate dance.mp4 --pose openpose", "dance", "annotated poses"),
    ("generate dance.mp4 --pose markers --out text.mp4/x", "dance", "cannot be written to"),
    ("generate dance.mp4 --pose markers --steps 99", "dance", "steps is 99"),
    ("generate dance.mp4 --format ogg", "dance", "--format ogg"),
    ("generate dance.mp4", "class", "makes pictures of classes"),
    ("generate --label bird", "class", "'bird' is no class"),
    ("generate --label cat --temperature 0", "class", "temperature is 0"),
    ("generate --text cat", "class", "choose another with --model"),
    ("generate", "class", "one of the three"),
    ("edit picture.png --label cat --rectangle 5,5,9,9", "class", "does not lie in the picture"),
    ("edit picture.png --label cat --rectangle 5,5", "class", "not 4 numbers"),
    ("edit picture.png --label cat --span 0:1", "class", "--span is not for pictures"),
    ("edit text.mp4 --label cat", "class", "cannot be read as an image"),
    ("edit dance.mp4 --dance dance.mp4 --pose markers", "dance", "no sound track"),
    ("load text.mp4", None, "is no bundle"),
    ("export nonsense --out x", None, "is not a data set"),
    ("export aist --out x", None, "--licence"),
    ("export digits --out x.bin", None, "neither a .safetensors file"),
]


@pytest.mark.parametrize(("words", "task", "sentence"), MISTAKES)
def test_mistakes_are_one_sentence(inside, bundles, words, task, sentence):
    (inside / "text.mp4").write_text("no film")
    write_dance(inside / "flash.mp4", 0.1)
    write_dance(inside / "dance.mp4", 1.0)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("picture.png")
    model = [] if task is None else ["--model", bundles / f"{task}.safetensors"]
    with pytest.raises(UserError, match=re.escape(sentence)) as told:
        run(*words.split(), *model)
    assert "\n" not in str(told.value)
    assert not list(inside.rglob("*.png"))[1:]


def test_an_empty_caption(inside, bundles):
    for caption, sentence in (("", "caption is empty"), ("word " * 500, "500 words")):
        with pytest.raises(UserError, match=sentence):
            run("generate", "--text", caption, "--model", bundles / "caption.safetensors")
