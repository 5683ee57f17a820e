"""I3D gives the published features, has the published names in both layouts, and learns narrow on
the spot.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.features.i3d import I3D, windowed_features
from pipeline.features.i3d_layers import HASSONY2, PIERGIAJ, padding_by_input, padding_static, pool
from pipeline.features.i3d_training import I3DTraining, random_i3d, train_i3d
from pipeline.runtime.errors import UserError

FIXTURE = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "i3d_rgb.pt"
INCEPTIONS = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}
NAMES = {
    "piergiaj": (
        PIERGIAJ,
        "Conv3d_",
        "Mixed_",
        ("b0", "b1a", "b1b", "b2a", "b2b", "b3b"),
        "bn",
        "logits",
    ),
    "hassony2": (
        HASSONY2,
        "conv3d_",
        "mixed_",
        ("branch_0", "branch_1.0", "branch_1.1", "branch_2.0", "branch_2.1", "branch_3.1"),
        "batch3d",
        "conv3d_0c_1x1",
    ),
}


def key_table(layout: str, channels: int) -> dict[str, tuple[int, ...]]:
    """The keys and shapes of reference 3.2, written out."""
    _, stem, mixed, branches, norm, classifier = NAMES[layout]
    table = {}

    def unit(name, out_width, in_width, kernel):
        table[f"{name}.conv3d.weight"] = (out_width, in_width, kernel, kernel, kernel)
        table.update(
            {
                f"{name}.{norm}.{part}": (out_width,)
                for part in ("weight", "bias", "running_mean", "running_var")
            }
        )
        table[f"{name}.{norm}.num_batches_tracked"] = ()

    unit(f"{stem}1a_7x7", 64, channels, 7)
    unit(f"{stem}2b_1x1", 64, 64, 1)
    unit(f"{stem}2c_3x3", 192, 64, 3)
    for name, (width, b0, b1a, b1b, b2a, b2b, b3b) in INCEPTIONS.items():
        sizes = [
            (b0, width, 1),
            (b1a, width, 1),
            (b1b, b1a, 3),
            (b2a, width, 1),
            (b2b, b2a, 3),
            (b3b, width, 1),
        ]
        for branch, size in zip(branches, sizes):
            unit(f"{mixed}{name}.{branch}", *size)
    return table | {
        f"{classifier}.conv3d.weight": (400, 1024, 1, 1, 1),
        f"{classifier}.conv3d.bias": (400,),
    }


@pytest.mark.parametrize(("layout", "channels"), product(NAMES, (3, 2)))
def test_names_and_shapes_are_the_published_ones(layout, channels):
    with torch.device("meta"):
        network = I3D(channels, layout=NAMES[layout][0])
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == key_table(
        layout, channels
    )
    assert len(network.state_dict()) == 344
    assert sum(p.numel() for p in network.parameters()) == {3: 12_697_264, 2: 12_675_312}[channels]


@pytest.mark.skipif(
    not FIXTURE.exists(), reason=f"the fixture is not beside the checkout ({FIXTURE})"
)
def test_features_equal_the_original_network(tmp_path):
    fixture = torch.load(FIXTURE, weights_only=True)
    torch.save(fixture["state_dict"], tmp_path / "rgb.pt")
    seed = fixture["clip_seed_grid"].float()
    clip = (
        F.interpolate(seed, size=(16, 224, 224), mode="trilinear", align_corners=True)
        .half()
        .float()
        * 2
        - 1
    )
    expected = fixture["features"].float().reshape(1, 1, 1024)
    features = I3D.load(tmp_path / "rgb.pt").features(clip)
    assert (features - expected).norm() < 1e-3 * expected.norm()
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-5)


def randomised(layout, channels, width=1 / 16):
    """A network that lets signals through to its end: units of unit gain, unequal statistics."""
    torch.manual_seed(0)
    network = I3D(channels, 7, width, layout).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
    assert network.features(torch.rand(1, channels, 16, 32, 32)).std() > 0.01
    return network


@pytest.mark.parametrize(("layout", "channels"), product(("piergiaj", "hassony2"), (3, 2)))
def test_layout_and_channels_are_read_off_a_file(tmp_path, layout, channels):
    network = randomised(NAMES[layout][0], channels)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}},
        tmp_path / "i3d.pt",
    )
    network.save(tmp_path / "i3d.safetensors")
    clip = torch.rand(2, channels, 17, 37, 50) * 2 - 1
    for path in ("i3d.pt", "i3d.safetensors"):
        loaded = I3D.load(tmp_path / path)
        assert (loaded.layout, loaded.channels, loaded.classes) == (NAMES[layout][0], channels, 7)
        torch.testing.assert_close(loaded.features(clip), network.features(clip))


def test_the_two_conventions_differ_where_they_should():
    ours, theirs = randomised(PIERGIAJ, 3), randomised(HASSONY2, 3)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values())))
    even, odd = torch.rand(1, 3, 16, 32, 32), torch.rand(1, 3, 17, 33, 33)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eps = 1e-3
    torch.testing.assert_close(ours.features(even), theirs.features(even))
    assert not torch.allclose(ours.features(odd), theirs.features(odd))


@pytest.mark.parametrize("size", range(1, 20))
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (3, 1), (2, 2), (1, 1)])
def test_padding(size, kernel, stride):
    total = padding_by_input(size, kernel, stride)
    assert total == max(kernel - stride if size % stride == 0 else kernel - size % stride, 0)
    assert (size + total - kernel) // stride + 1 == -(-size // stride)
    assert padding_static(size, kernel, stride) == max(kernel - stride, 0)
    x = torch.rand(1, 1, size, size, size)
    for layout in (PIERGIAJ, HASSONY2):
        if size >= kernel:
            assert pool(layout, x, (kernel,) * 3, (stride,) * 3).shape[2] == -(-size // stride)


@pytest.mark.parametrize(
    ("frames", "steps"), [(16, 1), (32, 3), (48, 5), (64, 7), (60, 7), (120, 14)]
)
def test_steps_in_time(frames, steps):
    features = randomised(PIERGIAJ, 3).features(torch.rand(1, 3, frames, 32, 32))
    assert features.shape == (1, steps, 64)


def test_larger_pictures_average_over_seven_by_seven():
    network = randomised(PIERGIAJ, 3)
    with torch.no_grad():
        assert network.features(torch.rand(1, 3, 16, 256, 300)).shape == (1, 1, 64)


@pytest.mark.parametrize("length", [5, 16, 32, 40, 64, 75, 96])
def test_windows_cover_clips_of_any_length(length):
    network = randomised(PIERGIAJ, 3)
    clip = torch.rand(1, 3, length, 32, 32)
    features = windowed_features(network, clip, window=32)
    assert features.isfinite().all()
    first = clip[:, :, torch.arange(max(16, min(32, length))).clamp_max(length - 1)]
    torch.testing.assert_close(
        features[:, : network.features(first).shape[1]], network.features(first)
    )
    whole, rest = divmod(length, 32)
    if length > 32:
        assert features.shape[1] == whole * 3 + min(3, -(-rest // 8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1)}, "is no I3D"),
        ({"Conv3d_1a_7x7.conv3d.weight": torch.zeros(64, 3, 7, 7, 7)}, "is missing"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UserError, match=message):
        I3D.load(tmp_path / "x.pt")


def test_clips_of_the_wrong_kind_are_refused():
    with pytest.raises(UserError, match="reads clips"):
        random_i3d(3, 1 / 16, 0).features(torch.rand(1, 2, 16, 32, 32))
    with pytest.raises(UserError, match="reads clips"):
        random_i3d(3, 1 / 16, 0).features(torch.rand(1, 3, 8, 32, 32))


def moving_bars(n_clips: int) -> tuple[list[np.ndarray], list[str]]:
    """Clips of a bar that moves down or to the side: told apart by motion alone (crops and
    mirrorings keep the class).
    """
    clips, genres = [], []
    for number in range(n_clips):
        clip = np.random.default_rng(number).integers(0, 60, (20, 24, 24, 3), dtype=np.uint8)
        for frame in range(20):
            place = (3 * number + 2 * frame) % 20
            bar = (
                clip[frame, place : place + 4] if number % 2 else clip[frame, :, place : place + 4]
            )
            bar += 190
        clips.append(clip)
        genres.append(("down", "aside")[number % 2])
    return clips, genres


CONFIG = I3DTraining(steps=8, batch_size=4, frames=16, learning_rate=3e-3, seed=0)


def test_a_narrow_network_learns_to_tell_classes_apart(run_yaml):
    run_yaml(log_every=1)
    clips, genres = moving_bars(12)
    config = CONFIG.model_copy(update={"steps": 20, "batch_size": 6})
    network, history = train_i3d(clips, genres, 1 / 16, config)
    assert np.mean([row["accuracy"] for row in history[-6:]]) > 0.8
    clip = torch.from_numpy(np.stack(clips)).movedim(-1, 1).float() / 127.5 - 1
    predicted = network(clip).argmax(1)
    truth = torch.tensor([sorted(set(genres)).index(genre) for genre in genres])
    assert (predicted == truth).float().mean() > 0.8


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch, run_yaml):
    from pipeline.features import i3d_training

    run_yaml(log_every=1, checkpoint_every=3)
    clips, genres = moving_bars(6)
    whole, history = train_i3d(clips, genres, 1 / 32, CONFIG)

    class Killed(Exception):
        pass

    def killed_at(step):
        def batch(clips, labels, config, number, original=i3d_training._batch):
            if number == step:
                raise Killed
            return original(clips, labels, config, number)

        return batch

    with monkeypatch.context() as patch:
        patch.setattr(i3d_training, "_batch", killed_at(7))
        with pytest.raises(Killed):
            train_i3d(clips, genres, 1 / 32, CONFIG, tmp_path)
    resumed, again = train_i3d(clips, genres, 1 / 32, CONFIG, tmp_path)
    assert history == again
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_one_genre_cannot_train():
    with pytest.raises(UserError, match="two genres"):
        train_i3d(*moving_bars(1), 1 / 32, CONFIG)


def test_random_weights_follow_their_seed_and_leave_the_global_state_alone():
    before = torch.random.get_rng_state()
    first, same, other = (random_i3d(3, 1 / 32, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    name = "Conv3d_1a_7x7.conv3d.weight"
    assert torch.equal(first[name], same[name])
    assert not torch.equal(first[name], other[name])
