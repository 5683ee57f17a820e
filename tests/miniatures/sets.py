"""The five real data sets in small: original layouts and names, media drawn here."""

import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets.aist import Sequence, parse_sequence, tempo
from pipeline.media.audio import write_wav
from pipeline.media.video import write_video

AIST = {
    "train": [
        "gWA_sBM_cAll_d26_mWA5_ch03",
        "gLO_sBM_cAll_d14_mLO5_ch03",
        "gKR_sBM_cAll_d29_mKR5_ch03",
    ],
    "val": ["gHO_sBM_cAll_d20_mHO5_ch01"],
    "test": ["gJB_sBM_cAll_d08_mJB5_ch02", "gHO_sBM_cAll_d20_mHO5_ch02"],
}
TIKTOK = {
    "train": ["000000_0_0", "000001_1_14", "000002_2_39"],
    "test": ["000007_7_188", "000010_10_256"],
}
CUB200 = {
    "train": [
        "002.Laysan_Albatross/Laysan_Albatross_0002_1027",
        "002.Laysan_Albatross/Laysan_Albatross_0003_1033",
        "003.Sooty_Albatross/Sooty_Albatross_0001_796375",
        "003.Sooty_Albatross/Sooty_Albatross_0002_796395",
        "004.Groove_billed_Ani/Groove_Billed_Ani_0002_1670",
        "004.Groove_billed_Ani/Groove_Billed_Ani_0003_1588",
    ],
    "test": [
        "001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111",
        "001.Black_footed_Albatross/Black_Footed_Albatross_0002_55",
        "008.Rhinoceros_Auklet/Rhinoceros_Auklet_0001_797538",
        "008.Rhinoceros_Auklet/Rhinoceros_Auklet_0002_797541",
    ],
}
COCO = {"train": 8, "val": 4}
IMAGENET = {"n01440764": "tench", "n01443537": "goldfish", "n02071294": "killer_whale"}


def write_aist_videos(root: Path) -> None:
    """videos/<video>.mp4 with sound, annotations/{motions,splits} and the ignore list."""
    for folder in ("splits", "motions"):
        (root / "annotations" / folder).mkdir(parents=True)
    (root / "annotations" / "ignore_list.txt").write_text("gBR_sBM_cAll_d04_mBR0_ch02\n")
    for split, names in AIST.items():
        (root / "annotations" / "splits" / f"crossmodal_{split}.txt").write_text(
            "\n".join(names) + "\n"
        )
        for sequence in map(parse_sequence, names):
            write_dance(
                root / "videos" / f"{sequence.video}.mp4",
                sequence.seconds,
                tempo(sequence.song),
                pitch_of(sequence),
            )
            motion = root / "annotations" / "motions" / f"{sequence.name}.pkl"
            motion.write_bytes(pickle.dumps(smpl_motion(sequence), protocol=2))


def write_aist_features(root: Path) -> None:
    """The authors' {audio,motion,video}_s2/{train,val,test}: 22,050 Hz, 120 x 219, and I3D's 2,048
    numbers.
    """
    generator = np.random.default_rng(0)
    for split, names in AIST.items():
        for sequence in map(parse_sequence, names):
            for number in range(1, 4):
                name = f"{split}/{sequence.video}_seg{number}"
                write_sound(
                    root / "audio_s2" / f"{name}.wav", tempo(sequence.song), pitch_of(sequence)
                )
                write_array(root / "motion_s2" / f"{name}.npy", generator.normal(size=(120, 219)))
                write_array(root / "video_s2" / f"{name}.npy", generator.normal(size=2048))


def write_tiktok(root: Path, clips: int) -> None:
    """The lists as published (`./tiktok/audio_s2/<clip>.wav`), and the features below audio_s2,
    motion_s2, video_s2.
    """
    generator = np.random.default_rng(0)
    for split, videos in TIKTOK.items():
        names = [f"{video}_seg{number}" for video in videos for number in range(1, clips + 1)]
        root.mkdir(exist_ok=True)
        (root / f"tiktok_audio_{split}_segment.txt").write_text(
            "".join(f"./tiktok/audio_s2/{name}.wav\n" for name in names)
        )
        for name in names:
            write_sound(
                root / "audio_s2" / f"{name}.wav",
                generator.uniform(80, 140),
                generator.uniform(100, 800),
            )
            write_array(root / "motion_s2" / f"{name}.npy", body25(generator).reshape(-1))
            write_array(root / "video_s2" / f"{name}.npy", generator.normal(size=(1, 2048)))


def write_cub200(root: Path) -> None:
    """CUB_200_2011/images, text/text with ten captions each, and pickles as Python 2 wrote them."""
    seed = 0
    for split, names in CUB200.items():
        (root / split).mkdir(parents=True)
        (root / split / "filenames.pickle").write_bytes(pickle.dumps(names, protocol=0))
        for name in names:
            write_picture(root / "CUB_200_2011" / "images" / f"{name}.jpg", seed)
            text = root / "text" / "text" / f"{name}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("".join(f"{caption(10 * seed + number)}\n" for number in range(10)))
            seed += 1


