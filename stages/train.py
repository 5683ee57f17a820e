"""Stage `train`: the denoiser and its condition encoders."""

from contextlib import nullcontext
from pathlib import Path

from pipeline.diffusion.contrast import parse_setting
from pipeline.model.encoders.text import TextConfig
from pipeline.model.network import (
    CaptionInputs,
    ClassInputs,
    DanceInputs,
    build_network,
    load_model,
    save_model,
)
from pipeline.model.training import train_network
from pipeline.runtime.cpu import keep_memory, use_fast_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, sha256_file, write_json
from pipeline.runtime.scratch import fingerprint, home, scratch
from pipeline.storage.store import Store
from pipeline.training.batches import TrainingBatches
from pipeline.training.history import write_history
from pipeline.training.processes import processes
from stages.config import CaptionToImage, DatasetArgument, read_contrast, read_dataset
from stages.content import token_grid
from stages.paths import MODEL_FILE, Paths, code


def train(dataset: DatasetArgument) -> None:
    """Train the diffusion model of a data set with the `contrast` of params.yaml, or its own.

    In: data/DATASET/conditions.h5, tokens.h5, negatives.h5 and the manifest in raw. Out:
    data/DATASET/model with model.safetensors (the averaged weights), history.csv and about.json.
    Killed, it goes on from its last checkpoint; SIGINT and SIGTERM end it after the step in
    progress, with exit code 75. On several GPUs, start it with `torchrun --nproc_per_node N -m
    stages train DATASET` (or `srun`): `batch_size` is that of all together.

    Example: cdcd train toy_dance
    """
    keep_memory()
    use_fast_products()
    settings, setting, paths = read_dataset(dataset), read_contrast(dataset), Paths(dataset)
    tokens, conditions = Store(paths.tokens, "tokens"), Store(paths.conditions, "conditions")
    negatives, manifest = Store(paths.negatives, "negatives"), paths.manifest(settings.media_root)
    negatives.expect(codec=tokens.provenance["codec"])
    config = settings.train
    kinds = tuple(term.kind for term in parse_setting(setting))
    usable = set(tokens.ids) & set(conditions.ids)
    rows = {
        split: [
            manifest.clips[row].id for row in manifest.of(split) if manifest.clips[row].id in usable
        ]
        for split in ("train", "val")
    }
    if not rows["train"]:
        raise UserError(
            f"{dataset}: no training clip has both conditions and tokens; see"
            f" data/{dataset}/raw/skipped.csv."
        )
    config = config.in_steps(len(rows["train"]))
    if isinstance(settings, CaptionToImage):
        check_caption_length(settings.train.model.text, conditions)
    network = build_network(
        config.model,
        facts(conditions),
        n_codes=tokens.provenance["n_codes"],
        grid=token_grid(settings, tokens["tokens"].shape[1]),
        n_steps=config.diffusion_steps,
        seed=config.seed,
    )
    if config.init is not None:
        start_from(network, Path(config.init))
    inputs = [sha256_file(path) for path in (paths.tokens, paths.conditions, paths.negatives)]
    init = sha256_file(Path(config.init)) if config.init else None
    sources = code("diffusion", "model", "training", "runtime")
    mark = fingerprint("train", config, setting, inputs, init, *sources)
    with (
        processes(config.bf16) as fabric,
        scratch(mark)
        if fabric.is_global_zero
        else nullcontext(home() / "scratch" / mark) as folder,
    ):
        batches = {
            split: TrainingBatches(
                tokens,
                conditions,
                negatives,
                rows[split],
                kinds if split == "train" else (),
                config.batch_size,
                config.seed,
                fabric.global_rank,
                fabric.world_size,
            )
            for split in rows
            if rows[split]
        }
        history = train_network(
            network, config, setting, batches["train"], batches.get("val"), folder, fabric
        )
        if fabric.is_global_zero:
            provenance = {
                "contrast": setting,
                "codec": tokens.provenance["codec"],
                "conditions": conditions.provenance,
            }
            with atomic(paths.model) as temporary:
                temporary.mkdir()
                save_model(network.cpu(), temporary / MODEL_FILE, provenance)
                write_history(temporary / "history.csv", history)
                write_json(
                    temporary / "about.json",
                    {"parameters": sum(p.numel() for p in network.parameters()), **provenance},
                )
        fabric.barrier()
    if fabric.is_global_zero:
        print(
            f"{dataset}: {setting}, {config.steps} steps, loss {history[-1]['main']:.3f} nats a"
            " token (history.csv)."
        )


def start_from(network, path: Path) -> None:
    """Gives `network` the weights of a model trained here; raises UserError when it has another
    architecture.
    """
    try:
        network.load_state_dict(load_model(path).state_dict())
    except RuntimeError as error:
        raise UserError(
            f"train.init {path} does not fit the model that train.model describes:"
            f" {str(error).splitlines()[1].strip()}."
        ) from None


def check_caption_length(text: TextConfig | None, conditions: Store) -> None:
    """Raises UserError when the learned text encoder, if there is one, keeps fewer tokens than the
    longest caption has.
    """
    longest = conditions.provenance.get("longest_caption", 0)
    if text is not None and longest > text.length:
        raise UserError(
            f"train.model.text.length is {text.length}, but a caption has {longest} tokens; set it"
            f" to {longest}."
        )


def facts(conditions: Store) -> DanceInputs | CaptionInputs | ClassInputs:
    """What the network must know of its inputs, read off the store of conditions."""
    about = conditions.provenance
    match about["task"]:
        case "dance":
            return DanceInputs(
                pose=about["pose"],
                n_frames=conditions["motion"].shape[1],
                visual_numbers=conditions["visual"].shape[2],
                n_genres=len(about["genres"]),
            )
        case "caption" if "clip_text" in about["inputs"]:
            return CaptionInputs(vocabulary=None, clip_size=conditions["clip_text"].shape[2:])
        case "caption":
            return CaptionInputs(vocabulary=tuple(about["vocabulary"]), clip_size=None)
        case "class":
            return ClassInputs(n_classes=len(about["classes"]))
