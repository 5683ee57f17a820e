import pytest
import torch
from pydantic import ValidationError

from pipeline.model.encoders.label import LabelEncoder
from pipeline.model.encoders.text import END, START, ClipTextCondition, TextConfig, TextEncoder
from pipeline.runtime.errors import UserError

CONFIG = TextConfig(layers=2, width=16, heads=2, length=10)


def captions(*words):
    text = torch.zeros(len(words), 77, dtype=torch.long)
    for row, caption in enumerate(words):
        text[row, : len(caption) + 2] = torch.tensor([START, *caption, END])
    return {"text": text}


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return TextEncoder(CONFIG, [900, START, 320, END, 44]).eval()


def test_a_caption_is_encoded_alike_alone_and_among_longer_ones(encoder):
    alone, among = encoder(captions([320])), encoder(captions([320], [900, 44, 320, 44]))
    assert alone.shape == (1, 10, 16)
    assert torch.allclose(alone[0], among[0], atol=1e-6)
    assert (alone[0, 3:] == 0).all()
    assert (alone[0, :3] != 0).any(-1).all()


def test_order_matters_and_padding_does_not(encoder):
    there, back, padded = captions([320, 900]), captions([900, 320]), captions([320, 900])
    padded["text"][0, 5:] = 44
    assert not torch.allclose(encoder(there), encoder(back), atol=1e-3)
    assert torch.equal(encoder(there), encoder(padded))


def test_words_never_seen_share_one_token(encoder):
    known, unseen, other = (encoder(captions([word])) for word in (44, 45, 49000))
    assert torch.equal(unseen, other)
    assert not torch.allclose(known, unseen, atol=1e-3)


def test_training_mode_answers_the_same(encoder):
    inputs = captions([320, 44], [900])
    assert torch.allclose(encoder(inputs), encoder.train()(inputs), atol=1e-5)


def test_what_is_no_caption_is_refused(encoder):
    with pytest.raises(UserError, match="11 tokens; this model reads at most 10"):
        encoder(captions([320] * 9))
    with pytest.raises(UserError, match="end token"):
        encoder({"text": torch.zeros(1, 77, dtype=torch.long)})
    with pytest.raises(ValidationError, match="less than or equal to 77"):
        TextConfig(layers=1, width=16, heads=2, length=78)


def test_clip_features_and_labels_pass_as_they_are():
    features = torch.randn(2, 77, 8)
    assert torch.equal(ClipTextCondition(77, 8)({"clip_text": features}), features)
    with pytest.raises(UserError, match=r"\[captions, 77, 8\]"):
        ClipTextCondition(77, 8)({"clip_text": features[:, :5]})
    assert LabelEncoder(3)({"label": torch.tensor([2, 0], dtype=torch.uint8)}).tolist() == [2, 0]
    for wrong in (torch.tensor([3]), torch.tensor([-1]), torch.tensor([[1]]), torch.tensor([1.0])):
        with pytest.raises(UserError, match="label"):
            LabelEncoder(3)({"label": wrong})
