"""One of several processes that train small denoisers together, as torchrun would start it.

`python -m tests.helpers.gloo_process FOLDER SCHEDULE...` trains with each schedule in FOLDER, where
a checkpoint may lie, and leaves what this process ends with in SCHEDULE.RANK.pt.
"""

import sys
from pathlib import Path

import torch

from pipeline.training.processes import processes
from tests.helpers.small_denoiser import config, open_stores, train

SETTINGS = {"steps": 16, "plateau_patience": 2}

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with processes() as fabric:
        for schedule in sys.argv[2:]:
            settings = config(schedule=schedule, **SETTINGS)
            weights, history = train(
                open_stores(folder), folder / schedule, settings, "sample_inter", fabric
            )
            ended = {"weights": weights, "history": history}
            torch.save(ended, folder / f"{schedule}.{fabric.global_rank}.pt")
