"""Taking a gradient apart changes nothing of the training, and the contrast's part is lambda's."""

import pytest
import torch

from benchmarks.gradient_share import Watched
from pipeline.diffusion.objective import Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.network import ClassInputs, build_network
from pipeline.model.training import DenoiserTask
from pipeline.training.batches import TrainingBatches
from tests.helpers.small_denoiser import CODES, config, write_stores


def looked_at(stores, strength):
    """The task after ten steps, its last loss, and what was found."""
    settings = config()
    contrast = settings.contrast.model_copy(update={"inter_weight": strength})
    sizes = {"n_codes": CODES, "grid": (4, 4), "n_steps": 10, "seed": 1}
    network = build_network(settings.model, ClassInputs(n_classes=2), **sizes)
    torch.nn.init.normal_(network.output.weight, std=0.1)
    process = MaskAndReplace(CODES, 10)
    task = DenoiserTask(network, Objective(process, settings.loss, "sample_inter", contrast), 1)
    watched = Watched(task, Objective(process, settings.loss, "vanilla"))
    batches = TrainingBatches(*stores, stores[0].ids, ("inter",), 4, 1)
    return watched, batches.at(9)


def test_the_parts_are_measured_without_a_trace(tmp_path):
    stores = write_stores(tmp_path)
    torch.manual_seed(0)
    watched, batch = looked_at(stores, 0.2)
    plain = watched.task(batch, 9).total
    torch.manual_seed(0)
    again, _ = looked_at(stores, 0.2)
    with_look = again(batch, 9).total
    assert torch.equal(plain, with_look)
    assert len(again.found) == 1
    assert all(weight.grad is None for weight in again.parameters())
    assert all(
        value.equal(again.task.objective.state_dict()[name])
        for name, value in watched.task.objective.state_dict().items()
    )


def test_the_contrasts_gradient_is_proportional_to_lambda(tmp_path):
    stores, found = write_stores(tmp_path), {}
    for strength in (0.0, 0.1, 0.2):
        torch.manual_seed(0)
        watched, batch = looked_at(stores, strength)
        watched(batch, 9)
        found[strength] = watched.found[0]
    assert found[0.0]["share"] < 1e-6
    assert found[0.2]["contrast"] == pytest.approx(2 * found[0.1]["contrast"], rel=1e-3)
    assert found[0.2]["likelihood"] == pytest.approx(found[0.1]["likelihood"], rel=1e-5)
    assert -1 <= found[0.2]["cosine"] <= 1
