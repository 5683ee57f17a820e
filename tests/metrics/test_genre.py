"""Genre retrieval and its embeddings: known galleries, agreement with scikit-learn, real YAMNet
weights.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from pipeline.metrics.embeddings import Vggish, load_embedding, vggish_examples
from pipeline.metrics.genre import Gallery, JudgeDance, build_gallery, load_gallery
from pipeline.runtime.errors import UserError

RATE = 22050
YAMNET = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights" / "yamnet.tflite"
MFCC = JudgeDance(embedding="mfcc", weights=None)


def tones(pitch, n, seed):
    """Clips of a decaying tone near `pitch`, repeated: a genre by timbre."""
    generator = np.random.default_rng(seed)
    time = np.arange(RATE) / RATE
    waves = [
        np.sin(2 * np.pi * pitch * generator.uniform(0.95, 1.05) * time)
        * np.exp(-8 * (time % 0.25))
        for _ in range(n)
    ]
    return [(wave + 0.01 * generator.standard_normal(RATE)).astype(np.float32) for wave in waves]


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge") / "judge"
    training, held_out = tones(200, 5, 0) + tones(2000, 5, 1), tones(200, 3, 2) + tones(2000, 3, 3)
    genres = ["low"] * 5 + ["high"] * 5
    accuracy = build_gallery(
        folder, MFCC, training, genres, held_out, ["low"] * 3 + ["high"] * 3, RATE
    )
    return folder, accuracy


def test_a_gallery_tells_timbres_apart_and_reports_it(judge):
    folder, accuracy = judge
    assert accuracy == 100
    gallery = load_gallery(folder)
    queries = np.array([gallery.embed(clip, RATE) for clip in tones(200, 2, 9) + tones(2000, 2, 9)])
    assert gallery.retrieve(queries).tolist() == ["low", "low", "high", "high"]
    assert gallery.accuracy(queries, ["low", "high", "high", "high"]) == 75


def test_the_gallery_is_the_same_each_time(judge, tmp_path):
    folder, _ = judge
    build_gallery(
        tmp_path / "again",
        MFCC,
        tones(200, 5, 0) + tones(2000, 5, 1),
        ["low"] * 5 + ["high"] * 5,
        [],
        [],
        RATE,
    )
    assert (tmp_path / "again" / "gallery.npz").read_bytes() == (
        folder / "gallery.npz"
    ).read_bytes()


def test_accuracy_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    genres = generator.choice(["a", "b", "c"], 60)
    gallery = Gallery(generator.normal(size=(60, 4)), genres, "any", None)
    queries, wanted = generator.normal(size=(30, 4)), generator.choice(["a", "b", "c"], 30)
    assert gallery.accuracy(queries, wanted) == pytest.approx(
        100 * accuracy_score(wanted, gallery.retrieve(queries))
    )
    assert gallery.accuracy(gallery.embeddings, genres) == 100


def test_a_missing_or_wrong_network_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="needs its weights"):
        load_embedding("yamnet", tmp_path / "none.tflite")
    (tmp_path / "bad").write_bytes(b"<html>not found</html>")
    for name in ("yamnet", "vggish"):
        with pytest.raises(UserError, match="bad"):
            load_embedding(name, tmp_path / "bad")
    with pytest.raises(UserError, match="judge"):
        load_gallery(tmp_path)


@pytest.mark.skipif(
    not YAMNET.exists(), reason="the shared YAMNet weights are not beside this checkout"
)
def test_yamnet_embedding_is_what_its_classifier_sees():
    yamnet = load_embedding("yamnet", YAMNET)
    clip = np.random.default_rng(0).normal(0, 0.1, 15600).astype(np.float32)
    embedding = yamnet(clip, 16000)
    assert embedding.shape == (1024,)
    scores = yamnet.interpreter.get_tensor(yamnet.interpreter.get_output_details()[0]["index"])[0]
    dense = next(
        t for t in yamnet.interpreter.get_tensor_details() if t["shape"].tolist() == [521, 1024]
    )
    scale = np.asarray(dense["quantization_parameters"]["scales"])
    weights = yamnet.interpreter.get_tensor(dense["index"]).astype(np.float32) * (
        scale[:, None] if scale.size > 1 else scale
    )
    logits = np.log(scores.clip(1e-9) / (1 - scores).clip(1e-9))
    seen = scores > 1e-3
    assert seen.sum() >= 3
    assert np.corrcoef(weights[seen] @ embedding, logits[seen])[0, 1] > 0.9
    assert yamnet(clip[:4000], 16000).shape == (1024,)


def test_vggish_loads_torchvggish_layout(tmp_path):
    shapes = {
        0: (64, 1),
        3: (128, 64),
        6: (256, 128),
        8: (256, 256),
        11: (512, 256),
        13: (512, 512),
    }
    state = {}
    for index, (out, into) in shapes.items():
        state[f"features.{index}.weight"] = torch.zeros(out, into, 3, 3)
        state[f"features.{index}.bias"] = torch.zeros(out)
    for index, (out, into) in {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}.items():
        state[f"embeddings.{index}.weight"] = torch.zeros(1).expand(out, into)
        state[f"embeddings.{index}.bias"] = torch.full((out,), 0.5)
    torch.save(state, tmp_path / "vggish.pth")
    embedding = Vggish(tmp_path / "vggish.pth")(np.zeros(8000, dtype=np.float32), 16000)
    np.testing.assert_allclose(embedding, np.full(128, 0.5))
    assert vggish_examples(np.zeros(3 * 15600, dtype=np.float32)).shape == (3, 96, 64)
