"""The sound of a song: a stretch of its score, played from the sound font that pretty_midi
carries.
"""

import io
import struct
from functools import cache
from pathlib import Path

import midirenderer
import numpy as np
import pretty_midi
import soundfile
import soxr

from pipeline.media.audio import is_silent, peak
from pipeline.media.midi import Note, Score, score_bytes
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file

SOUND_FONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
SOUND_FONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"
LEAD_IN_S = 2.0  # played before a stretch and cut away, so that what rings on from there is heard
PEAK = 0.9
FULL_SCALE = 0.999
_DRUM_BANK = 128
_PRESET = struct.Struct("<20sHH14x")  # a row of the table `phdr` of a sound font


def play(score: Score, start_s: float, seconds: float, sample_rate: int) -> np.ndarray:
    """Mono float32 [seconds * sample_rate] of a score from `start_s` on, at a peak of `PEAK`.

    Raises UserError for a program that the sound font lacks, for a stretch in which nothing
    sounds and for one that is too loud to be played without clipping.
    """
    lead_s = min(LEAD_IN_S, start_s)
    stretch = score.stretch(start_s - lead_s, lead_s + seconds)
    check_programs(stretch.notes)
    sound, rate = _render(stretch)
    if peak(sound) >= FULL_SCALE:
        raise UserError(
            f"The song clips {start_s:.1f} s after its start; lower the levels of its parts."
        )
    mono = sound.mean(axis=1)[round(lead_s * rate) :][: round(seconds * rate)]
    mono = soxr.resample(mono, rate, sample_rate)[: round(seconds * sample_rate)]
    mono = np.pad(mono, (0, round(seconds * sample_rate) - len(mono)))
    if is_silent(mono):
        raise UserError(f"The song is silent {start_s:.1f} s after its start; give it notes there.")
    return (mono * (PEAK / peak(mono))).astype(np.float32)


def _render(score: Score) -> tuple[np.ndarray, int]:
    """Stereo [n, 2] of a whole score, and its sample rate."""
    wave = midirenderer.render_wave_from(sound_font(), score_bytes(score))
    return soundfile.read(io.BytesIO(wave), dtype="float32")


@cache
def sound_font() -> bytes:
    """The bytes of the sound font; raises UserError when it is missing or is another one."""
    again = "install pretty_midi again: pip install --force-reinstall --no-deps pretty_midi."
    if not SOUND_FONT.is_file():
        raise UserError(f"The sound font {SOUND_FONT} is missing; {again}")
    if sha256_file(SOUND_FONT) != SOUND_FONT_SHA256:
        raise UserError(f"The sound font {SOUND_FONT} is damaged or another version; {again}")
    return SOUND_FONT.read_bytes()


def check_programs(notes: tuple[Note, ...]) -> None:
    """Raises UserError when a note wants a program or drum kit that the sound font lacks."""
    for is_drum, program in sorted({(note.is_drum, note.program) for note in notes}):
        if (program, _DRUM_BANK if is_drum else 0) not in _presets():
            raise UserError(
                f"{'Drum kit' if is_drum else 'Program'} {program} is not in the sound font"
                f" {SOUND_FONT.name}; use one of"
                f" {', '.join(str(p) for p, b in sorted(_presets()) if (b > 0) == is_drum)}."
            )


@cache
def _presets() -> frozenset[tuple[int, int]]:
    """(program, bank) of everything in the sound font."""
    font = sound_font()
    start = font.index(b"phdr") + 8
    (size,) = struct.unpack_from("<I", font, start - 4)
    rows = list(_PRESET.iter_unpack(font[start : start + size]))[:-1]  # the last marks the end
    return frozenset((program, bank) for _, program, bank in rows)
