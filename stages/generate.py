"""Tool `generate`: music for somebody's own dance clips."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from pydantic import ValidationError

from pipeline.codecs.sound import AnySoundCodec
from pipeline.datasets.folder import EXTENSIONS
from pipeline.datasets.toy_dance import read_markers
from pipeline.diffusion.process import MaskAndReplace
from pipeline.diffusion.sampler import sample as draw
from pipeline.features.i3d import I3D
from pipeline.features.i3d_source import RGB_WEIGHTS, VisualReader
from pipeline.features.pose_reader import SEEN, PoseConfig, PoseReader
from pipeline.media.audio import reduce_noise, write_wav
from pipeline.media.video import mux_sound, probe
from pipeline.model.network import Network, load_model
from pipeline.runtime.cpu import keep_memory, use_fast_products
from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import progress
from pipeline.runtime.seeds import torch_generator
from pipeline.storage.manifest import Clip, Manifest
from stages.config import DanceToMusic, read_dataset
from stages.content import checked, open_codec
from stages.paths import MODEL_FILE, Paths

# of a window, whose tokens are given to the next one: the music goes on instead of starting anew
OVERLAP = 0.5
Told = Literal["both", "motion", "visual"]
TOLD: dict[Told, tuple[str, ...]] = {
    "both": ("motion", "visual"),
    "motion": ("motion",),
    "visual": ("visual",),
}


def generate(
    videos: Annotated[
        Path, typer.Argument(help="A video file, or a folder of them.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("generated"),
    dataset: Annotated[
        str,
        typer.Option(help="Whose model plays: a dance data set that was trained."),
    ] = "toy_dance",
    pose: Annotated[
        str,
        typer.Option(
            help=(
                "Who reads the dancer: blazepose, movenet, keypoint_rcnn, or markers (clips of the"
                " toy)."
            )
        ),
    ] = "blazepose",
    weights: Annotated[
        str | None,
        typer.Option(
            help=(
                "Weights of that reader: a name of `cdcd weights list` or a path. Default: its own"
                " name."
            )
        ),
    ] = None,
    condition: Annotated[
        Told,
        typer.Option(help="What the model is told of: both, or motion or visual alone."),
    ] = "both",
    seed: Annotated[int, typer.Option(help="Another seed plays something else.")] = 0,
    clean: Annotated[bool, typer.Option(help="Spectral noise reduction of the sound.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace results of an earlier run in OUT.")
    ] = False,
) -> None:
    """Make music for your own dance clips.

    In: clips that last at least one window of the model, at any frame rate, portrait or landscape,
    with sound or without (it is not listened to); and extractor, codec and model of data/DATASET.
    Longer clips are played in overlapping windows that continue one another. Out: OUT/NAME.mp4, the
    clip under its new music, and NAME.wav; your own clips are never written over, and other files
    that are there already only with --force.

    Example: cdcd generate holiday.mp4 --out music
    """
    files = video_files(videos)
    names = [
        file.stem if videos.is_file() else "_".join(file.relative_to(videos).with_suffix("").parts)
        for file in files
    ]
    check_targets(
        files, [out / f"{name}{ending}" for name in names for ending in (".mp4", ".wav")], force
    )
    keep_memory()
    use_fast_products()
    player = Player(dataset, pose, weights, condition)
    skipped = []
    for file, name in zip(files, names):
        try:
            play_file(player, file, out / name, seed, clean)
        except UserError as mistake:
            skipped.append(f"{file} left out: {mistake}")
    print("\n".join(skipped))
    if len(skipped) == len(files):
        raise UserError(f"None of {len(files)} videos could be used; the reasons stand above.")


def video_files(videos: Path) -> list[Path]:
    """The file itself, or all videos below a folder; raises UserError where there is none."""
    if videos.is_file():
        return [videos]
    files = sorted(file for file in videos.rglob("*") if file.suffix.lower() in EXTENSIONS)
    if not files:
        raise UserError(
            f"{videos} is not a video and no folder with videos ({', '.join(EXTENSIONS)})."
        )
    return files


def play_file(player: "Player", file: Path, target: Path, seed: int, clean: bool) -> None:
    """Writes TARGET.wav and TARGET.mp4: new music for a clip, alone and under its pictures."""
    waveform, rate = player.play(file, seed), player.codec.sample_rate
    sound = reduce_noise(waveform, rate) if clean else waveform
    write_wav(target.with_name(f"{target.name}.wav"), sound, rate)
    mux_sound(file, target.with_name(f"{target.name}.mp4"), sound, rate)
    print(f"{file}: {len(waveform) / rate:.1f} s of music in {target}.mp4")


def check_targets(inputs: list[Path], targets: list[Path], force: bool) -> None:
    """Raises UserError, before any work, where a target is an input, stands already (without
    `force`), or cannot be written.

    Makes the folder of the targets; an input is recognised through links and whatever its name.
    """
    folder = targets[0].parent
    for target in targets:
        if target.exists() and any(target.samefile(file) for file in inputs):
            raise UserError(
                f"{target} is one of your clips and would be written over; choose another folder"
                " with --out."
            )
    if len(set(targets)) < len(targets):
        twice = next(target for target in targets if targets.count(target) > 1)
        raise UserError(
            f"Two of the clips would both become {twice}; rename one of them, or give them one"
            " after the other."
        )
    present = [target for target in targets if target.exists()]
    if present and not force:
        others = f" and {len(present) - 1} more" if len(present) > 1 else ""
        raise UserError(
            f"{present[0]}{others} exist already; choose another folder with --out, or --force to"
            " replace them."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"--out {folder} cannot be written to ({error.strerror}); choose another folder."
        ) from None


class Player:
    """A trained dance model with everything around it."""

    def __init__(self, dataset: str, pose: str, weights: str | None, condition: Told = "both"):
        settings, paths = read_dataset(dataset), Paths(dataset)
        if not isinstance(settings, DanceToMusic):
            raise UserError(
                f"{dataset} makes pictures; choose a dance data set, such as toy_dance."
            )
        self.settings, self.seconds = settings, settings.clip_seconds
        reader = pose_reader(settings.extract.pose, pose, weights, dataset)
        self.network: Network = load_model(checked(paths.model / MODEL_FILE, "train", dataset)).to(
            device()
        )
        if self.network.arguments["config"]["condition"]["genre_input"]:
            raise UserError(
                f"The model of {dataset} was trained with genre_input: true, and a clip of yours"
                " has no genre; use another."
            )
        self.codec: AnySoundCodec = open_codec(settings, paths)
        extractor = checked(paths.extractor, "extract", dataset)
        if not (extractor / RGB_WEIGHTS).exists():
            raise UserError(
                f"The model of {dataset} was trained on ready video features, which a clip of yours"
                " lacks; use one that was trained on videos."
            )
        self.visual = VisualReader(settings.extract.visual, I3D.load(extractor / RGB_WEIGHTS))
        self.pose, self.inputs = reader, TOLD[condition]

    def play(self, file: Path, seed: int) -> np.ndarray:
        """The waveform [T] for a whole video, window after window; raises UserError for one that is
        too short or shows nobody.
        """
        duration = probe(file).duration_s
        if duration < self.seconds:
            raise UserError(
                f"it lasts {duration:.1f} s; this model plays windows of {self.seconds:g} s, so"
                " that is the least."
            )
        manifest, clip = (
            Manifest((), file.parent),
            Clip(file.stem, file.name, "infer", 0.0, duration),
        )
        motion = self.pose.read(manifest, clip, duration).motion()
        length = self.network.length
        tokens = np.zeros(0, np.int64)
        for start in progress(window_starts(duration, self.seconds), f"playing {file.name}"):
            place = round(start / self.seconds * length)
            known = torch.from_numpy(tokens[place : place + length])
            fresh = self._window(
                clip, manifest, motion, start, known, torch_generator(seed, "generate", place)
            )
            tokens = np.concatenate([tokens[:place], fresh])
        with torch.inference_mode():
            return (
                self.codec.decode(torch.from_numpy(tokens)[None].to(device()))[0]
                .float()
                .cpu()
                .numpy()
            )

    def _window(
        self,
        clip: Clip,
        manifest: Manifest,
        motion: np.ndarray,
        start: float,
        known: torch.Tensor,
        generator,
    ) -> np.ndarray:
        """The tokens [L] of one window, of which those in `known` (played already) stay."""
        fps, length = self.settings.extract.pose.fps, self.network.length
        first = min(round(start * fps), len(motion) - round(self.seconds * fps))
        window = Clip(clip.id, clip.path, "infer", start, self.seconds)
        inputs = {}
        if "motion" in self.inputs:
            inputs["motion"] = torch.from_numpy(
                motion[None, first : first + round(self.seconds * fps)]
            )
        if "visual" in self.inputs:
            frames = self.visual.frames(manifest, window, self.seconds)
            inputs["visual"] = torch.from_numpy(self.visual.features(frames[None]))
        given = torch.zeros(1, length, dtype=torch.int64)
        given[0, : len(known)] = known
        played = (torch.arange(length) < len(known))[None]
        with torch.no_grad():
            condition = self.network.encode(
                {name: value.to(device()) for name, value in inputs.items()}
            )
            process = MaskAndReplace(self.network.n_codes, self.network.n_steps)
            sampling = self.settings.sample.sampling
            return (
                draw(
                    self.network,
                    process,
                    condition,
                    length,
                    sampling,
                    [generator],
                    known=(given, played),
                )[0]
                .cpu()
                .numpy()
            )


def pose_reader(settings: PoseConfig, source: str, weights: str | None, dataset: str) -> PoseReader:
    """Who reads the dancer of a clip; raises UserError, once, for a reader that does not exist,
    looks at no video or cannot give the poses of the model, and for weights of another kind.
    """
    given = settings.model_dump() | {"source": source, "weights": weights or source}
    try:
        config = PoseConfig.model_validate(given)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(
            f"--pose {source} does not fit the model of {dataset}, which reads {settings.kind}"
            f" poses: {reason}; choose another reader, or a model of another data set."
        ) from None
    if config.source not in SEEN:
        raise UserError(
            f"--pose {source} reads files beside a video; use one of {', '.join(SEEN)}."
        )
    return PoseReader(config, read_markers).ready()


def window_starts(duration_s: float, seconds: float) -> list[float]:
    """When the windows start: overlapping, the last one ending with the video."""
    step = seconds * (1 - OVERLAP)
    last = duration_s - seconds
    return [*np.arange(0, last - 1e-6, step).tolist(), last]
