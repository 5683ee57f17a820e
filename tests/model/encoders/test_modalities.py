"""A dance model can do without movement or pictures where it was trained to, and only there."""

import pytest
import torch
from pydantic import ValidationError

from pipeline.diffusion.objective import Loss, Objective
from pipeline.diffusion.process import MaskAndReplace
from pipeline.model.denoiser import DenoiserConfig
from pipeline.model.encoders.fuse import DanceConfig, DanceEncoder
from pipeline.model.encoders.modalities import KEPT, Dropout
from pipeline.model.encoders.motion import MOST_ACCENT, accent_envelope
from pipeline.model.network import DanceInputs, DanceModel, Network, build_network
from pipeline.model.training import DenoiserTask
from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import shared_generator
from pipeline.training.batches import Batch

BOTH = Dropout(visual=0.2, motion=0.1)


def encoder_config(dropout: Dropout | None, condition="aligned") -> DanceConfig:
    return DanceConfig(
        condition=condition,
        pose="coco17",
        fps=20.0,
        motion_width=4,
        motion_blocks=2,
        visual_width=6,
        width=20,
        dropout=dropout,
    )


def encoder(dropout: Dropout | None = BOTH, condition="aligned") -> DanceEncoder:
    torch.manual_seed(0)
    return DanceEncoder(
        encoder_config(dropout, condition), 8, n_frames=15, tokens_per_frame=1.0, n_genres=2
    )


def model(dropout: Dropout | None) -> Network:
    denoiser = DenoiserConfig(
        layers=1, width=16, heads=2, feed_forward="linear", factor=2, zero_init=True
    )
    return build_network(
        DanceModel(denoiser=denoiser, condition=encoder_config(dropout)),
        DanceInputs(pose="coco17", n_frames=15, visual_numbers=8, n_genres=2),
        n_codes=11,
        grid=(1, 16),
        n_steps=9,
        seed=0,
    )


def inputs(batch=4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    motion = torch.rand(batch, 15, 51, generator=generator)
    return {"motion": motion, "visual": torch.rand(batch, 3, 8, generator=generator)}


@pytest.mark.parametrize("condition", ["aligned", "temporal", "pooled"])
@pytest.mark.parametrize("left", ["motion", "visual"])
def test_a_row_dropped_in_training_is_one_that_is_not_given(condition, left):
    network, given = encoder(condition=condition), inputs()
    kept = torch.tensor([[name == left for name in ("motion", "visual")], [True, True]] * 2)
    trained, whole = network(given | {KEPT: kept}), network(given)
    alone = network({left: given[left]})
    assert alone.shape == whole.shape
    assert torch.allclose(trained[::2], alone[::2], atol=1e-6)
    assert torch.allclose(trained[1::2], whole[1::2], atol=1e-6)
    assert not torch.allclose(alone, whole, atol=1e-3)


def test_a_model_that_never_did_without_asks_for_both():
    given = inputs()
    for dropout in (None, Dropout(visual=0.2)):
        with pytest.raises(KeyError, match="motion"):
            encoder(dropout)({"visual": given["visual"]})
    with pytest.raises(KeyError, match="visual"):
        encoder(None)({"motion": given["motion"]})


def test_dropout_changes_no_weights():
    with_it, without = encoder().state_dict(), encoder(None).state_dict()
    assert with_it.keys() == without.keys()
    assert all(torch.equal(with_it[name], without[name]) for name in with_it)


def test_shares_are_met_never_both_and_drawn_from_seed_and_step():
    kept = BOTH.draw(20000, torch.Generator().manual_seed(0))
    assert (kept.sum(1) >= 1).all()
    assert (1 - kept.float().mean(0)).tolist() == pytest.approx([0.1, 0.2], abs=0.01)
    first, again, later = (
        BOTH.draw(64, shared_generator(0, 1, 7, "modalities", step)) for step in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    halves = [BOTH.draw(32, shared_generator(rank, 2, 7, "modalities", 3)) for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), first)


def test_more_than_everything_cannot_be_dropped():
    with pytest.raises(ValidationError, match="together at most 1"):
        Dropout(visual=0.6, motion=0.5)


def moving(n_frames: int, fps: float) -> torch.Tensor:
    """Joints [1, T, 17, 2] that stop every half second."""
    time = torch.arange(n_frames) / fps
    way = 0.3 * (time - torch.sin(4 * torch.pi * time) / (4 * torch.pi))
    return torch.stack([way, 0.5 * way], -1)[None, :, None].expand(1, n_frames, 17, 2)


def test_the_envelope_dips_where_the_dancer_stops():
    envelope = accent_envelope(moving(40, 20.0), torch.ones(1, 40, 17))[0]
    assert envelope.mean() == pytest.approx(1, abs=0.02)
    dips = [
        frame for frame in range(5, 38) if envelope[frame] == envelope[frame - 4 : frame + 5].min()
    ]
    assert all(min(abs(frame - 10 * stop - 0.5) for stop in range(5)) <= 1 for frame in dips)
    assert len(dips) >= 3
    assert envelope[10] < 0.2 < 1.5 < envelope[15]


def test_the_envelope_knows_no_camera_and_no_single_jump():
    joints, seen = moving(40, 20.0), torch.ones(1, 40, 17)
    plain = accent_envelope(joints, seen)
    assert torch.allclose(accent_envelope(7 * joints + 3, seen), plain, atol=1e-4)
    jumped = joints.clone()
    jumped[0, 17, 9] += 2.0
    assert (accent_envelope(jumped, seen) - plain).abs().max() < 0.05
    faint, gone = seen.clone(), joints.clone()
    faint[0, :, 9], gone[0, :, 9] = 0.0, 0.0
    assert torch.allclose(accent_envelope(gone, faint), plain, atol=1e-4)
    assert accent_envelope(torch.zeros(1, 9, 17, 2), torch.ones(1, 9, 17)).max() == 0
    assert accent_envelope(joints[:, :1], seen[:, :1]).shape == (1, 1)
    assert accent_envelope(torch.randn(1, 30, 17, 2), torch.zeros(1, 30, 17)).max() <= MOST_ACCENT


def test_training_steps_drop_what_the_seed_and_the_step_say():
    """A step's losses are those of the same examples with the same part missing."""
    seen = []
    for dropout in (Dropout(visual=0.5, motion=0.5), None):
        network = model(dropout)
        objective = Objective(
            MaskAndReplace(11, 9), Loss(auxiliary_weight=0.1, null_probability=0.0), "vanilla"
        )
        task = DenoiserTask(network, objective, seed=5)
        network.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].get(KEPT)))
        batch = Batch(torch.zeros(8, 16, dtype=torch.long), inputs(8), {})
        for step in (3, 3, 4):
            task(batch, step)
    first, again, later, *without = seen
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert (first.sum(1) == 1).all()
    assert without == [None] * 3


def test_a_missing_part_is_told_in_a_sentence():
    with pytest.raises(UserError, match="`visual`, which is not among .*dropout of it"):
        model(None).encode({"motion": inputs()["motion"]})
