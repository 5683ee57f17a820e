"""Captions become CLIP's tokens, and the tower gives what openai-clip gives, position by
position.
"""

import pytest
import torch
from clip.model import CLIP

from pipeline.features.text import END, START, ClipText, tokenise
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file


def test_tokens_are_lower_case_ended_and_padded():
    captions = tokenise(["A red bird.", "a RED bird.", ""])
    assert captions.tokens.shape == (3, 77)
    assert captions.n_cut == 0
    assert torch.equal(captions.tokens[0], captions.tokens[1])
    assert captions.tokens[0].tolist()[:6] == [START, 320, 736, 3329, 269, END]
    assert captions.tokens[2].tolist() == [START, END] + [0] * 75


@pytest.mark.parametrize(("n_words", "n_cut"), [(74, 0), (75, 0), (76, 1), (200, 1)])
def test_long_captions_are_cut_with_the_end_token_last(n_words, n_cut):
    captions = tokenise(["bird " * n_words])
    assert captions.n_cut == n_cut
    assert captions.tokens[0, min(76, n_words + 1)] == END
    assert (captions.tokens[0] == END).sum() == 1


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    vision = {
        "image_resolution": 32,
        "vision_layers": 1,
        "vision_width": 64,
        "vision_patch_size": 32,
    }
    text = {"transformer_width": 128, "transformer_heads": 2, "transformer_layers": 3}
    return CLIP(64, **vision, context_length=77, vocab_size=49408, **text)


def test_features_are_the_towers_at_every_position(model):
    tokens = tokenise(["a yellow bird", "two people dance"]).tokens
    features = ClipText.of(model.state_dict()).features(tokens)
    with torch.no_grad():
        x = (model.token_embedding(tokens) + model.positional_embedding).permute(1, 0, 2)
        x = model.ln_final(model.transformer(x).permute(1, 0, 2))
        pooled = x[torch.arange(2), tokens.argmax(-1)] @ model.text_projection
        torch.testing.assert_close(pooled, model.encode_text(tokens))
    torch.testing.assert_close(features, x / x.norm(dim=-1, keepdim=True), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, 77))


def test_a_position_sees_only_what_comes_before(model):
    tower = ClipText.of(model.state_dict())
    one, other = tokenise(["a yellow bird", "a yellow cat"]).tokens
    first, second = tower.features(torch.stack([one, other]))
    torch.testing.assert_close(first[:3], second[:3])
    assert not torch.allclose(first[3], second[3], atol=1e-3)


class Archive(torch.nn.Module):
    def forward(self, x):
        return x


def test_the_archive_is_opened_only_with_its_digest(tmp_path, model):
    archive = Archive()
    for name, value in model.state_dict().items():
        *containers, leaf = name.split(".")
        parent = archive
        for container in containers:
            if not hasattr(parent, container):
                parent.add_module(container, Archive())
            parent = getattr(parent, container)
        parent.register_buffer(leaf, value)
    path = tmp_path / "clip.pt"
    torch.jit.script(archive).save(path)
    with pytest.raises(UserError, match="is not CLIP ViT-B/32"):
        ClipText.load(path)
    tower = ClipText.load(path, sha256=sha256_file(path))
    tokens = tokenise(["a bird"]).tokens
    tower.save(tmp_path / "clip.safetensors")
    again = ClipText.load(tmp_path / "clip.safetensors")
    torch.testing.assert_close(
        again.features(tokens), ClipText.of(model.state_dict()).features(tokens)
    )


def test_other_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        ClipText.load(tmp_path / "absent.pt")
    with pytest.raises(UserError, match="not CLIP's text tower"):
        ClipText.of({"weight": torch.zeros(1)})
