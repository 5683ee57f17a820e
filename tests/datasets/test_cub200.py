"""CUB-200: the real split in full, the real birds, and their archives, sound and hostile."""

import os
import pickle
import shutil
import tarfile
import zipfile

import pytest

from pipeline.datasets import archives, cub200
from pipeline.datasets.captions import captions_of, read_lines
from pipeline.datasets.cub200 import Cub200, split_names
from pipeline.datasets.listing import verify_listing
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import validate
from pipeline.storage.manifest import read_manifest
from tests.helpers.picture_files import splits_of, write_picture


def birds(root, **changes):
    content = {"source": "local", "media_root": root, "validation_images": 0, "split_seed": 0}
    return validate(Cub200, content | changes, "cub200.download")


def test_real_bird_split(shared):
    names = split_names(shared / "cub200" / "full_split")
    assert {split: len(listed) for split, listed in names.items()} == cub200.PICTURES
    lines = (shared / "cub200" / "CUB_200_2011" / "images.txt").read_text().splitlines()
    assert sorted(names["train"] + names["test"]) == sorted(
        line.split()[1].removesuffix(".jpg") for line in lines
    )
    species = {split: {name.split("/")[0] for name in listed} for split, listed in names.items()}
    assert {split: len(found) for split, found in species.items()} == {"train": 150, "test": 50}
    assert not species["train"] & species["test"]


def test_real_birds_with_ten_captions_each(shared, tmp_path):
    config = birds(shared / "cub200" / "mini", validation_images=2)
    assert cub200.prepare(config, tmp_path) == []
    manifest = read_manifest(tmp_path / "manifest.csv", config.media_root)
    assert splits_of(tmp_path) == {"train": 4, "val": 2, "test": 3}
    assert all(manifest.file(clip).is_file() for clip in manifest.clips)
    assert {len(captions_of(clip, tmp_path)) for clip in manifest.clips} == {10}
    clip = next(clip for clip in manifest.clips if clip.id == "Black_Footed_Albatross_0089_796069")
    assert (clip.split, clip.label) == ("test", "001.Black_footed_Albatross")
    assert (
        captions_of(clip, tmp_path)[2] == "this is a brown bird with long wings and a large beak."
    )
    counts = [
        "train: 6 pictures, the complete set has 8,855.",
        "test: 3 pictures, the complete set has 2,933.",
    ]
    assert cub200.check(config) == counts
    assert verify_listing(tmp_path, config.media_root) == []


@pytest.fixture
def bird_archives(tmp_path):
    """The birds as the web serves them: Caltech's archive, and AttnGAN's with another inside."""
    plain = {
        "train": [
            "002.Laysan_Albatross/Laysan_Albatross_0002_1027",
            "002.Laysan_Albatross/Laysan_Albatross_0003_1033",
        ],
        "test": ["001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111"],
    }
    build, served = tmp_path / "build", tmp_path / "served"
    served.mkdir()
    for split, names in plain.items():
        (build / "birds" / split).mkdir(parents=True)
        (build / "birds" / split / "filenames.pickle").write_bytes(pickle.dumps(names, protocol=0))
        for number, name in enumerate(names):
            write_picture(build / "CUB_200_2011" / "images" / f"{name}.jpg", number)
            (build / "text" / name).parent.mkdir(parents=True, exist_ok=True)
            (build / "text" / f"{name}.txt").write_bytes(
                f"A Bird  number {number} caf\xe9\n\nit flies\n".encode("latin-1")
            )
    with tarfile.open(served / "CUB_200_2011.tgz", "w:gz") as archive:
        archive.add(build / "CUB_200_2011", "CUB_200_2011")
    shutil.make_archive(str(build / "birds" / "text"), "zip", build, "text")
    shutil.make_archive(str(served / "birds"), "zip", build, "birds")
    return served


def test_bird_archives_are_unpacked_where_they_lie(bird_archives, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(bird_archives, root)
    findings = cub200.check(birds(root))
    assert "StackGAN or AttnGAN pickles" in findings[0]
    assert {path.name for path in root.iterdir()} == {"CUB_200_2011.tgz", "birds.zip"}
    assert cub200.prepare(birds(root), tmp_path / "raw") == []
    assert splits_of(tmp_path / "raw") == {"train": 2, "test": 1}
    clip = read_manifest(tmp_path / "raw" / "manifest.csv").clips[0]
    assert captions_of(clip, tmp_path / "raw") == ["a bird number 0 café", "it flies"]
    assert "Laysan_Albatross_0002_1027 has 2 captions, not 10." in cub200.check(birds(root))


def test_birds_from_the_official_address(bird_archives, tmp_path, website, monkeypatch):
    address, folder, _ = website
    (bird_archives / "CUB_200_2011.tgz").rename(folder / "CUB_200_2011.tgz")
    monkeypatch.setattr(cub200, "URL", f"{address}/CUB_200_2011.tgz")
    with pytest.raises(UserError, match="another or a damaged file"):
        cub200.prepare(birds(bird_archives, source="official"), tmp_path / "raw")
    assert not (bird_archives / "CUB_200_2011").exists()
    monkeypatch.setattr(
        cub200, "MD5", archives.hashlib.md5((folder / "CUB_200_2011.tgz").read_bytes()).hexdigest()
    )
    assert cub200.prepare(birds(bird_archives, source="official"), tmp_path / "raw") == []
    assert splits_of(tmp_path / "raw") == {"train": 2, "test": 1}


class Evil:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([Evil()], "is refused"),
        (["../../etc/passwd"], "should hold a list"),
        (["/a/b"], "should hold a list"),
        ({"a": 1}, "should hold a list"),
    ],
)
def test_hostile_bird_pickles_are_refused(tmp_path, monkeypatch, content, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "filenames.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=sentence):
        split_names(tmp_path)
    assert sentence in cub200.check(birds(tmp_path))[0]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("birds.zip", "outside its folder"),
        ("CUB_200_2011.tgz", "link"),
        ("text.zip", "is damaged"),
    ],
)
def test_hostile_bird_archives_are_refused_and_write_nothing(tmp_path, name, sentence):
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    if name == "CUB_200_2011.tgz":
        with tarfile.open(root / name, "w:gz") as archive:
            link = tarfile.TarInfo("CUB_200_2011")
            link.type, link.linkname = tarfile.SYMTYPE, "../.."
            archive.addfile(link)
    else:
        with zipfile.ZipFile(root / name, "w") as archive:
            archive.writestr(
                "../outside.txt" if name == "birds.zip" else "text/a.txt", "a bird\n" * 100
            )
    if name == "text.zip":
        (root / name).write_bytes((root / name).read_bytes()[:-30])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=f"{name}.*{sentence}"):
        cub200.prepare(birds(root), tmp_path / "raw")
    assert sorted(tmp_path.rglob("*")) == before


def test_captions_that_are_no_utf_8(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"A caf\xe9\r\n \nTwo\twords\n")
    assert read_lines(tmp_path / "a.txt") == ["a café", "two words"]


def test_a_root_that_is_absent(tmp_path):
    with pytest.raises(UserError, match="download.media_root: .*nowhere does not exist"):
        cub200.prepare(birds(tmp_path / "nowhere"), tmp_path / "raw")
    assert len(cub200.check(birds(tmp_path / "nowhere"))) == 1
    assert not (tmp_path / "nowhere").exists()
