"""The scans of digits as a data set."""

from collections import Counter

import numpy as np
from sklearn.datasets import load_digits

from pipeline.datasets import digits
from pipeline.media.image import load_rgb
from pipeline.runtime.scratch import fingerprint
from pipeline.storage.manifest import read_manifest

CONFIG = digits.Digits(image_size=16, val=150, test=300, seed=0)


def test_digits_keep_their_labels_and_split_evenly(tmp_path):
    assert digits.prepare(CONFIG, tmp_path) == []
    assert digits.check(CONFIG) == []
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert [len(manifest.of(split)) for split in ("train", "val", "test")] == [1347, 150, 300]
    counts = Counter((clip.split, clip.label) for clip in manifest.clips)
    assert all(
        28 <= counts["test", str(digit)] <= 32 and 13 <= counts["val", str(digit)] <= 17
        for digit in range(10)
    )
    again = tmp_path / "again"
    digits.prepare(CONFIG, again)
    assert fingerprint(again / "images") == fingerprint(tmp_path / "images")
    assert (again / "manifest.csv").read_bytes() == (tmp_path / "manifest.csv").read_bytes()
    labels = np.array([clip.label for clip in manifest.clips])
    other = digits._splits(labels, CONFIG.model_copy(update={"seed": 1}))
    assert (other != np.array([clip.split for clip in manifest.clips])).any()
    scans, labels = load_digits(return_X_y=True)
    for number, clip in list(enumerate(read_manifest(tmp_path / "manifest.csv").clips))[::97]:
        picture = load_rgb(tmp_path / clip.path)
        assert picture.shape == (16, 16, 3)
        assert clip.label == str(labels[number])
        small = picture[..., 0].reshape(8, 2, 8, 2).mean((1, 3)) / 255
        assert np.corrcoef(small.ravel(), scans[number])[0, 1] > 0.97
