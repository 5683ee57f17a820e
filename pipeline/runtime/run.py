"""What decides only speed, logging and comfort: `$CDCD_HOME/run.yaml`, with defaults here.

Nothing in it changes a result, so no stage depends on it: turning a value reruns nothing, names no
scratch folder and invalidates no checkpoint. It lies outside the checkout, so that an experiment in
a copy of the repository sees it as well.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.runtime.params import Amount, Count, read_yaml, validate
from pipeline.runtime.processor import Choice
from pipeline.runtime.scratch import home


class RunSettings(BaseModel):
    """The keys of run.yaml; every one has a default, and an unknown one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str | None = None
    """The torch device; null: an accelerator when there is one. `CDCD_DEVICE` overrides it."""
    micro_batch: Count | None = None
    """Rows of a training batch that pass at once; their gradients add up to the batch's. Null:
    all that are this process's."""
    launch: str | None = None
    """What starts the stage `train`, such as `torchrun --nproc_per_node=4`; null: nothing."""
    tf32: bool = True
    """Whether float32 products of a GPU are rounded to TF32's ten bits, at several times the
    speed."""
    compile: str | None = None
    """The backend of torch.compile for the denoiser's blocks, such as `inductor`; null: none."""
    products: Choice | None = None
    """On a CPU: matrix products by `torch` or `onednn`; null: as the shipped table says of this
    processor. Like the device it changes rounding; a resumed training keeps its own.
    """
    workers: int = Field(default=0, strict=True, ge=0, le=256)
    """Processes that read training batches ahead."""
    wait_s: Count = 600
    """Seconds that the processes of one training wait for each other before they give up."""
    log_every: Count = 10
    """Training steps that a row of the history sums up."""
    checkpoint_every: Count = 100
    """Training steps between checkpoints."""
    validate_every: Count = 100
    """Training steps between looks at held-out rows; a multiple of `log_every` is sensible."""
    validation_batches: Count = 4
    """Batches of held-out rows a look takes."""
    snapshot_every: Amount = 0
    """Training steps between weights to generate with meanwhile; 0: none."""
    keep_optimiser: bool = False
    """Whether a finished training leaves its optimiser and averages in $CDCD_HOME/trained, three
    times the size of the model, for `train.init`."""
    tensorboard: str | None = None
    """A folder for TensorBoard, beside the history; null: none."""
    bound_every: Amount = 50
    """Training steps between estimates of the mutual-information bound; 0: never."""
    engine: Literal["local", "ray"] = "local"
    """Who works over files: processes of this machine, or a Ray cluster (`RAY_ADDRESS`)."""
    processes: int = Field(default=0, strict=True, ge=0, le=4096)
    """How many of them; 0: this one alone, or all cores of the cluster."""
    processes_a_gpu: Amount = 0
    """Processes of a Ray cluster that share a GPU; 0: they ask for none."""
    extract_batch: Count = 20
    """Clips whose conditions are computed, and kept across a kill, at once."""
    tokenize_batch: Count = 32
    """Clips or pictures that are encoded at once."""
    sample_batch: Count = 64
    """Samples that are drawn at once; each has its own noise, so this changes rounding at most."""


def run_file() -> Path:
    """Where the settings lie, whether or not the file exists."""
    return home() / "run.yaml"


@lru_cache(maxsize=4)
def _read(path: Path, _modified_ns: int) -> RunSettings:
    return validate(RunSettings, read_yaml(path), "", str(path))


def run_settings() -> RunSettings:
    """The settings of this machine; raises UserError for an unknown key or a value out of range."""
    path = run_file()
    return _read(path, path.stat().st_mtime_ns) if path.exists() else RunSettings()
