"""How much of a training's gradient the contrast is, step by step, under several lambdas.

    python -m benchmarks.gradient_share digits --steps 100 --out shares

trains the model of a data set that was built here, from its tokens, conditions and negatives, once
for each lambda, and takes every tenth step's gradient apart: of the whole loss, and of the same
batch, noise and steps without the contrast. Writes OUT.csv and OUT.png.
"""

import argparse
import csv
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.diffusion.objective import Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.training import DenoiserTask
from pipeline.reporting.style import COLOURS, figure
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.seeds import shared_generator
from pipeline.training.batches import Batch
from pipeline.training.engine import Hooks, Outcome, Plan, fit
from pipeline.training.processes import alone
from stages.config import read_dataset
from stages.paths import Paths
from stages.train import batches_of_splits, new_network, open_stores, rows_of_splits

EVERY = 10
LAMBDAS = (5e-5, 0.01, 0.1, 0.3)


class Watched(nn.Module):
    """A training step of the denoiser, and now and then its gradient in two parts."""

    def __init__(self, task: DenoiserTask, vanilla: Objective) -> None:
        super().__init__()
        self.task, self.vanilla = task, (vanilla,)
        self.found: list[dict[str, float]] = []

    def forward(self, batch: Batch, step: int) -> Outcome:
        """The step's loss; the look at its parts changes nothing of it."""
        if step % EVERY == EVERY - 1:
            self.found.append({"step": step + 1, **self._parts(batch, step)})
        return self.task(batch, step)

    def _parts(self, batch: Batch, step: int) -> dict[str, float]:
        """Norms of likelihood's and contrast's gradient, the latter's share of their sum, and the
        cosine between them.
        """
        task = self.task
        objectives = (deepcopy(task.objective).train(), self.vanilla[0].train())
        objectives[1].steps = deepcopy(task.objective.steps)
        whole, likelihood = (self._gradient(one, batch, step) for one in objectives)
        contrast = whole - likelihood
        norms = float(likelihood.norm()), float(contrast.norm())
        return {
            "likelihood": norms[0],
            "contrast": norms[1],
            "share": norms[1] / max(sum(norms), 1e-30),
            "cosine": float(likelihood @ contrast) / max(norms[0] * norms[1], 1e-30),
        }

    def _gradient(self, objective: Objective, batch: Batch, step: int) -> Tensor:
        task = self.task
        draws = shared_generator(batch.number, batch.parts, task.seed, "noise", step, 0)
        terms = objective(task.network, batch.x_0, batch.inputs, draws, batch.negatives)
        weights = [weight for weight in task.network.parameters() if weight.requires_grad]
        found = torch.autograd.grad(terms.total, weights, allow_unused=True)
        return torch.cat([part.flatten() for part in found if part is not None])


def shares(dataset: str, setting: str, strength: float, steps: int) -> list[dict[str, float]]:
    """The parts of the gradient along a training of the data set's model."""
    settings, paths = read_dataset(dataset), Paths(dataset)
    contrast = settings.train.contrast.model_copy(
        update={"intra_weight": strength, "inter_weight": strength}
    )
    config = settings.train.model_copy(
        update={"contrast": contrast, "steps": steps, "epochs": None}
    )
    stores, fabric = open_stores(paths), alone(bf16=False)
    rows = rows_of_splits(dataset, paths.manifest(settings.media_root), stores)
    network = new_network(settings, config, stores)
    batches = batches_of_splits(stores, rows, config, setting, fabric)["train"]
    process = MaskAndReplace(network.n_codes, config.diffusion_steps)
    objective = Objective(process, config.loss, setting, contrast)
    task = DenoiserTask(network, objective, config.seed)
    watched = Watched(task, Objective(process, config.loss, "vanilla"))
    title = f"{dataset}, {setting}, lambda {strength:g}"
    plan = Plan(title, steps, config.batch_size, config.optimiser.descent(), {}, (), config.average)
    fit(watched, batches.at, plan, None, Hooks(averaged=network), fabric)
    return watched.found


def draw(path: Path, curves: dict[float, list[dict[str, float]]]) -> None:
    """Draws the shares against the steps, a line for each lambda."""
    with figure(path, 4.6, 2.6) as canvas:
        panel = canvas.subplots()
        for (strength, found), colour in zip(curves.items(), COLOURS * len(curves)):
            x, y = ([row[name] for row in found] for name in ("step", "share"))
            panel.plot(x, y, color=colour, linewidth=1.3, label=f"λ {strength:g}")
        panel.set(yscale="log", xlabel="step", title="contrast's share of the gradient")
        panel.legend(loc="center right", bbox_to_anchor=(1, 0.33), fontsize=7)


def main() -> None:
    """Measures all lambdas, and writes the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--setting", default="sample_inter")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("gradient_share"))
    given = parser.parse_args()
    choose_products()
    curves = {
        strength: shares(given.dataset, given.setting, strength, given.steps)
        for strength in LAMBDAS
    }
    with open(given.out.with_suffix(".csv"), "w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["lambda", *curves[LAMBDAS[0]][0]])
        for strength, found in curves.items():
            writer.writerows(
                [strength, *(f"{value:.4g}" for value in row.values())] for row in found
            )
    draw(given.out.with_suffix(".png"), curves)


if __name__ == "__main__":
    main()
