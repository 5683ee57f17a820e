"""Phases from magnitudes: sounds come back, from magnitudes alone, the same wherever they begin."""

import math

import pytest
import torch

from pipeline.codecs.phases import griffin_lim
from pipeline.codecs.transform_layers import Frames

HOP = 64


def chord(length: int) -> torch.Tensor:
    """Three tones and a click, [1, length * HOP]."""
    time = torch.arange(length * HOP) / 8000
    sound = sum(torch.sin(2 * math.pi * hertz * time) for hertz in (440.0, 554.0, 659.0)) / 4
    sound[length * HOP // 2] += 1
    return sound[None]


def distance(output: torch.Tensor, frames: Frames, magnitude: torch.Tensor) -> float:
    return float((frames(output).abs() - magnitude).norm() / magnitude.norm())


def test_magnitudes_come_nearer_with_every_dozen_iterations():
    frames = Frames(HOP)
    magnitude = frames(chord(60)).abs()
    apart = [distance(griffin_lim(magnitude, frames, n), frames, magnitude) for n in (0, 8, 32)]
    assert apart[0] > 2 * apart[1] > 2 * apart[2]
    assert apart[2] < 0.1


def test_the_pitches_are_the_chord_s():
    frames = Frames(HOP)
    sound = chord(125)
    output = griffin_lim(frames(sound).abs(), frames, 32)
    loudest = [torch.fft.rfft(x[0]).abs().topk(3).indices.sort().values for x in (sound, output)]
    assert (loudest[0] - loudest[1]).abs().max() <= 6  # Hz: less than a quarter of a semitone


def test_silence_stays_silent():
    output = griffin_lim(torch.zeros(1, 9, 2 * HOP + 1), Frames(HOP), 4)
    assert torch.equal(output, torch.zeros(1, 9 * HOP))


@pytest.mark.parametrize("moved", [1, 5])
def test_a_later_beginning_changes_nothing_far_from_it(moved):
    frames = Frames(HOP)
    magnitude = frames(chord(60)).abs()
    whole, rest = griffin_lim(magnitude, frames, 4), griffin_lim(magnitude[:, moved:], frames, 4)
    far = 3 * 5 * HOP
    assert torch.allclose(rest[:, far:], whole[:, moved * HOP + far :], atol=1e-5)


def test_several_clips_are_each_alone():
    frames = Frames(HOP)
    magnitude = torch.rand(3, 9, 2 * HOP + 1)
    alone = [griffin_lim(row, frames, 3) for row in magnitude.split(1)]
    assert torch.equal(griffin_lim(magnitude, frames, 3), torch.cat(alone))


def test_one_frames_object_serves_clips_of_any_length_and_precision():
    frames = Frames(HOP)
    for length in (9, 5, 9):
        sound = torch.rand(1, length * HOP)
        assert torch.allclose(frames.inverse(frames(sound)), sound, atol=1e-5)
    sound = sound.double()
    assert torch.allclose(frames.double().inverse(frames(sound)), sound, atol=1e-12)
