"""Stage `train`: the denoiser and its condition encoders."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch

from pipeline.diffusion.contrast import parse_setting
from pipeline.model.around import around
from pipeline.model.encoders.text import TextConfig
from pipeline.model.network import (
    CaptionInputs,
    ClassInputs,
    DanceInputs,
    Network,
    build_network,
    save_model,
)
from pipeline.model.training import Train, train_network
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, sha256_file, write_json
from pipeline.runtime.processor import processor
from pipeline.runtime.products import products
from pipeline.runtime.scratch import fingerprint, home, scratch
from pipeline.runtime.seeds import torch_generator
from pipeline.storage.manifest import Manifest
from pipeline.storage.store import Store
from pipeline.storage.weights import weights_file
from pipeline.training.batches import TrainingBatches
from pipeline.training.following import announce
from pipeline.training.history import write_history
from pipeline.training.launch import start_under_prefix
from pipeline.training.processes import processes
from stages.captions import with_captions
from stages.config import AnyDataset, CaptionToImage, DatasetArgument, read_contrast, read_dataset
from stages.grid import token_grid
from stages.paths import MODEL_FILE, Paths, code
from stages.published import start_from, take_released

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(dataset: DatasetArgument) -> None:
    """Train the diffusion model of a data set with the `contrast` of params.yaml, or its own.

    In: data/DATASET/conditions.h5, tokens.h5, negatives.h5 and the manifest in raw. Out:
    data/DATASET/model with model.safetensors (the averaged weights), history.csv and about.json.
    Killed, it goes on from its last checkpoint; SIGINT and SIGTERM end it after the step in
    progress, with exit code 75. On several GPUs `launch` of run.yaml starts it (`torchrun
    --nproc_per_node=N`, `srun`): `batch_size` is that of all together. `cdcd watch` looks on.

    Example: cdcd train toy_dance
    """
    choose_products()
    settings, setting, paths = read_dataset(dataset), read_contrast(dataset), Paths(dataset)
    if settings.train.released is None:
        start_under_prefix("train", dataset)
    stores = open_stores(paths, setting)
    if settings.train.released is not None:
        take_released(dataset, settings.train.released, stores.tokens, stores.conditions)
        return
    rows = rows_of_splits(dataset, paths.manifest(settings.media_root), stores)
    config = settings.train.in_steps(len(rows["train"]))
    network = new_network(settings, config, stores)
    sources = code("diffusion", "model", "training", "runtime")
    with processes(config.bf16) as fabric:
        leads, found = fabric.is_global_zero, ""
        if leads:  # the others need not read every byte as well
            found = fingerprint("train", config, setting, *contents(stores, config), *sources)
        mark = fabric.broadcast(found)
        with scratch(mark) if leads else nullcontext(home() / "scratch" / mark) as folder:
            if leads:
                announce(folder, dataset, config.steps or 0)
            batches = batches_of_splits(stores, rows, config, setting, fabric)
            init = weights_file(config.init) if config.init else None
            surroundings = around(dataset, init, folder, provenance(setting, stores))
            history = train_network(
                network,
                config,
                setting,
                batches["train"],
                batches.get("val"),
                folder,
                fabric,
                surroundings,
            )
            if leads:
                write_model(network, history, setting, stores, paths)
            fabric.barrier()
    if fabric.is_global_zero:
        print(
            f"{dataset}: {setting}, {history[-1]['step']} steps, loss"
            f" {history[-1]['main']:.3f} nats a token (history.csv)."
        )


class Stores(NamedTuple):
    """What training reads: the content, what it is conditioned on, and what it is pushed from, if
    anything.
    """

    tokens: Store
    conditions: Store
    negatives: Store | None


def open_stores(paths: Paths, setting: str) -> Stores:
    """The stores that training under this contrast reads; raises UserError where the negatives are
    those of another codec.
    """
    tokens, conditions = Store(paths.tokens, "tokens"), Store(paths.conditions, "conditions")
    if not parse_setting(setting):
        return Stores(tokens, conditions, None)
    negatives = Store(paths.negatives, "negatives")
    return Stores(tokens, conditions, negatives.expect(codec=tokens.provenance["codec"]))


def rows_of_splits(dataset: str, manifest: Manifest, stores: Stores) -> dict[str, list[str]]:
    """The ids of the splits train and val that have tokens and conditions, in the manifest's order;
    raises UserError where none is left to train on.
    """
    usable = set(stores.tokens.ids) & set(stores.conditions.ids)
    ids = {
        split: [
            manifest.clips[row].id for row in manifest.of(split) if manifest.clips[row].id in usable
        ]
        for split in ("train", "val")
    }
    if not ids["train"]:
        raise UserError(
            f"{dataset}: no training clip has both conditions and tokens; see"
            f" data/{dataset}/raw/skipped.csv."
        )
    return ids


def new_network(settings: AnyDataset, config: Train, stores: Stores) -> Network:
    """The network that the settings and the stores describe, with the weights of `train.init`, if
    any.
    """
    tokens, conditions = stores.tokens, stores.conditions
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
    share = config.model.denoiser.codebook_share
    if share:
        codewords = torch.from_numpy(tokens["codewords"][:])
        network.denoiser.start_at(codewords, share, torch_generator(config.seed, "codewords"))
    if config.init is not None:
        start_from(network, weights_file(config.init), config.model.denoiser.heads)
    return with_captions(network, settings, conditions)


def contents(stores: Stores, config: Train) -> tuple[list[str], str | None]:
    """The digests of all files that training reads: the stores, and the weights it starts from."""
    digests = [store.digest for store in stores if store is not None]
    return digests, sha256_file(weights_file(config.init)) if config.init else None


def batches_of_splits(
    stores: Stores, rows: dict[str, list[str]], config: Train, setting: str, fabric: "Fabric"
) -> dict[str, TrainingBatches]:
    """This process's batches of every split that has rows; the held-out ones bring no negatives."""
    kinds = tuple(term.kind for term in parse_setting(setting))
    if config.contrast.form == "cca":
        kinds = ()  # its negatives are the conditions of the batch
    return {
        split: TrainingBatches(
            *stores,
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


def write_model(
    network: Network, history: list[dict], setting: str, stores: Stores, paths: Paths
) -> None:
    """Writes the folder `model`: the weights, the training curve, and what it was trained on."""
    about = provenance(setting, stores)
    with atomic(paths.model) as temporary:
        temporary.mkdir()
        save_model(network.cpu(), temporary / MODEL_FILE, about)
        write_history(temporary / "history.csv", history)
        trained = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "processes": list(dict.fromkeys(row["processes"] for row in history)),
            "computed_by": {"processor": str(processor()), "products": products.name},
        }
        write_json(temporary / "about.json", trained | about)


def provenance(setting: str, stores: Stores) -> dict:
    """What a model says of itself: its contrast, and what it was trained on."""
    return {
        "contrast": setting,
        "codec": stores.tokens.provenance["codec"],
        "conditions": stores.conditions.provenance,
    }


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
        case "caption" if "clip_size" in about:
            return CaptionInputs(vocabulary=None, clip_size=tuple(about["clip_size"]))
        case "caption" if "clip_text" in about["inputs"]:
            _, _, length, width = conditions["clip_text"].shape
            return CaptionInputs(vocabulary=None, clip_size=(length, width))
        case "caption":
            return CaptionInputs(vocabulary=tuple(about["vocabulary"]), clip_size=None)
        case "class":
            return ClassInputs(n_classes=len(about["classes"]))
        case other:
            raise UserError(
                f"{conditions.path} is of the unknown task {other!r}; extract it again."
            )
