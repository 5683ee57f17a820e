"""How a row of a study is made: by the stages `train`, `sample` and `evaluate`, in folders of their
own under CDCD_HOME that borrow the built stores of data/DATASET.

Nothing below data/ is written. For the validation split the sampling and the evaluation see a
manifest in which the validation items stand in the place of the test items, which are not in it at
all: a choice made here cannot have looked at them.
"""

import csv
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.metrics.results import (
    ClipResult,
    Evaluation,
    Result,
    read_results,
    write_table,
)
from pipeline.runtime.files import atomic, read_json, write_json
from pipeline.runtime.params import read_yaml
from pipeline.runtime.scratch import home
from pipeline.storage.manifest import Clip, read_manifest, write_manifest
from pipeline.study.grid import Grid, Planned
from pipeline.study.rows import Row, digest_of, items_of, lines_of
from stages.config import read_dataset
from stages.evaluate import adherence_of, evaluate
from stages.paths import MODEL_FILE, PARAMS, Paths
from stages.sample import sample
from stages.study_marks import Marks, marks_of, settings_of, write_yaml
from stages.train import train

ADHERENCE = "adherence.csv"  # of a model to the validation split, without any sample
BORROWED = ("conditions.h5", "extractor", "codec", "tokens.h5", "negatives.h5", "judge")


def study_home(dataset: str) -> Path:
    """Where the models of a data set's study are kept until it is over."""
    return home() / "study" / dataset


def trained_house(planned: Planned, marks: Marks, world: str, grid: Grid) -> Path:
    """The folder in which the row's model is, trained now if it was not; a killed training is taken
    up again.
    """
    dataset, mark = planned.dataset, f"s{planned.seed}-{world[:6]}-{marks.training}"
    there = sorted(study_home(dataset).glob(f"*-{mark}"))  # by any run that trains the same
    house = there[0] if there else study_home(dataset) / f"{planned.run}-{mark}"
    own = house / "data" / dataset
    if (own / "seconds.json").exists():
        return house
    if planned.start is not None:
        weights = str(_start(planned, planned.start, world, grid))
        planned = replace(planned, difference={**planned.difference, "train.init": weights})
    _furnish(house, planned, own, dataset)
    _link(own / "raw", Paths(dataset).raw)
    started = time.monotonic()
    with chdir(house):
        train(dataset)
        seconds = round(time.monotonic() - started, 1)
        found, _ = adherence_of(read_dataset(dataset), Paths(dataset))
    with atomic(own / ADHERENCE) as temporary:
        write_table(temporary, Result, found)
    write_json(own / "seconds.json", {"train": seconds})
    return house


def _start(planned: Planned, name: str, world: str, grid: Grid) -> Path:
    """The weights that the run `name` ended with under the same training seed, trained if need
    be.
    """
    run = grid.runs[name]
    difference = {**grid.shared, **run.set, "train.seed": planned.seed}
    first = replace(
        planned, run=name, contrast=run.contrast, difference=difference, start=run.start
    )
    marks = marks_of([first], planned.dataset)[first.name]
    house = trained_house(first, marks, world, grid)
    return house / "data" / planned.dataset / "model" / MODEL_FILE


def measured(
    planned: Planned, house: Path, marks: Marks, world: str, grid: Grid, commit: str
) -> Row:
    """The row: the model in `house` sampled and evaluated; killed, what was drawn is kept."""
    dataset, room = planned.dataset, _room(house, planned)
    own = room / "data" / dataset
    _furnish(room, planned, own, dataset)
    _link(own / "model", house / "data" / dataset / "model")
    clips = _raw_of_split(planned, own / "raw")
    started = time.monotonic()
    with chdir(room):
        sample(dataset)
        drawn = time.monotonic()
        evaluate(dataset)
        evaluation = _read_evaluation(Paths(dataset).metrics)
    ended = time.monotonic()
    ids, items = items_of(evaluation, grid.items)
    adherence = read_results(house / "data" / dataset / ADHERENCE)
    about = read_json(house / "data" / dataset / "model" / "about.json")
    seconds = read_json(house / "data" / dataset / "seconds.json")
    songs = {clip.id: clip.song for clip in clips}
    return Row(
        dataset=dataset,
        run=planned.run,
        seed=planned.seed,
        sampling=planned.sampling,
        split=planned.split,
        contrast=planned.contrast,
        difference=planned.difference,
        settings=marks.row,
        world=world,
        commit=commit,
        machine=machine(),
        seconds={
            **seconds,
            "sample": round(drawn - started, 1),
            "evaluate": round(ended - drawn, 1),
        },
        parameters=about["parameters"],
        sampling_seeds=list(read_yaml(room / "params" / f"{dataset}.yaml")["sample"]["seeds"]),
        results=lines_of(evaluation.results + adherence, planned.split),
        ids=digest_of(ids),
        songs=[songs[one] or one for one in ids] if any(songs.values()) else [],
        items=items,
    )


def _read_evaluation(folder: Path) -> Evaluation:
    """What the stage `evaluate` wrote."""
    with open(folder / "clips.csv", newline="") as handle:
        clips = [
            ClipResult(**{**line, "value": float(line["value"])}) for line in csv.DictReader(handle)
        ]
    return Evaluation(read_results(folder / "table.csv"), clips, read_json(folder / "remarks.json"))


def _furnish(room: Path, planned: Planned, own: Path, dataset: str) -> None:
    """Makes a folder in which stages run: its settings, and links to the built stores."""
    paths = Paths(dataset)
    (room / "params").mkdir(parents=True, exist_ok=True)
    write_yaml(room / PARAMS, {"datasets": [dataset], "contrast": planned.contrast})
    content = settings_of(planned, read_yaml(paths.settings))
    write_yaml(room / "params" / f"{dataset}.yaml", content)
    own.mkdir(parents=True, exist_ok=True)
    for name in BORROWED:
        if (paths.root / name).exists():
            _link(own / name, paths.root / name)


def _raw_of_split(planned: Planned, raw: Path) -> list[Clip]:
    """Makes the folder `raw` in which the row's split stands in the place of the test split, and
    returns the clips that are measured.
    """
    source = Paths(planned.dataset).raw
    raw.mkdir(exist_ok=True)
    for file in source.iterdir():
        if file.name != "manifest.csv":
            _link(raw / file.name, file)
    measured_as = {"train": "train", planned.split: "test"}
    clips = [
        replace(clip, split=measured_as[clip.split])
        for clip in read_manifest(source / "manifest.csv").clips
        if clip.split in measured_as
    ]
    write_manifest(raw / "manifest.csv", clips)
    return [clip for clip in clips if clip.split == "test"]


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target.absolute())


def commit_here() -> str:
    """The commit of the code, with a + where tracked files differ from it; empty outside git."""
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short=10", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "pipeline", "stages")
    return f"{commit}+" if changed else commit


def machine() -> str:
    """What computes here, in words that name the kind and not the place."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@contextmanager
def tidy_room(house: Path, planned: Planned) -> Iterator[None]:
    """Removes the samples of a row once it is written; what a failed one has drawn stays."""
    yield
    shutil.rmtree(_room(house, planned), ignore_errors=True)


def _room(house: Path, planned: Planned) -> Path:
    return house / f"{planned.run}-{planned.sampling}-{planned.split}"
