"""One of several processes that train small denoisers together, as torchrun would start it.

`python -m tests.helpers.gloo_process FOLDER STEPS SCHEDULE...` trains with each schedule in FOLDER,
where a checkpoint may lie, and leaves what this process ends with in SCHEDULE.RANK.pt.
"""

import sys
from pathlib import Path

import torch

from pipeline.runtime.errors import UserError
from pipeline.training.processes import processes
from tests.helpers.small_denoiser import config, open_stores, train

PATIENCE = {"plateau_patience": 2}


def main(folder: Path, steps: int, schedules: list[str]) -> None:
    with processes() as fabric:
        for schedule in schedules:
            settings = config(schedule=schedule, steps=steps, **PATIENCE)
            weights, history = train(
                open_stores(folder), folder / schedule, settings, "sample_inter", fabric
            )
            ended = {"weights": weights, "history": history}
            torch.save(ended, folder / f"{schedule}.{fabric.global_rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    except UserError as error:
        sys.exit(f"Error: {error}")
