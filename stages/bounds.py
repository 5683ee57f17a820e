"""What the settings of one data set must be to one another: every rule that two numbers share, in
one place, checked before any stage starts. The bounds of single numbers stand at their keys.
"""

from collections.abc import Iterator
from math import isqrt
from typing import TYPE_CHECKING

from pipeline.codecs.jukebox import PUBLISHED, JukeboxArchitecture
from pipeline.codecs.transform import TransformArchitecture
from pipeline.codecs.vqgan import F8_GUMBEL, F16, VQGANArchitecture
from pipeline.diffusion.contrast import parse_setting
from pipeline.metrics.judge_training import TrainedJudge
from pipeline.model.denoiser import DenoiserConfig
from pipeline.model.encoders.text import TextConfig
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from stages.config import AnyDataset, CaptionToImage, ClassToImage, DanceToMusic

SOUND = ("jukebox", "d2m_vqvae_high", "d2m_vqvae_low")  # weights whose hops are those of PUBLISHED
PICTURES = {"vqgan_f8": F8_GUMBEL, "vqgan_f16": F16}


def check_between(settings: "AnyDataset", setting: str) -> None:
    """Raises UserError for the first settings that do not fit one another, by their whole keys.

    `setting` is the contrast in use: params.yaml's, or the data set's own.
    """
    for trouble in _troubles(settings, setting):
        raise UserError(trouble)


def _troubles(settings: "AnyDataset", setting: str) -> Iterator[str]:
    yield from _training(settings)
    yield from _network(settings)
    yield from _contrast(settings, setting)
    yield from _sampling(settings)
    if settings.task == "dance":
        yield from _sound(settings)
    else:
        yield from _pictures(settings)


def _training(settings: "AnyDataset") -> Iterator[str]:
    train, codec = settings.train, settings.codec.training
    optimiser = train.optimiser
    if train.steps is not None and optimiser.warmup_steps >= train.steps:
        yield (
            f"train.optimiser.warmup_steps is {optimiser.warmup_steps}, but train.steps is"
            f" {train.steps}; the warm-up must end before the training does."
        )
    if optimiser.warmup_from > optimiser.learning_rate:
        yield (
            f"train.optimiser.warmup_from is {optimiser.warmup_from:g}, above"
            f" train.optimiser.learning_rate, {optimiser.learning_rate:g}; start lower."
        )
    if codec is not None and codec.warmup_steps >= codec.steps:
        yield (
            f"codec.training.warmup_steps is {codec.warmup_steps}, but codec.training.steps is"
            f" {codec.steps}; the warm-up must end before the training does."
        )
    if codec is not None and codec.final_learning_rate > codec.learning_rate:
        yield (
            f"codec.training.final_learning_rate is {codec.final_learning_rate:g}, above"
            f" codec.training.learning_rate, {codec.learning_rate:g}; end lower."
        )


def _network(settings: "AnyDataset") -> Iterator[str]:
    sections: dict[str, DenoiserConfig | TextConfig] = {
        "train.model.denoiser": settings.train.model.denoiser
    }
    if settings.task == "caption" and settings.train.model.text is not None:
        sections["train.model.text"] = settings.train.model.text
    for name, section in sections.items():
        if section.width % section.heads:
            yield (
                f"{name}.heads is {section.heads}, which does not divide {name}.width,"
                f" {section.width}."
            )


