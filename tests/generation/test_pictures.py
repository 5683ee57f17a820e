"""Pictures follow their words, a seed decides them, and an edit leaves what it is to leave."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.generation.canvas import inner_tokens, on_canvas, touched_tokens
from pipeline.runtime.errors import UserError
from tests.helpers.small_models import WORDS


def test_words_and_seeds_decide_the_picture(of_captions):
    made = of_captions.generate(text=WORDS, seeds=[0, 1, 2])
    assert made.tokens.shape == (3, 16)
    assert made.images.shape == (3, 3, 8, 8)
    assert 0 <= made.images.min() < made.images.max() <= 1
    assert len({image.tobytes() for image in made.images}) == 3
    alone = of_captions.generate(text=WORDS, seeds=[1])
    assert alone.images[0].tobytes() == made.images[1].tobytes()
    other = of_captions.generate(text="blue square left of a red circle", seeds=[1])
    assert (other.tokens != alone.tokens).any()


def test_a_class_is_called_by_name_or_number(of_classes):
    named, numbered = of_classes.generate(label="dog"), of_classes.generate(label=1)
    np.testing.assert_array_equal(named.tokens, numbered.tokens)
    # a class that is called like a number is meant by it
    np.testing.assert_array_equal(
        of_classes.generate(label="7").tokens, of_classes.generate(label=2).tokens
    )
    assert (named.tokens != of_classes.generate(label="cat").tokens).any()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"text": ""}, "caption is empty"),
        ({"text": " \n"}, "caption is empty"),
        ({"text": "word " * 500}, "500 words"),
        ({"text": "red " * 30}, "at most 16"),
        ({"label": "cat"}, "pictures of captions"),
        ({}, "pictures of captions"),
    ],
)
def test_bad_captions_are_one_sentence(of_captions, words, sentence):
    with pytest.raises(UserError, match=sentence):
        of_captions.generate(**words)


@pytest.mark.parametrize("label", ["bird", 3, -1, "0.5"])
def test_an_unknown_class_is_told_with_those_there_are(of_classes, label):
    with pytest.raises(UserError, match="it has 3: cat, dog, 7"):
        of_classes.generate(label=label)
    with pytest.raises(UserError, match="give a label"):
        of_classes.generate(text="a cat")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_pictures_are_saved_whole(of_classes, tmp_path, ending):
    made = of_classes.generate(label=0, seeds=[0, 3])
    files = made.save(tmp_path / f"cat{ending}")
    assert [file.stem for file in files] == ["cat_seed0", "cat_seed3"]
    assert all(Image.open(file).size == (8, 8) for file in files)
    with pytest.raises(UserError, match="saved as .png"):
        made.save(tmp_path / "cat.mp4")


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_an_edit_leaves_the_tokens_outside_the_rectangle(of_classes, picture):
    image = np.asarray(Image.open(picture))
    tokens = of_classes.codec.encode(on_canvas(image, 8))[0].numpy()
    # the right half of the square middle, which is x = 10 to 50
    made = of_classes.edit(picture, label="dog", rectangle=(30, 0, 20, 40), seeds=[0, 1])
    kept = np.arange(16) % 4 < 2
    for row in made.tokens:
        np.testing.assert_array_equal(row[kept], tokens[kept])
    assert (made.tokens[:, ~kept] != tokens[~kept]).any()
    assert (made.tokens[0] != made.tokens[1]).any()
    decoded = of_classes.codec.decode(torch.from_numpy(made.tokens))
    np.testing.assert_allclose(made.images, decoded.numpy(), atol=1e-6)


def test_margins_are_painted_and_the_shrunk_picture_stays(of_classes, picture):
    made = of_classes.edit(picture, label="dog", margins=(2, 2, 2, 2), seeds=[0, 1])
    shrunk = on_canvas(np.asarray(Image.open(picture)), 8, (2, 2, 2, 2))
    tokens = of_classes.codec.encode(shrunk)[0].numpy()
    inside = inner_tokens((2, 2, 2, 2), 4, 2)
    assert inside.sum() == 4
    for row in made.tokens:
        np.testing.assert_array_equal(row[inside], tokens[inside])
    assert (made.tokens[:, ~inside] != tokens[~inside]).any()


def test_a_variation_changes_no_more_than_its_share(of_classes, picture):
    tokens = of_classes.codec.encode(on_canvas(np.asarray(Image.open(picture)), 8))[0].numpy()
    made = of_classes.edit(picture, label="dog", strength=0.25, seeds=range(4))
    assert ((made.tokens != tokens).sum(1) <= 4).all()
    assert (made.tokens != tokens).any()


@pytest.mark.parametrize("factor", [2, 4])
def test_margins_count_pixels_of_the_result(factor):
    inside = inner_tokens((factor, 0, 0, factor), 4, factor).reshape(4, 4)
    assert inside[:3, 1:].all()
    assert inside.sum() == 9


@pytest.mark.parametrize(
    ("rectangle", "columns", "rows"),
    [
        ((0, 0, 40, 40), range(4), range(4)),
        ((0, 0, 1, 1), [0], [0]),
        ((9.9, 10, 0.2, 10), [0, 1], [1]),
        ((39, 39, 1, 1), [3], [3]),
    ],
)
def test_every_token_that_a_rectangle_touches_is_made_anew(rectangle, columns, rows):
    touched = touched_tokens(rectangle, np.zeros((40, 40, 3), np.uint8), 4).reshape(4, 4)
    expected = np.zeros((4, 4), bool)
    expected[np.ix_(list(rows), list(columns))] = True
    np.testing.assert_array_equal(touched, expected)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({"rectangle": (50, 0, 20, 10)}, "does not lie in the picture, which is 60 x 40"),
        ({"rectangle": (0, 0, 0, 10)}, "does not lie in the picture"),
        ({"rectangle": (0, 0, 5, 10)}, "beside the picture's square middle"),
        ({"margins": (3, 0, 3, 0)}, "do not fit"),
        ({"margins": (4, 4, 4, 4)}, "do not fit"),
        ({"margins": (-2, 2, 4, 0)}, "do not fit"),
        ({"margins": (2, 2, 2, 2), "rectangle": (0, 0, 1, 1)}, "give one of them"),
        ({"strength": 0}, "strength is 0"),
    ],
)
def test_bad_edits_are_one_sentence(of_classes, picture, edit, sentence):
    with pytest.raises(UserError, match=sentence):
        of_classes.edit(picture, label=0, **edit)


def test_what_is_no_picture_is_one_sentence(of_classes, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"text.png cannot be read as an image"):
        of_classes.edit(tmp_path / "text.png", label=0)
