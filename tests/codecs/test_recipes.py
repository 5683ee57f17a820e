"""Where a picture codec comes from: fine-tuned, and restricted to the codes its pictures use."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipeline.codecs.recipes import ImageCodec, make_image_codec
from pipeline.codecs.training import CodecTraining
from pipeline.codecs.vqgan import VQGAN
from tests.helpers.codec_learners import PICTURES, picture_learner, pictures


class Drawn:
    """Six pictures, as `pipeline.media.content.Images` reads them."""

    def read(self, rows, generator=None):
        return pictures(np.random.default_rng(0), 6)[rows]


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "published.safetensors"
    picture_learner().codec.save(path, {"weights": "published"})
    return path


def make(path, tmp_path, **changes):
    config = ImageCodec(weights=str(path), image_size=8, **changes)
    return make_image_codec(config, Drawn(), list(range(6)), tmp_path)


def test_the_used_codes_are_computed_from_the_training_pictures(published, tmp_path):
    plain, history = make(published, tmp_path)
    codec, _ = make(published, tmp_path, used_codes="computed")
    images = Drawn().read(list(range(6)))
    full = plain.encode(images)
    assert history == []
    assert codec.n_codes == len(full.unique()) < plain.n_codes == 16
    assert torch.allclose(codec.decode(codec.encode(images)), plain.decode(full))
    codec.save(tmp_path / "kept.safetensors", {"weights": "published"})
    assert VQGAN.load(tmp_path / "kept.safetensors").n_codes == codec.n_codes


def test_fine_tuning_goes_on_from_the_weights(published, tmp_path):
    plain, _ = make(published, tmp_path)
    training = CodecTraining(steps=3, batch_size=2, learning_rate=1e-4, warmup_steps=1)
    recipe = {"objective": PICTURES, "training": training, "used_codes": "computed"}
    as_it_is, history = make(published, tmp_path, **recipe)
    assert history == []
    assert torch.equal(as_it_is.encoder.conv_in.weight, plain.encoder.conv_in.weight)
    tuned, history = make(published, tmp_path, fine_tune=True, **recipe)
    assert history[-1]["step"] == 3
    weight, before = (codec.encoder.conv_in.weight for codec in (tuned, plain))
    assert 0 < (weight - before).abs().max() < 1e-3  # near where it began
    assert tuned.n_codes <= 16
    assert not any(parameter.requires_grad for parameter in tuned.parameters())


def test_a_recipe_that_lacks_something_is_refused():
    training = CodecTraining(steps=3, batch_size=2, learning_rate=1e-4)
    with pytest.raises(ValidationError, match="give objective and training"):
        ImageCodec(weights="vqgan_f8", image_size=8, training=training, fine_tune=True)
    with pytest.raises(ValidationError, match="give architecture, objective and training"):
        ImageCodec(weights=None, image_size=8)
