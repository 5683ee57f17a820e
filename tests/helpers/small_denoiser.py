"""A denoiser of one layer on twelve rows of tokens: seconds for a whole training."""

import numpy as np

from pipeline.diffusion.contrast import Contrast
from pipeline.diffusion.objective import Loss
from pipeline.model.around import NOTHING
from pipeline.model.denoiser import DenoiserConfig
from pipeline.model.network import ClassInputs, ClassModel, build_network
from pipeline.model.training import Train, train_network
from pipeline.negatives import derangements
from pipeline.storage.store import Store, write_store
from pipeline.training.batches import TrainingBatches
from pipeline.training.optimiser import Average, Optimiser
from pipeline.training.processes import alone

N, LENGTH, CODES = 12, 16, 8


def write_stores(folder) -> list[Store]:
    """Tokens that follow from labels, the labels, and negatives of both kinds."""
    ids = [f"clip{row}" for row in range(N)]
    labels = np.arange(N) % 2
    with write_store(folder / "tokens.h5", "tokens", ids, {"n_codes": CODES}) as store:
        store.field("tokens", (LENGTH,), "uint16")
        store.write(
            "tokens", slice(None), (labels[:, None] * 3 + np.arange(LENGTH) % 3).astype(np.uint16)
        )
    with write_store(folder / "conditions.h5", "conditions", ids, {"inputs": ["label"]}) as store:
        store.field("label", (), "int64")
        store.write("label", slice(None), labels)
    with write_store(folder / "negatives.h5", "negatives", ids, {"intra": "tokens"}) as store:
        store.field("intra", (3, 4), "uint16")
        store.field("inter", (3,), "int32")
        for row in range(N):
            store.write("intra", row, derangements(np.random.default_rng(row), 3, 4))
            store.write("inter", row, [(row + 1) % N, (row + 3) % N, (row + 5) % N])
    return open_stores(folder)


def open_stores(folder) -> list[Store]:
    """What `write_stores` wrote."""
    return [Store(folder / f"{name}.h5", name) for name in ("tokens", "conditions", "negatives")]


def config(**changes) -> Train:
    """Settings of twelve steps; the optimiser's may be given beside the others."""
    denoiser = DenoiserConfig(
        layers=1,
        width=32,
        heads=2,
        feed_forward="linear",
        factor=2,
        positions="learned",
        zero_init=True,
    )
    contrast = Contrast(
        form="difference",
        chains="parallel",
        scale="mean",
        keep_positive=False,
        intra_weight=0.01,
        inter_weight=0.01,
        direction="decreasing",
        temperature=1.0,
        negatives_per_step=2,
        contrastive_steps=None,
        cap=12.0,
    )
    optimiser = Optimiser(
        learning_rate=5e-3,
        betas=(0.9, 0.96),
        weight_decay=0.01,
        warmup_steps=3,
        warmup_from=1e-4,
        schedule="cosine",
        plateau_patience=5,
        clip_norm=1.0,
    )
    settings = {
        "seed": 1,
        "init": None,
        "steps": 12,
        "batch_size": 4,
        "diffusion_steps": 10,
        "bf16": False,
        "model": ClassModel(denoiser=denoiser),
        "loss": Loss(
            t_sampling="importance",
            auxiliary_weight=0.01,
            auxiliary_direction="decreasing",
            null_probability=0.1,
        ),
        "contrast": contrast,
        "optimiser": optimiser,
        "average": Average(decay=0.9, every=1),
    }
    own = {name: changes.pop(name) for name in set(changes) & set(Optimiser.model_fields)}
    settings["optimiser"] = optimiser.model_copy(update=own)
    return Train[ClassModel](**{**settings, **changes})


def train(stores, folder, settings, setting="step_intra", fabric=None, around=NOTHING):
    """The averaged weights and the history of a training in `folder`."""
    fabric = fabric or alone()
    tokens, conditions, negatives = stores
    kinds = () if setting == "vanilla" else (setting.split("_")[1],)
    share = (settings.batch_size, settings.seed, fabric.global_rank, fabric.world_size)
    training = TrainingBatches(tokens, conditions, negatives, tokens.ids, kinds, *share)
    validation = TrainingBatches(tokens, conditions, None, tokens.ids[:8], (), *share)
    network = build_network(
        settings.model,
        ClassInputs(n_classes=2),
        n_codes=CODES,
        grid=(4, 4),
        n_steps=settings.diffusion_steps,
        seed=settings.seed,
    )
    folder.mkdir(exist_ok=True)
    history = train_network(
        network, settings, setting, training, validation, folder, fabric, around
    )
    return network.state_dict(), history