def write_coco(root: Path, year: int) -> None:
    """annotations/captions_{train,val}<year>.json and the pictures: nested in 2014, as VQ-Diffusion
    has them.
    """
    (root / "annotations").mkdir(parents=True)
    seed = 0
    for published, count in COCO.items():
        part, images, annotations = f"{published}{year}", [], []
        folder = root / part / part if year == 2014 else root / part
        for number in range(count):
            identity = 100 * number + 9 + len(published)
            name = f"COCO_{part}_{identity:012d}.jpg" if year == 2014 else f"{identity:012d}.jpg"
            write_picture(folder / name, seed, "L" if number == 1 else "RGB")
            images.append(
                {"license": 1, "file_name": name, "height": 64, "width": 72, "id": identity}
            )
            for _ in range(6 if number == 2 else 5):
                annotations.append({"image_id": identity, "id": seed, "caption": caption(seed)})
                seed += 1
        content = {
            "info": {"year": year},
            "licenses": [],
            "images": images,
            "annotations": annotations,
        }
        (root / "annotations" / f"captions_{part}.json").write_text(json.dumps(content))


def write_imagenet(root: Path) -> None:
    """{train,val}/<class>/*.JPEG, some grey or CMYK, and imagenet_class_index.json."""
    root.mkdir()
    numbers = {str(number): [wnid, name] for number, (wnid, name) in enumerate(IMAGENET.items())}
    (root / "imagenet_class_index.json").write_text(json.dumps(numbers))
    for number, wnid in enumerate(IMAGENET):
        for picture, mode in enumerate(("RGB", "L", "CMYK")):
            write_picture(
                root / "train" / wnid / f"{wnid}_{10026 + picture}.JPEG",
                10 * number + picture,
                mode,
            )
        for picture in range(2):
            name = f"ILSVRC2012_val_{3 * picture + number + 1:08d}.JPEG"
            write_picture(root / "val" / wnid / name, 100 + 10 * number + picture)


def pitch_of(sequence: Sequence) -> float:
    """Every sequence of the miniature sounds at a pitch of its own."""
    return 110.0 * (
        1 + sorted(name for names in AIST.values() for name in names).index(sequence.name)
    )


def smpl_motion(sequence: Sequence) -> dict:
    """A body that turns to and fro with the beat; its 60 frames a second end just before the dance,
    as the real ones do.
    """
    frames = int(sequence.seconds * 60) - 2
    beat = np.sin(np.pi * np.arange(frames) / 60 * tempo(sequence.song) / 60)
    trans = np.stack([50 * beat, np.full(frames, 90.0), np.zeros(frames)], axis=1)
    poses = np.outer(beat, np.linspace(-0.5, 0.5, 72))
    return {
        "smpl_poses": poses,
        "smpl_trans": trans,
        "smpl_scaling": np.array([93.8]),
        "smpl_loss": 0.01,
    }


def body25(generator: np.random.Generator) -> np.ndarray:
    """60 frames of 25 OpenPose joints (x, y, score), one unseen now and then."""
    points = np.concatenate(
        [generator.uniform(0, 720, (60, 25, 2)), generator.uniform(0.3, 1, (60, 25, 1))], axis=2
    )
    points[generator.random((60, 25)) < 0.05] = 0
    return points


def music(seconds: float, bpm: float, pitch: float) -> np.ndarray:
    """A tone that starts anew on every beat, at 22,050 Hz."""
    time = np.arange(round(seconds * 22050)) / 22050
    return (0.5 * np.sin(2 * np.pi * pitch * time) * np.exp(-6 * (time % (60 / bpm)))).astype(
        np.float32
    )


def write_sound(path: Path, bpm: float, pitch: float) -> None:
    """Two seconds of music."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, music(2.0, bpm, pitch), 22050)


def write_array(path: Path, values: np.ndarray) -> None:
    """Numbers as a .npy file of float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values.astype(np.float32))


def write_dance(path: Path, seconds: float, bpm: float, pitch: float, fps: float = 12.0) -> None:
    """A small video of a square that swings with the beat, under its music."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def frames():
        for number in range(round(seconds * fps)):
            picture = np.full((48, 64, 3), 40, np.uint8)
            left = round(24 + 16 * np.sin(np.pi * number / fps * bpm / 60))
            picture[16:32, left : left + 16] = (200, round(pitch) % 256, 90)
            yield picture

    write_video(path, frames(), fps, music(seconds, bpm, pitch), 22050)


def write_picture(path: Path, seed: int, mode: str = "RGB") -> None:
    """A disc in one colour on another, 72 x 64 pixels, as JPEG."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :72]
    disc = (rows - generator.integers(20, 44)) ** 2 + (
        columns - generator.integers(20, 52)
    ) ** 2 < 300
    colours = generator.integers(0, 255, (2, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours[disc.astype(int)]).convert(mode).save(path, "JPEG")


def caption(seed: int) -> str:
    """A sentence of its own for every seed."""
    colours, parts = (
        ("red", "grey", "black", "yellow", "brown"),
        ("wings", "beak", "breast", "tail", "crown"),
    )
    return (
        f"A small bird with {colours[seed % 5]} {parts[seed // 5 % 5]} and"
        f" {colours[seed // 25 % 5]} feathers, number {seed}."
    )
