"""Whether one hears where the windows of a long clip meet: the sound at their borders against the
sound everywhere else.

    python -m benchmarks.seams dance.mp4 ... [--model toy_dance] [--pose blazepose] [--seeds 3]

A border is where tokens of one window are followed by those of the next. Around each, and around
every other moment, the largest spectral flux and the largest change of level within 30 ms are
taken. If borders are like other moments, a twentieth of them lies above the 95 % quantile of the
others, and their median is at the others' 50 % quantile.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.ndimage import maximum_filter1d
from scipy.signal import stft

from cdcd.finding import load
from pipeline.generation.dances import PoseSource
from pipeline.generation.music import MusicModel, window_places

HOP_S, FRAME_S, AROUND = 0.01, 0.03, 3


def curves(waveform: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Spectral flux and change of level in dB at every 10 ms, the largest within 30 ms."""
    size, hop = round(FRAME_S * rate), round(HOP_S * rate)
    _, _, spectrum = stft(waveform, nperseg=size, noverlap=size - hop, padded=False)
    magnitude = np.log1p(1000 * np.abs(spectrum))
    level = 10 * np.log10(np.square(np.abs(spectrum)).sum(0) + 1e-8)
    changes = {
        "spectral flux": np.maximum(np.diff(magnitude, axis=1), 0).sum(0),
        "change of level": np.abs(np.diff(level)),
    }
    return {name: maximum_filter1d(curve, 2 * AROUND + 1) for name, curve in changes.items()}


def quantiles(curve: np.ndarray, borders: list[int]) -> np.ndarray:
    """For each border the share of the other moments whose value is smaller."""
    near = np.zeros(len(curve), bool)
    for border in borders:
        near[max(0, border - 2 * AROUND) : border + 2 * AROUND + 1] = True
    others = np.sort(curve[~near])
    return np.array([np.searchsorted(others, curve[border]) / len(others) for border in borders])


def borders(model: MusicModel, n_tokens: int) -> list[int]:
    """The moments, in steps of 10 ms, at which one window's tokens are followed by the next's."""
    length = model.network.length
    ends = [place + length for place in window_places(n_tokens, length)[:-1]]
    return [round(end * model.codec.hop / model.sample_rate / HOP_S) for end in ends]


def main(
    clips: Annotated[list[Path], typer.Argument(help="Dances longer than a window.")],
    model: Annotated[str | None, typer.Option(help="Whose music.")] = None,
    pose: Annotated[str, typer.Option(help="Who reads the dancer.")] = "blazepose",
    seeds: Annotated[int, typer.Option(help="So many variants of each.")] = 3,
) -> None:
    """Prints, for all clips and seeds together, where the borders lie among all moments."""
    opened = load(model, task="dance")
    assert isinstance(opened, MusicModel), "only music has windows"
    found: dict[str, list[np.ndarray]] = {"spectral flux": [], "change of level": []}
    for clip in clips:
        made = opened.generate(clip, seeds=range(seeds), pose=PoseSource(pose))
        places = borders(opened, made.tokens.shape[1])
        for waveform in made.waveforms:
            for name, curve in curves(waveform, opened.sample_rate).items():
                found[name].append(quantiles(curve, [p for p in places if p < len(curve)]))
    for name, parts in found.items():
        shares = np.concatenate(parts)
        print(
            f"{name}: {len(shares)} borders; median at the others' {np.median(shares):.0%}"
            f" quantile, {(shares > 0.95).mean():.0%} above the 95 % one"
        )


if __name__ == "__main__":
    typer.run(main)
