"""`cub200`: Caltech-UCSD Birds-200-2011 with ten captions a picture and StackGAN's split by
species.

The 150 training species and the 50 test species are disjoint. There is no validation split:
pictures can be held out of training for it. Pictures are not cut to their bounding boxes, as in
VQ-Diffusion and unlike StackGAN.
"""

from pathlib import Path
from typing import Literal

from pipeline.datasets.archives import GIB, fetch_archive
from pipeline.datasets.captions import CAPTIONS, read_lines
from pipeline.datasets.listing import Folder, Skipped, existing, first_existing, shorten
from pipeline.datasets.pictures import check_pictures, record_pictures
from pipeline.datasets.segments import hold_out
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Amount, Section, Seed
from pipeline.runtime.progress import progress
from pipeline.storage.archive import unpack
from pipeline.storage.manifest import Clip
from pipeline.storage.unpickle import load_pickle

PICTURES = {"train": 8855, "test": 2933}
CAPTIONS_A_PICTURE = 10
URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
MD5 = "97eceeb196236b17998738112f37df78"
IMAGES = ("CUB_200_2011/images", "images", "birds/CUB_200_2011/images")
TEXTS = ("text/text", "text", "birds/text", "text_c10", "birds/text_c10")
PICKLES = ("train/filenames.pickle", "birds/train/filenames.pickle")
ARCHIVES = {
    "CUB_200_2011.tgz": IMAGES,
    "birds.zip": PICKLES,
    "birds/text.zip": TEXTS,
    "text.zip": TEXTS,
}


class Cub200(Section):
    """Where the birds lie.

    `media_root` holds `CUB_200_2011/images` (or `images`), the captions `text` and the pickles
    `train/filenames.pickle` and `test/filenames.pickle` of StackGAN or AttnGAN; `.tgz` and `.zip`
    files found instead are unpacked. `official` fetches the pictures from Caltech first; the
    captions lie on a file host that only a browser can use.
    """

    source: Literal["local", "official"]
    media_root: Folder
    validation_images: Amount
    split_seed: Seed


def prepare(config: Cub200, raw: Path) -> Skipped:
    """The files left out and why; writes the manifest, all captions and the listing of the pictures
    into `raw`.
    """
    if config.source == "official" and not any(
        (config.media_root / name).exists() for name in IMAGES
    ):
        fetch_archive(URL, config.media_root, 8 * GIB, md5=MD5)
    _unpack_archives(config.media_root)
    clips, captions, skipped = _read(config)
    return record_pictures(raw, clips, skipped, config.media_root, captions)


def check(config: Cub200) -> list[str]:
    """What is missing, unreadable or differs from the complete data set, a sentence each; downloads
    and unpacks nothing.
    """
    try:
        clips, captions, skipped = _read(config)
    except UserError as mistake:
        return [str(mistake)]
    odd = [name for name, texts in captions.items() if len(texts) != CAPTIONS_A_PICTURE]
    problems = shorten(
        [f"{name} has {len(captions[name])} captions, not {CAPTIONS_A_PICTURE}." for name in odd]
    )
    return check_pictures(clips, skipped, config.media_root, PICTURES) + problems


def split_names(root: Path) -> dict[str, list[str]]:
    """The `<species>/<picture>` names of train and test, from StackGAN's pickles; raises UserError
    when they are not that.
    """
    folder = first_existing(root, PICKLES, "StackGAN or AttnGAN pickles").parent.parent
    names = {}
    for split in ("train", "test"):
        path = folder / split / "filenames.pickle"
        names[split] = load_pickle(path)
        if not isinstance(names[split], list) or not all(_is_name(name) for name in names[split]):
            raise UserError(
                f"{path} should hold a list of <species>/<picture> names, but does not."
            )
    return names


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and name.count("/") == 1
        and ".." not in name
        and not name.startswith("/")
    )


def _read(config: Cub200) -> tuple[list[Clip], dict[str, list[str]], Skipped]:
    root = existing(
        config.media_root,
        "download.media_root",
        "docs/datasets.md says what belongs there and where to get it",
    )
    names = split_names(root)
    images, texts = (
        first_existing(root, IMAGES, "bird pictures"),
        first_existing(root, TEXTS, "captions"),
    )
    held_out = hold_out(names["train"], config.validation_images, config.split_seed)
    clips, captions, skipped = [], {}, []
    for split, name in progress(
        [(part, name) for part, listed in names.items() for name in listed], "reading captions"
    ):
        picture, text = images / f"{name}.jpg", texts / f"{name}.txt"
        if missing := [path for path in (picture, text) if not path.exists()]:
            skipped.append((str(missing[0]), "is missing"))
            continue
        species, identity = name.split("/")
        captions[identity] = read_lines(text)
        where = "val" if name in held_out else split
        clips.append(
            Clip(
                identity,
                str(picture.relative_to(root)),
                where,
                label=species,
                caption_file=CAPTIONS,
            )
        )
    return clips, captions, skipped


def _unpack_archives(root: Path) -> None:
    """Unpacks each archive that lies in `root` in place of the files it holds."""
    for archive, contents in ARCHIVES.items():
        if (root / archive).exists() and not any((root / name).exists() for name in contents):
            unpack(root / archive, (root / archive).parent, max_bytes=8 * GIB)
