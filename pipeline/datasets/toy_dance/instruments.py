"""The sounds that toy songs are made of: a kick, a snare, a hat and additive tones, as short mono
float32 arrays.

Everything is clean and percussive on purpose: strong onsets, few partials, no reverb, so that a
narrow VQ-VAE can learn it in minutes.
"""

import numpy as np

HARMONICS = {
    "sub": (1.0, 0.15),
    "round": (1.0, 0.45, 0.15, 0.05),
    "square": (1.0, 0.0, 0.5, 0.0, 0.33, 0.0, 0.22, 0.0, 0.15),
    "saw": tuple(1 / n for n in range(1, 13)),
    "slap": (0.7, 1.0, 0.6, 0.6, 0.35, 0.3, 0.2, 0.15),
    "growl": (1.0, 0.9, 0.9, 0.8, 0.6, 0.6, 0.5, 0.4, 0.3, 0.3),
    "organ": (1.0, 0.8, 0.0, 0.6, 0.0, 0.0, 0.0, 0.4),
    "rhodes": (1.0, 0.1, 0.0, 0.0, 0.0, 0.25),
    "piano": (1.0, 0.6, 0.4, 0.25, 0.12, 0.06),
    "strings": tuple(1 / n**1.3 for n in range(1, 9)),
    "brass": (0.6, 1.0, 0.9, 0.7, 0.5, 0.35, 0.25, 0.15),
    "bell": (1.0, 0.0, 0.0, 0.6, 0.0, 0.0, 0.3),
    "guitar": (0.5, 1.0, 0.5, 0.8, 0.3, 0.5, 0.2),
}
"""Amplitudes of the partials 1, 2, 3, ... of each timbre."""


def kick(sample_rate: int, hz: float, seconds: float, drive: float) -> np.ndarray:
    """A kick drum [n]: a sine that falls two octaves to `hz` and dies within `seconds`; `drive`
    saturates it.
    """
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * (hz * t + 3 * hz * 0.02 * (1 - np.exp(-t / 0.02)))
    body = np.sin(phase) * np.exp(-4 * t / seconds) + 0.3 * np.sin(2 * np.pi * 1800 * t) * np.exp(
        -t / 0.004
    )
    return _finish(np.tanh(drive * body) / np.tanh(drive), sample_rate)


def snare(
    sample_rate: int, hz: float, seconds: float, brightness: float, rng: np.random.Generator
) -> np.ndarray:
    """A snare, clap or rim [n]: a tone at `hz` under noise; `brightness` in 0..1 is the share of
    noise and how high it lies.
    """
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    noise = _band(
        rng.standard_normal(t.size), sample_rate, 400 + 1600 * brightness, 2500 + 2500 * brightness
    )
    tone = np.sin(2 * np.pi * hz * t) * np.exp(-t / (0.2 * seconds))
    return _finish(
        brightness * noise * np.exp(-4 * t / seconds) + (1 - brightness) * tone, sample_rate
    )


def hat(sample_rate: int, seconds: float, hz: float, rng: np.random.Generator) -> np.ndarray:
    """A hi-hat, shaker or ride [n]: noise above `hz` that dies within `seconds`."""
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    return _finish(
        _band(rng.standard_normal(t.size), sample_rate, hz, sample_rate) * np.exp(-4 * t / seconds),
        sample_rate,
    )


def tone(
    sample_rate: int, hz: float, seconds: float, timbre: str, attack: float, decay: float
) -> np.ndarray:
    """A pitched note [n] of the given timbre: rises within `attack` seconds, decays with a time
    constant, fades.
    """
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    wave = np.zeros(t.size)
    dull, fade = np.exp(-t / (6 * decay)), np.ones(t.size)  # higher partials die sooner
    for number, amplitude in enumerate(HARMONICS[timbre], start=1):
        if amplitude and number * hz < 0.45 * sample_rate:
            wave += amplitude * np.sin(2 * np.pi * number * hz * t) * fade
        fade = fade * dull
    return _finish(
        wave * np.minimum(1, np.minimum(t, t[-1] - t) / attack) * np.exp(-t / decay), sample_rate
    )


def _band(noise: np.ndarray, sample_rate: int, low: float, high: float) -> np.ndarray:
    spectrum = np.fft.rfft(noise)
    hz = np.fft.rfftfreq(noise.size, 1 / sample_rate)
    return np.fft.irfft(spectrum * ((hz >= low) & (hz <= high)), noise.size)


def _finish(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """Peak 1, and 5 ms of fade at the end so that nothing clicks."""
    fade = min(wave.size, int(0.005 * sample_rate))
    wave[wave.size - fade :] *= np.linspace(1, 0, fade)
    return (wave / np.abs(wave).max()).astype(np.float32)
