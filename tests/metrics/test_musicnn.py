"""The reader of TensorFlow checkpoints on tables written here, and musicnn against plain formulas;
with the published weights, where MUSICNN names their folder, against what its training recorded.
"""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.datasets.toy_dance.songs import compose, split_songs
from pipeline.datasets.toy_dance.sound import play
from pipeline.metrics.embeddings import load_embedding
from pipeline.metrics.genre import JudgeDance, build_gallery, load_gallery
from pipeline.metrics.musicnn import Musicnn, windows
from pipeline.runtime.errors import UserError
from pipeline.storage.tf_checkpoint import DATA, MAGIC, read_checkpoint

PUBLISHED = os.environ.get("MUSICNN")


def varint(number):
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def block(pairs):
    """A table's block of (key, value) pairs, keys sharing prefixes, with its trailer."""
    found, last = b"", b""
    for key, value in pairs:
        shared = len(os.path.commonprefix([key, last]))
        found += varint(shared) + varint(len(key) - shared) + varint(len(value))
        found, last = found + key[shared:] + value, key
    return found + struct.pack("<II", 0, 1)


def write_checkpoint(prefix, tensors, per_block=3):
    numbers, entries = b"", [(b"", b"\x08\x01")]
    for name in sorted(tensors):
        array = tensors[name]
        code = {"f4": 1, "i8": 9}[array.dtype.str[1:]]
        shape = b"".join(
            b"\x12" + varint(len(dim)) + dim
            for dim in (b"\x08" + varint(size) for size in array.shape)
        )
        entry = b"\x08" + varint(code) + b"\x12" + varint(len(shape)) + shape
        entry += b"\x20" + varint(len(numbers)) + b"\x28" + varint(array.nbytes)
        entries.append((name.encode(), entry + b"\x35" + bytes(4)))
        numbers += array.tobytes()
    table, handles = b"", []
    for start in range(0, len(entries), per_block):
        part = block(entries[start : start + per_block])
        handles.append((entries[start][0], varint(len(table)) + varint(len(part))))
        table += part + bytes(5)
    index = block(handles)
    footer = varint(0) + varint(0) + varint(len(table)) + varint(len(index))
    table += index + bytes(5) + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)
    Path(f"{prefix}.index").write_bytes(table)
    Path(f"{prefix}{DATA}").write_bytes(numbers)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with a narrow musicnn of random numbers, and its tensors."""
    generator = np.random.default_rng(0)
    tensors = {}

    def norm(number, width):
        name = f"batch_normalization{'_' * (number > 0)}{number or ''}"
        for part in ("gamma", "beta", "moving_mean"):
            tensors[f"{name}/{part}"] = generator.normal(size=width)
        tensors[f"{name}/moving_variance"] = generator.uniform(0.5, 2, width)

    def conv(number, *shape):
        name = f"conv2d{'_' * (number > 0)}{number or ''}"
        tensors[f"{name}/kernel"] = 0.2 * generator.normal(size=shape)
        tensors[f"{name}/bias"] = generator.normal(size=shape[-1])

    norm(0, 1)
    shapes = [(7, 38, 1, 5), (7, 67, 1, 5), (128, 1, 1, 3), (64, 1, 1, 3), (32, 1, 1, 3)]
    shapes += [(7, 19, 1, 4), (7, 4, 1, 4), (7, 4, 1, 4)]
    for number, shape in enumerate(shapes):
        conv(number, *shape)
        norm(number + 1, shape[-1])
    norm(9, 62)
    norm(10, 6)
    for name, shape in (("dense", (62, 6)), ("dense_1", (6, 2))):
        tensors[f"{name}/kernel"] = generator.normal(size=shape)
        tensors[f"{name}/bias"] = generator.normal(size=shape[1])
    tensors = {name: value.astype(np.float32) for name, value in tensors.items()}
    folder = tmp_path_factory.mktemp("musicnn")
    write_checkpoint(f"{folder}/", tensors)
    return folder, tensors


def test_every_tensor_is_read_exactly(tmp_path, weights):
    folder, tensors = weights
    found = read_checkpoint(f"{folder}/")
    assert set(found) == set(tensors)
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    some = {"a": np.arange(5), "ab": np.float32(2.5).reshape(()), "abc": np.zeros((2, 300), "f4")}
    write_checkpoint(tmp_path / "model.ckpt", some)
    read = read_checkpoint(tmp_path / "model.ckpt")
    assert all(np.array_equal(read[name], some[name]) for name in some)


def test_damage_is_one_sentence(tmp_path):
    write_checkpoint(tmp_path / "c", {"a": np.arange(50), "b": np.arange(9)})
    index, data = (tmp_path / "c.index").read_bytes(), (tmp_path / f"c{DATA}").read_bytes()
    (tmp_path / f"c{DATA}").write_bytes(data[:-1])
    with pytest.raises(UserError, match="numbers missing"):
        read_checkpoint(tmp_path / "c")
    (tmp_path / f"c{DATA}").write_bytes(data)
    for damaged in (b"", index[:-60], b"x" * 100, index[:-8] + b"y" * 8):
        (tmp_path / "c.index").write_bytes(damaged)
        with pytest.raises(UserError, match="not a whole TensorFlow checkpoint"):
            read_checkpoint(tmp_path / "c")
    (tmp_path / "c.index").unlink()
    with pytest.raises(UserError, match="does not exist"):
        read_checkpoint(tmp_path / "c")


def by_hand(x, tensors):
    """musicnn of one log-mel window [T, 96] by the formulas of its graph, channels last."""

    def norm(y, number):
        name = f"batch_normalization{'_' * (number > 0)}{number or ''}"
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (tensors[f"{name}/{part}"] for part in parts)
        return (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def conv(y, number, before, after):
        name = f"conv2d{'_' * (number > 0)}{number or ''}"
        kernel = tensors[f"{name}/kernel"][:, :, 0]
        y = np.pad(y, ((before, after), (0, 0)))
        views = np.lib.stride_tricks.sliding_window_view(y, kernel.shape[:2])
        return np.maximum(np.einsum("tfab,abc->tfc", views, kernel) + tensors[f"{name}/bias"], 0)

    x = norm(x[..., None], 0)[..., 0]
    pads = [(3, 3), (3, 3), (63, 64), (31, 32), (15, 16)]
    front = [norm(conv(x, n, *pad), n + 1).max(axis=1) for n, pad in enumerate(pads)]
    features = [np.concatenate(front, axis=1)]
    for number in (5, 6, 7):
        y = norm(conv(features[-1], number, 3, 3), number + 1)[:, 0]
        features.append(y if number == 5 else y + features[-1])
    every = np.concatenate(features, axis=1)
    pooled = norm(np.stack([every.max(axis=0), every.mean(axis=0)], axis=1).reshape(-1), 9)
    dense = pooled @ tensors["dense/kernel"] + tensors["dense/bias"]
    return norm(np.maximum(dense, 0), 10)


def test_the_network_is_its_graph(weights):
    folder, tensors = weights
    x = np.random.default_rng(1).uniform(0, 3, (150, 96))
    hidden, tags = Musicnn(folder).tags(torch.from_numpy(x).float()[None])
    np.testing.assert_allclose(hidden[0].numpy(), by_hand(x, tensors), rtol=1e-3, atol=1e-3)
    assert tags.shape == (1, 2)
    assert ((tags >= 0) & (tags <= 1)).all()


def test_it_is_an_embedding_of_the_judge(weights, tmp_path):
    folder, _ = weights
    sounds = [0.1 * np.random.default_rng(n).standard_normal(22050) for n in range(4)]
    judge = JudgeDance(embedding="musicnn", weights=str(folder))
    build_gallery(tmp_path / "judge", judge, sounds, ["a", "b"] * 2, [], [], 22050)
    gallery = load_gallery(tmp_path / "judge")
    assert gallery.embeddings.shape == (4, 6)
    np.testing.assert_array_equal(gallery.embed(sounds[0], 22050), gallery.embeddings[0])
    with pytest.raises(UserError, match="is not a folder"):
        load_embedding("musicnn", tmp_path / "none")
    write_checkpoint(f"{tmp_path}/", {"x": np.arange(3)})
    with pytest.raises(UserError, match="no tensor"):
        load_embedding("musicnn", tmp_path)


def test_windows_last_three_seconds():
    assert windows(np.zeros(22050 * 7), 22050).shape == (2, 187, 96)
    assert windows(np.zeros(22050 * 2), 22050).shape[:2] == (1, 126)
    assert windows(np.zeros(10), 16000).shape == (1, 63, 96)


@pytest.mark.skipif(PUBLISHED is None, reason="MUSICNN names no folder with published weights")
def test_music_reproduces_the_means_that_training_recorded():
    """What enters each normalisation has the means, channel by channel, that its training saw: a
    layer in a wrong place or turned would not.
    """
    network = Musicnn(Path(PUBLISHED))
    tensors = read_checkpoint(f"{PUBLISHED}/")
    entered = {}
    for number, layer in enumerate(network.norms):
        layer.register_forward_pre_hook(
            lambda _, x, number=number: entered.setdefault(number, []).append(x[0])
        )
    for title in split_songs({"test": 40})["test"]:
        network(play(compose(title, 0).score, 8.0, 3.2, 22050), 22050)
    agree = {}
    for number, seen in entered.items():
        recorded = tensors[f"batch_normalization{'_' * (number > 0)}{number or ''}/moving_mean"]
        axes = [axis for axis in range(seen[0].ndim) if axis != 1]
        means = torch.stack([x.mean(dim=axes) for x in seen]).mean(dim=0).numpy()
        if len(recorded) > 1:
            agree[number] = np.corrcoef(means, recorded)[0, 1]
    agree.pop(10)  # after the dense layer: of what the music is, and this is other music
    assert min(agree.values()) > 0.7, agree


@pytest.mark.skipif(
    "MTT" not in str(PUBLISHED), reason="MUSICNN names no folder with published MTT_musicnn"
)
def test_the_tags_of_house_and_of_silence_are_theirs():
    """The dense layers by what they say: tags 3, 5 and 24 are techno, drums and quiet."""
    network = Musicnn(Path(PUBLISHED))
    songs = [title for title in split_songs({"test": 120})["test"] if title.genre == "HO"][:4]
    sounds = [play(compose(title, 0).score, 8.0, 6.0, 22050) for title in songs]
    house = torch.stack([network.tags(windows(s, 22050))[1].mean(dim=0) for s in sounds])
    silence = network.tags(windows(np.zeros(22050 * 6), 22050))[1].mean(dim=0)
    assert (house[:, 3] > silence[3] + 0.1).all()
    assert (house[:, 5] > silence[5] + 0.1).all()
    assert silence[24] > house[:, 24].max() + 0.1
