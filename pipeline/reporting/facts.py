"""The facts of an evaluation that a reader needs before its figures: settings, counts, and who
judged.
"""

# Settings without which the figures cannot be read: (key in remarks.json, words).
FACTS = (
    ("contrast", "contrast"),
    ("form", "contrastive form"),
    ("intra_weight", "lambda, intra"),
    ("inter_weight", "lambda, inter"),
    ("contrastive_steps", "contrastive steps"),
    ("genre_input", "genre given to the model"),
    ("condition", "condition"),
    ("extractor", "visual features, and the weights behind them"),
    ("pose_source", "poses from"),
    ("parameters", "parameters"),
    ("training_steps", "training steps"),
    ("processes", "processes that trained it"),
    ("batch_size", "batch"),
    ("diffusion_steps", "diffusion steps T"),
    ("sampling_steps", "sampling steps"),
    ("truncation", "truncation"),
    ("guidance", "guidance"),
    ("guidance_schedule", "guidance, with the share of masks"),
    ("order", "order of sampling"),
    ("seeds", "sampling seeds"),
    ("n_training_clips", "training clips"),
    ("n_training_pictures", "training pictures"),
    ("n_clips", "test clips"),
    ("n_songs", "test songs"),
    ("n_pictures", "test pictures"),
    ("embedding", "genre judged with"),
    ("held_out_accuracy", "accuracy of the genre judge on held-out clips, %"),
    ("withheld", "withheld, for the test split is too small"),
    ("noise_reduced", "noise reduction before measuring"),
    ("references_without_onset", "references without an onset, left out of d2m"),
    ("clips_without_accent", "dances without an accent, left out of the fit"),
    ("clips_with_score", "test clips with a score of their music"),
    ("best_lag_s", "the constant lag that suits the model's music best, s"),
)
_PUBLISHED = {
    "inception": "the FID Inception of 2015-12-05",
    "clip": "CLIP ViT-B/32",
    "resnet101": "torchvision's ResNet-101",
}
_CLASSIFIER = ("a classifier", "top1_accuracy", "accuracy")
_MATCHER = ("an image-text matcher", "r_precision", "R-precision")
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def facts(remarks: dict) -> list[tuple[str, str]]:
    """What to state of the `remarks` of an evaluation, in order, as (words, value); what a data set
    lacks is left out.
    """
    stated = [(words, _plain(remarks[key])) for key, words in FACTS if remarks.get(key) is not None]
    return stated + _of_pictures(remarks) if isinstance(remarks.get("judge"), dict) else stated


def _of_pictures(remarks: dict) -> list[tuple[str, str]]:
    """Which networks judged pictures and how well they do on real ones, the sets FID compares with,
    CLIPScore's prefix.
    """
    sets = [
        f"{count:,} real {_SPLITS[split]} pictures"
        for split, count in remarks["fid_references"].items()
    ]
    each = f"{remarks['n_pictures']:,} pictures of each sampling seed"
    stated = [
        ("judged by", _judge(remarks["judge"])),
        ("FID compares", f"{each} with {' and, apart, with '.join(sets)}"),
    ]
    if remarks.get("r_precision_candidates"):
        stated.append(
            (
                "R-precision",
                f"each caption among {remarks['r_precision_candidates']} different ones",
            )
        )
    if remarks.get("clip_prefix"):
        stated.append(
            (
                "CLIPScore",
                f'250 max(cosine, 0), captions behind the prefix "{remarks["clip_prefix"]}"',
            )
        )
    return stated


def _judge(judge: dict) -> str:
    if judge["config"]["kind"] == "published":
        return "; ".join(
            f"{_PUBLISHED[name]} (published; sha256 {digest[:8]})"
            for name, digest in judge["sha256"].items()
        )
    kind, key, score = _CLASSIFIER if judge["config"]["reads"] == "labels" else _MATCHER
    held_out = [
        f"{score} {found[key]:.1f} % on {found['pictures']:,} real {_SPLITS[split]} pictures"
        for split, found in judge["held_out"].items()
    ]
    made = f"{kind} trained here on {judge['trained_on']:,} real training pictures"
    return "; ".join([made, *held_out]) if held_out else f"{made}; never tried on held-out ones"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