def _contrast(settings: "AnyDataset", setting: str) -> Iterator[str]:
    train, negatives = settings.train, settings.negatives
    contrast, kinds = train.contrast, {term.kind for term in parse_setting(setting)}
    drawn = contrast.negatives_per_step
    for kind in sorted(kinds):
        stored = getattr(negatives, f"n_{kind}")
        if stored == 0:
            yield f"negatives.n_{kind} is 0, but the contrast {setting} needs {kind} negatives."
        if drawn is not None and drawn > stored:
            yield (
                f"train.contrast.negatives_per_step is {drawn}, more than negatives.n_{kind},"
                f" {stored}."
            )
    rows = getattr(settings.download, "train", None)
    if isinstance(rows, int) and negatives.n_inter >= rows:
        yield f"negatives.n_inter is {negatives.n_inter}, but download.train has {rows} rows only."
    if kinds and contrast.form == "infonce" and train.loss.null_probability == 0:
        yield (
            "train.loss.null_probability is 0, but train.contrast.form infonce needs conditions"
            " that are dropped; 0.1 is usual."
        )
    if kinds and contrast.form == "cca":
        if kinds != {"inter"}:
            yield (
                f"train.contrast.form is cca, which contrasts the conditions of different samples,"
                f" but contrast is {setting}; take step_inter or sample_inter."
            )
        if train.init is None:
            yield (
                "train.init is null, but train.contrast.form cca starts from and is compared with a"
                " trained model; name its file there."
            )
        if train.batch_size < 2:
            yield (
                "train.batch_size is 1, but train.contrast.form cca takes its negatives from the"
                " batch; 2 or more."
            )
    if contrast.contrastive_steps is not None and contrast.contrastive_steps > (
        train.diffusion_steps
    ):
        yield (
            f"train.contrast.contrastive_steps is {contrast.contrastive_steps}, more than"
            f" train.diffusion_steps, {train.diffusion_steps}."
        )


def _sampling(settings: "AnyDataset") -> Iterator[str]:
    sample, train = settings.sample, settings.train
    if sample.sampling.steps > train.diffusion_steps:
        yield (
            f"sample.sampling.steps is {sample.sampling.steps}, more than train.diffusion_steps,"
            f" {train.diffusion_steps}."
        )
    if sample.sampling.guidance != 1 and train.loss.null_probability == 0:
        yield (
            f"sample.sampling.guidance is {sample.sampling.guidance:g}, which needs a model trained"
            " with train.loss.null_probability above 0; 1 is no guidance."
        )
    if sample.sampling.guidance_schedule != "constant" and sample.sampling.guidance == 1:
        yield (
            f"sample.sampling.guidance_schedule is {sample.sampling.guidance_schedule}, but"
            " sample.sampling.guidance is 1, no guidance; raise it, or keep the schedule constant."
        )
    if sample.ladder and train.loss.null_probability == 0:
        yield (
            "sample.ladder draws under guidance, which needs a model trained with"
            " train.loss.null_probability above 0; [] draws none."
        )
    if sample.without is not None and not _is_dropped(settings, sample.without):
        yield (
            f"sample.without is {sample.without}, which only a dance model trained with"
            f" train.model.condition.dropout.{sample.without} above 0 does without."
        )
    if len(set(sample.seeds)) < len(sample.seeds):
        yield f"sample.seeds is {list(sample.seeds)}, where a seed stands twice."
    if sample.captions == "all" and settings.task != "caption":
        yield f"sample.captions is all, but the task {settings.task} has no captions; first."


def _is_dropped(settings: "AnyDataset", part: str) -> bool:
    """Whether a model learns to do without a part of its condition."""
    condition = getattr(settings.train.model, "condition", None)
    return bool(getattr(getattr(condition, "dropout", None), part, 0))


def _sound(settings: "DanceToMusic") -> Iterator[str]:
    codec, seconds = settings.codec, settings.clip_seconds
    samples, frames = round(seconds * codec.sample_rate), round(seconds * settings.media.fps)
    if frames < 2:
        yield f"media.fps is {settings.media.fps:g}; a clip of {seconds:g} s needs 2 poses or more."
    if settings.negatives.intra == "pixels":
        yield "negatives.intra is pixels, which music has none of; take waveform or tokens."
    if settings.judge.embedding != "mfcc" and settings.judge.weights is None:
        yield f"judge.weights is missing, which judge.embedding {settings.judge.embedding} needs."
    if codec.crop > samples:
        yield (
            f"codec.crop is {codec.crop}, more than the {samples} samples of a clip"
            " (media.clip_seconds x media.sample_rate)."
        )
    sizes = codec.architecture
    if isinstance(sizes, TransformArchitecture):
        yield from _transform(sizes)
    if isinstance(sizes, JukeboxArchitecture):
        yield from _jukebox(sizes, codec.level)
    hop = _hop(sizes, codec.level if sizes is None or codec.level < _levels(sizes) else 0)
    if sizes is None and codec.weights in SOUND:
        hop = PUBLISHED.hop(codec.level)
    tokens = None if hop is None else samples // hop
    if hop is not None and codec.crop < hop:
        yield f"codec.crop is {codec.crop}, shorter than one code, {hop} samples."
    chunks = settings.negatives.chunks if settings.negatives.n_intra else 0
    if tokens is not None and chunks > tokens:
        yield (
            f"negatives.chunks is {settings.negatives.chunks}, more than the {tokens} codes of a"
            " clip."
        )


