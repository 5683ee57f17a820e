"""Finished models by name: shipped with the package, kept by `cdcd load`, built here, in another
revision, in a bundle, or published by others.
"""

from pathlib import Path
from typing import Literal

from cdcd.built import built_files
from cdcd.revision import revision_folder
from pipeline.generation.bundle import unpacked
from pipeline.generation.opening import Model, open_model
from pipeline.generation.released import released_files, released_models
from pipeline.generation.timings import Timings
from pipeline.runtime.errors import UserError
from pipeline.runtime.run import run_file
from pipeline.runtime.scratch import home
from pipeline.training.following import unfinished
from stages.config import MODULES

Task = Literal["dance", "caption", "class"]
SHIPPED = Path(__file__).with_name("shipped")  # bundles NAME.safetensors; one called as its task
TRAINING = "@training"  # after a data set's name: what its training has come to
BUILT = {"dance": "toy_dance", "caption": "toy_shapes", "class": "digits"}  # where none is shipped


def load(
    name: str | Path | None = None,
    *,
    rev: str | None = None,
    task: Task | None = None,
    timings: Timings | None = None,
) -> Model:
    """The finished model called `name`, on the accelerator if there is one.

    `name` is a bundle (a file or folder of `cdcd export`), or a name that is looked for among the
    models shipped with this package, those that `cdcd load` keeps, the data sets (the model built
    in the folder where this runs, or in its revision or DVC experiment `rev`), and the published
    ones. Without a name: the shipped model of the `task` (default: dance), else that of its
    embedded data set. `DATASET@training` is the last snapshot of a training that goes on. Raises
    UserError where there is none, with what to do.
    """
    if rev is not None:
        dataset = str(name or BUILT[task or "dance"])
        if dataset not in MODULES:
            raise UserError(
                f"--rev goes with a data set; {dataset!r} is none of {_listed(MODULES)}."
            )
        return open_model(built_files(dataset, revision_folder(dataset, rev)), timings)
    if bundle := find_bundle(name, task or "dance"):
        with unpacked(bundle) as files:
            return open_model(files, timings)
    known = str(name or BUILT[task or "dance"])
    if known.removesuffix(TRAINING) in MODULES and known.endswith(TRAINING):
        return open_model(_in_training(known.removesuffix(TRAINING)), timings)
    if known in MODULES:
        return open_model(_built(known, explicit=name is not None), timings)
    if known in released_models():
        return open_model(released_files(known), timings)
    raise UserError(
        f"There is no model called {known!r}; there are {_listed(model_names())}, and bundles by"
        " their path."
    )


def find_bundle(name: str | Path | None, task: Task) -> Path | None:
    """The bundle that `name` stands for, or the shipped one of the task; None where there is
    none.
    """
    places = [SHIPPED / f"{name or task}.safetensors", kept() / f"{name}.safetensors"]
    if name is not None and str(name) not in MODULES:
        path = Path(name).expanduser()
        if path.suffix == ".safetensors" or path.is_dir() and (path / "model.safetensors").exists():
            return path
    return next((place for place in places if place.is_file()), None)


def kept() -> Path:
    """Where `cdcd load` keeps bundles."""
    return home() / "models"


def model_names() -> list[str]:
    """Every name that `load` knows, in the order in which it looks."""
    bundles = [
        path.stem for folder in (SHIPPED, kept()) for path in sorted(folder.glob("*.safetensors"))
    ]
    return list(dict.fromkeys([*bundles, *MODULES, *released_models()]))


def _built(dataset: str, explicit: bool):
    """The files of a data set's model; where nobody asked for it by name, the error says why it was
    looked for.
    """
    try:
        return built_files(dataset)
    except UserError as mistake:
        if explicit:
            raise
        raise UserError(
            f"No model comes with this version, and that of {dataset} is not built here ({mistake})"
            " Or name another one with --model."
        ) from None


def _in_training(dataset: str):
    """The files of a data set's model with the last weights of a training that has not ended."""
    found = unfinished(dataset)
    if found is None or not found.snapshots:
        raise UserError(
            f"No training of {dataset} that goes on here has left weights yet; set snapshot_every"
            f" in {run_file()}."
        )
    return built_files(dataset, unfinished=found.snapshots[-1])


def _listed(names) -> str:
    return ", ".join(names)
