import io
import stat
import tarfile
import zipfile

import pytest

from pipeline.runtime.errors import UserError
from pipeline.storage.archive import unpack

LIMIT = 10**6


def make_zip(path, *members, link=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
        if link:
            info = zipfile.ZipInfo("link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, link)
    return path


def make_tar(path, *members, link=None, kind=tarfile.SYMTYPE):
    mode = "w:gz" if path.suffix == ".tgz" else "w"
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, link
            archive.addfile(info)
            inside = tarfile.TarInfo("link/escaped.txt")
            inside.size = 4
            archive.addfile(inside, io.BytesIO(b"evil"))
    return path


GOOD = (("set/a.txt", b"a" * 3000), ("set/deep/b.txt", b"b" * 3000))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "outside.txt").write_text("untouched")
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("make", "name"), [(make_zip, "x.zip"), (make_tar, "x.tar"), (make_tar, "x.tgz")]
)
def test_contents_arrive_and_fill_folders_that_exist(tmp_path, folder, make, name):
    (folder / "set").mkdir()
    (folder / "set" / "mine.txt").write_text("kept")
    unpack(make(tmp_path / name, *GOOD), folder, LIMIT)
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert files == {"set/mine.txt": b"kept", **dict(GOOD)}


EVIL = (("fine.txt", b"1"), ("../outside.txt", b"evil"))
ABSOLUTE = (("/tmp/cdcd_absolute.txt", b"evil"),)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: make_zip(p / "x.zip", *EVIL), "outside its folder"),
        (lambda p: make_zip(p / "x.zip", *ABSOLUTE), "outside its folder"),
        (
            lambda p: make_zip(p / "x.zip", ("a\\..\\..\\outside.txt", b"evil")),
            "outside its folder",
        ),
        (lambda p: make_zip(p / "x.zip", link="../outside.txt"), "link"),
        (lambda p: make_zip(p / "x.zip", ("bomb", bytes(LIMIT + 1))), "more than 1,000,000 bytes"),
        (lambda p: make_tar(p / "x.tgz", *EVIL), "outside its folder"),
        (lambda p: make_tar(p / "x.tgz", *ABSOLUTE), "outside its folder"),
        (lambda p: make_tar(p / "x.tgz", link=".."), "link"),
        (lambda p: make_tar(p / "x.tgz", link="../outside.txt", kind=tarfile.LNKTYPE), "link"),
        (lambda p: make_tar(p / "x.tgz", ("bomb", bytes(LIMIT + 1))), "more than 1,000,000 bytes"),
    ],
)
def test_hostile_archives_are_refused_and_write_nothing(tmp_path, folder, make, sentence):
    archive = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=sentence):
        unpack(archive, folder, LIMIT)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "outside.txt").read_text() == "untouched"


@pytest.mark.parametrize(
    ("make", "name"), [(make_zip, "x.zip"), (make_tar, "x.tar"), (make_tar, "x.tgz")]
)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.65])
def test_truncated_archives_are_refused_and_write_nothing(tmp_path, folder, make, name, share):
    archive = make(tmp_path / name, *GOOD)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match="is damaged .*download it again"):
        unpack(archive, folder, LIMIT)
    assert list(folder.iterdir()) == []


def test_a_tar_cut_between_two_members_is_refused(tmp_path, folder):
    archive = make_tar(tmp_path / "x.tar", *GOOD)
    archive.write_bytes(archive.read_bytes()[: 512 + 3072])
    with pytest.raises(UserError, match="is damaged .*download it again"):
        unpack(archive, folder, LIMIT)
    assert list(folder.iterdir()) == []


def test_a_zip_with_a_flipped_byte_is_refused(tmp_path, folder):
    archive = make_zip(tmp_path / "x.zip", *GOOD)
    content = bytearray(archive.read_bytes())
    content[45] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UserError, match="is damaged .*download it again"):
        unpack(archive, folder, LIMIT)
    assert list(folder.iterdir()) == []


def test_a_missing_archive_is_named(tmp_path, folder):
    with pytest.raises(UserError, match="absent.zip does not exist"):
        unpack(tmp_path / "absent.zip", folder, LIMIT)


@pytest.mark.parametrize("there", ["file", "folder"])
@pytest.mark.parametrize(("make", "name"), [(make_zip, "x.zip"), (make_tar, "x.tar")])
def test_a_file_does_not_take_the_place_of_a_folder_nor_a_folder_a_files(
    tmp_path, folder, make, name, there
):
    (folder / "set").mkdir()
    if there == "file":
        (folder / "set" / "deep").write_text("mine")
    else:
        (folder / "set" / "a.txt").mkdir()
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match=f"is a {there} there; move that away first"):
        unpack(make(tmp_path / name, *GOOD), folder, LIMIT)
    assert sorted(folder.rglob("*")) == before