def _hop(sizes: TransformArchitecture | JukeboxArchitecture | None, level: int) -> int | None:
    """Samples a code stands for; None where only a file of weights tells."""
    if isinstance(sizes, TransformArchitecture):
        return sizes.hop
    return None if sizes is None else sizes.hop(level)


def _levels(sizes: TransformArchitecture | JukeboxArchitecture) -> int:
    return 3 if isinstance(sizes, TransformArchitecture) else len(sizes.strides)


def _transform(sizes: TransformArchitecture) -> Iterator[str]:
    name = "codec.architecture"
    if sizes.kernel % 2 == 0:
        yield f"{name}.kernel is {sizes.kernel}, which must be odd."
    if sizes.heads and sizes.width % sizes.heads:
        yield f"{name}.heads is {sizes.heads}, which does not divide {name}.width, {sizes.width}."


def _jukebox(sizes: JukeboxArchitecture, level: int) -> Iterator[str]:
    levels = len(sizes.strides)
    for name in ("width", "depth"):
        if len(getattr(sizes, name)) != levels:
            yield (
                f"codec.architecture.{name} has {len(getattr(sizes, name))} numbers, but"
                f" codec.architecture.strides {levels} levels; give one for each."
            )
    if level >= levels:
        yield f"codec.level is {level}, but codec.architecture has levels 0 to {levels - 1}."


def _pictures(settings: "CaptionToImage | ClassToImage") -> Iterator[str]:
    codec, negatives, side = settings.codec, settings.negatives, settings.media.image_size
    if negatives.intra == "waveform":
        yield "negatives.intra is waveform, which pictures have none of; take pixels or tokens."
    if codec.architecture is not None:
        yield from _vqgan(codec.architecture)
    judge = settings.judge
    if isinstance(judge, TrainedJudge) and (judge.reads == "captions") != (
        settings.task == "caption"
    ):
        yield f"judge.reads is {judge.reads}, which does not go with the task {settings.task}."
    sizes = codec.architecture or PICTURES.get(codec.weights or "")
    if sizes is None:
        return
    factor = sizes.ddconfig.factor
    if side % factor or side == factor:
        yield (
            f"media.image_size is {side}, which must be a multiple of {factor}, the pixels a side"
            " of one code, and more than that."
        )
    if not negatives.n_intra:
        return
    root, whole = isqrt(negatives.chunks), side // factor
    if negatives.intra == "sequence":
        if negatives.chunks > whole**2:
            yield f"negatives.chunks is {negatives.chunks}, more than the {whole**2} codes."
        return
    divided, what = (side, "pixels") if negatives.intra == "pixels" else (whole, "codes")
    if root**2 != negatives.chunks or divided % root:
        yield (
            f"negatives.chunks is {negatives.chunks}, which must be a square number whose root"
            f" divides the {divided} {what} of a side."
        )


def _vqgan(sizes: VQGANArchitecture) -> Iterator[str]:
    if sizes.ddconfig.double_z:
        yield "codec.architecture.ddconfig.double_z is true, which a VQ-GAN has false."
    if sizes.quantiser == "gumbel" and sizes.embed_dim != sizes.ddconfig.z_channels:
        yield (
            f"codec.architecture.embed_dim is {sizes.embed_dim}; a Gumbel VQ-GAN needs it equal to"
            f" codec.architecture.ddconfig.z_channels, {sizes.ddconfig.z_channels}."
        )
