"""Stage `evaluate`: figures and examples of what was sampled."""

import csv
import math
from pathlib import Path

import numpy as np
import torch

from pipeline.diffusion.contrast import parse_setting
from pipeline.diffusion.process import MaskAndReplace
from pipeline.metrics.adherence import evaluate_adherence
from pipeline.metrics.dance_data import DanceData
from pipeline.metrics.dance_rows import describe_clips, evaluate_dance
from pipeline.metrics.few import withhold
from pipeline.metrics.genre import load_gallery
from pipeline.metrics.image_data import ImageData
from pipeline.metrics.images import evaluate_images
from pipeline.metrics.judges import load_judge
from pipeline.metrics.results import ClipResult, Evaluation, Result, write_evaluation
from pipeline.model.released import load_network
from pipeline.reporting.examples import copy_curves, write_dance_examples
from pipeline.reporting.image_examples import write_image_examples
from pipeline.reporting.ladder import write_dance_ladder, write_picture_ladder
from pipeline.runtime.device import device
from pipeline.runtime.files import atomic, read_json
from pipeline.storage.store import Store
from stages.config import (
    AnyDataset,
    CaptionToImage,
    ClassToImage,
    DanceToMusic,
    DatasetArgument,
    read_dataset,
)
from stages.content import Codec, open_codec, open_content
from stages.paths import FURTHER_FILE, LADDER_FILE, MODEL_FILE, Paths


def evaluate(dataset: DatasetArgument) -> None:
    """Measure the samples of a data set beside its controls.

    In: the samples, tokens, conditions, codec, judge and media of data/DATASET, and
    `evaluate` of params/DATASET.yaml. Out: reports/metrics/DATASET (table.csv: one line a row and
    metric; clips.csv: clip by clip; metrics.json for `dvc metrics`; remarks.json: what it rests on)
    and reports/examples/DATASET (what the page shows).

    Example: cdcd evaluate toy_dance
    """
    settings, paths = read_dataset(dataset), Paths(dataset)
    with atomic(paths.examples) as examples:
        examples.mkdir()
        copy_curves(examples, model=paths.model / "history.csv", codec=paths.codec / "history.csv")
        if isinstance(settings, DanceToMusic):
            evaluation = _dance(settings, paths, examples)
        else:
            evaluation = _pictures(settings, paths, examples)
        results, clips = adherence_of(settings, paths)
        evaluation = withhold(
            Evaluation(
                [*evaluation.results, *results],
                [*evaluation.clips, *clips],
                {**evaluation.remarks, **_settings(settings, paths)},
            )
        )
        write_evaluation(evaluation, paths.metrics)
    for result in evaluation.results:
        if result.row in ("model", "model_shuffled"):
            print(
                f"{dataset}: {result.row:15} {result.metric:18} {result.protocol:8}"
                f" {f'{result.mean:8.2f}' if math.isfinite(result.mean) else '       –'}"
            )
    print(f"{dataset}: all rows are in {paths.metrics / 'table.csv'}.")


def _settings(settings: AnyDataset, paths: Paths) -> dict[str, object]:
    """The settings without which the figures cannot be read."""
    about, train, drawn = (
        read_json(paths.model / "about.json"),
        settings.train,
        settings.sample.sampling,
    )
    kinds = {term.kind for term in parse_setting(about["contrast"])}
    contrast = train.contrast.model_dump(
        mode="json", include={"form", "contrastive_steps", *(f"{k}_weight" for k in kinds)}
    )
    condition = settings.train.model.condition if isinstance(settings, DanceToMusic) else None
    return {
        "contrast": about["contrast"],
        "parameters": about["parameters"],
        "processes": about.get("processes"),
        "training_steps": steps_taken(paths),
        "batch_size": train.batch_size,
        "diffusion_steps": train.diffusion_steps,
        **(contrast if kinds else {}),
        "seeds": list(settings.sample.seeds),
        "sampling_steps": drawn.steps,
        "truncation": drawn.truncation,
        "guidance": drawn.guidance,
        **(
            {"guidance_schedule": drawn.guidance_schedule}
            if drawn.guidance_schedule != "constant"
            else {}
        ),
        "order": drawn.order,
        **(
            {"condition": condition.condition, "genre_input": condition.genre_input}
            if condition
            else {}
        ),
    }


def adherence_of(settings: AnyDataset, paths: Paths) -> tuple[list[Result], list[ClipResult]]:
    """The adherence of the model to the conditions of the validation split; nothing of a model that
    has not learned what no condition is.
    """
    network = load_network(paths.model / MODEL_FILE).to(device())
    is_own = settings.train.released is None
    if network.empty is None or (is_own and settings.train.loss.null_probability == 0):
        return [], []
    manifest = paths.manifest(settings.media_root)
    return evaluate_adherence(
        network,
        MaskAndReplace(network.n_codes, network.n_steps),
        Store(paths.tokens, "tokens"),
        Store(paths.conditions, "conditions"),
        [manifest.clips[row] for row in manifest.of("val")],
        settings.evaluate.bootstrap_draws,
        settings.evaluate.seed,
    )


def steps_taken(paths: Paths) -> int:
    """How many steps the model was trained."""
    with open(paths.model / "history.csv", newline="") as handle:
        return int([row["step"] for row in csv.DictReader(handle)][-1])


def _dance(settings: DanceToMusic, paths: Paths, examples: Path) -> Evaluation:
    """The evaluation of a dance data set; fills `examples` as well."""
    data = DanceData(
        music=open_content(settings, paths.manifest(settings.media_root)),
        tokens=Store(paths.tokens, "tokens"),
        conditions=Store(paths.conditions, "conditions"),
        samples=Store(paths.samples / "samples.h5", "samples"),
        gallery=load_gallery(paths.judge),
        decode=_decoder(open_codec(settings, paths)),
    )
    clips = describe_clips(data)
    evaluation = evaluate_dance(data, clips, settings.evaluate)
    write_dance_examples(data, clips.songs, settings.evaluate.examples, examples)
    if settings.sample.ladder:
        write_dance_ladder(data, Store(paths.samples / LADDER_FILE, "samples"), examples)
    return evaluation


def _pictures(settings: CaptionToImage | ClassToImage, paths: Paths, examples: Path) -> Evaluation:
    """The evaluation of a picture data set; fills `examples` as well."""
    codec = open_codec(settings, paths)
    data = ImageData(
        pictures=open_content(settings, paths.manifest(settings.media_root)),
        raw=paths.raw,
        tokens=Store(paths.tokens, "tokens"),
        samples=Store(paths.samples / "samples.h5", "samples"),
        judge=load_judge(paths.judge),
        further=_further(settings, paths),
        decode=lambda tokens: codec.decode(tokens.to(device())).float().cpu(),
    )
    evaluation = evaluate_images(data, settings.evaluate)
    write_image_examples(data, settings.evaluate.examples, settings.evaluate.seed, examples)
    if settings.sample.ladder:
        write_picture_ladder(data, Store(paths.samples / LADDER_FILE, "samples"), examples)
    return evaluation


def _further(settings: CaptionToImage | ClassToImage, paths: Paths) -> Store | None:
    """The samples of further captions, where every caption got one."""
    if settings.sample.captions == "first":
        return None
    return Store(paths.samples / FURTHER_FILE, "samples")


def _decoder(codec: Codec):
    """The codec as a function of arrays: tokens [n, L] -> waveforms [n, T]."""

    @torch.inference_mode()
    def decode(tokens: np.ndarray) -> np.ndarray:
        return codec.decode(torch.from_numpy(tokens).to(device())).float().cpu().numpy()

    return decode
